-- Long texts of events, each once: what stands between the quotes of a JSON string, escapes and all.
CREATE TABLE blobs (
    key INTEGER PRIMARY KEY,
    -- SHA-256 of the text, in hexadecimal.
    hash TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL
) STRICT;

-- Where they belong: events.json has an empty string there.
CREATE TABLE blob_places (
    run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    -- Bytes of events.json in front of the text.
    place INTEGER NOT NULL,
    blob INTEGER NOT NULL REFERENCES blobs (key),
    PRIMARY KEY (run, seq, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_places_by_blob ON blob_places (blob);

-- A text that belongs nowhere any more goes with the last run that had it.
CREATE TRIGGER blob_place_deleted AFTER DELETE ON blob_places
WHEN NOT EXISTS (SELECT 1 FROM blob_places WHERE blob = old.blob)
BEGIN
    DELETE FROM blobs WHERE key = old.blob;
END;

PRAGMA user_version = 5;
