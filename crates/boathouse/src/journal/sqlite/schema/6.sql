-- The folder that a crew was read from, the last time: its commands work there.
ALTER TABLE crews ADD COLUMN dir TEXT;

PRAGMA user_version = 6;
