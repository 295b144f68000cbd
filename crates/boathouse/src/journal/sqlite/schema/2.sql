-- Processes that share the file: who is here beats. One that has not beaten for its lease holds no run any more.
CREATE TABLE processes (
    id TEXT NOT NULL PRIMARY KEY,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    beat_at INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The process that claimed the run last; empty if it had the file for itself.
ALTER TABLE runs ADD COLUMN holder TEXT NOT NULL DEFAULT '';

-- Requests with an idempotency key, kept with what they did.
CREATE TABLE requests (
    -- Method and path.
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 of the body.
    body TEXT NOT NULL,
    run TEXT NOT NULL,
    -- The run's last event when the request had been carried out.
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT;
CREATE INDEX requests_by_time ON requests (at);

-- Ended runs, those that ended first in front: the next to be forgotten.
CREATE INDEX runs_by_end ON runs (updated_at, id)
    WHERE state IN ('completed', 'cancelled', 'failed', 'limit_reached');
CREATE INDEX runs_by_crew_hash ON runs (crew_hash);

-- Empty but for the moment of a readiness check.
CREATE TABLE probe (bytes BLOB NOT NULL) STRICT;

PRAGMA user_version = 2;
