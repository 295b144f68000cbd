-- Text of crew files, by hash.
CREATE TABLE crews (
    hash TEXT NOT NULL PRIMARY KEY,
    source TEXT NOT NULL
) STRICT;

-- One row per run: what is known of it without reading its events, and who may write to it.
CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    crew TEXT NOT NULL,
    crew_hash TEXT NOT NULL,
    thread TEXT NOT NULL,
    state TEXT NOT NULL,
    -- The number of the last event.
    seq INTEGER NOT NULL,
    -- Goes up with every claim.
    epoch INTEGER NOT NULL,
    -- The random id of the newest claim: a UUID as 32 hexadecimal digits.
    lease TEXT NOT NULL,
    -- Milliseconds since 1970-01-01T00:00:00Z, of the first and of the last event.
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_by_time ON runs (created_at, id);
CREATE INDEX runs_by_crew ON runs (crew, created_at, id);
CREATE INDEX runs_by_thread ON runs (thread, created_at, id);
CREATE INDEX runs_by_state ON runs (state, created_at, id);

-- The log of each run, numbered from 1 without gaps; json is one object on one line.
CREATE TABLE events (
    run INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT;

PRAGMA application_id = 1114595700;
PRAGMA user_version = 1;
