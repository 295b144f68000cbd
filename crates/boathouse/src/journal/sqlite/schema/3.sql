-- Conversations whose runs share a history.
CREATE TABLE threads (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    crew TEXT NOT NULL,
    -- How many messages it has.
    messages INTEGER NOT NULL,
    -- The id of the run that has its turn.
    active TEXT,
    -- What stands for the oldest messages in prompts: {"messages": number, "text": text}.
    summary TEXT,
    -- 1 if it was deleted, and is kept only for runs that began with its messages.
    deleted INTEGER NOT NULL DEFAULT 0,
    -- Milliseconds since 1970-01-01T00:00:00Z: when it was made, and when a run last began or ended on it.
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX threads_by_id ON threads (id) WHERE deleted = 0;
CREATE INDEX threads_by_time ON threads (created_at, id) WHERE deleted = 0;
CREATE INDEX threads_by_crew ON threads (crew, created_at, id) WHERE deleted = 0;
CREATE INDEX threads_by_end ON threads (updated_at, key);

-- Messages of each thread, numbered from 1 without gaps; json is one object on one line.
CREATE TABLE thread_messages (
    thread INTEGER NOT NULL REFERENCES threads (key) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (thread, seq)
) STRICT;

-- The thread that a run began on; NULL if it shares none, or has not begun.
ALTER TABLE runs ADD COLUMN thread_key INTEGER;
CREATE INDEX runs_by_thread_key ON runs (thread_key) WHERE thread_key IS NOT NULL;

-- Runs that wait for their turn: in the order of their keys, which is that of their creation.
CREATE INDEX runs_queued ON runs (key) WHERE state = 'queued';
CREATE INDEX runs_queued_on_thread ON runs (thread, key) WHERE state = 'queued';

PRAGMA user_version = 3;
