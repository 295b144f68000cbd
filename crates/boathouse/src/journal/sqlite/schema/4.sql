-- What waits for a person: written with the events that open and close it, so that listing needs no log.
CREATE TABLE waits (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    wait INTEGER NOT NULL,
    crew TEXT NOT NULL,
    -- answer, approval, unknown_outcome
    kind TEXT NOT NULL,
    -- The tool whose call is to be decided about.
    tool TEXT,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    opened_at INTEGER NOT NULL,
    expires_at INTEGER,
    -- {branch, agent, question, for}
    json TEXT NOT NULL,
    PRIMARY KEY (run, wait)
) STRICT;
CREATE INDEX waits_by_time ON waits (opened_at, run, wait);
CREATE INDEX waits_by_crew ON waits (crew, opened_at, run, wait);
CREATE INDEX waits_by_tool ON waits (tool, opened_at, run, wait) WHERE tool IS NOT NULL;
CREATE INDEX waits_by_expiry ON waits (expires_at, run) WHERE expires_at IS NOT NULL;

-- Runs that wait already.
INSERT INTO waits (run, wait, crew, kind, tool, opened_at, json)
    SELECT r.id, e.json->>'$.wait', r.crew, e.json->>'$.for.kind', e.json->>'$.for.tool', r.updated_at,
        json_object('branch', e.json->'$.branch', 'agent', e.json->>'$.agent', 'for', e.json->'$.for')
    FROM runs r JOIN events e ON e.run = r.key
    WHERE r.state = 'paused' AND e.json->>'$.type' = 'wait_opened' AND NOT EXISTS (
        SELECT 1 FROM events a WHERE a.run = r.key AND a.seq > e.seq
            AND a.json->>'$.type' = 'answered' AND a.json->>'$.wait' = e.json->>'$.wait');

-- Notices for webhooks, from the moment of the events that they tell of until they are delivered.
CREATE TABLE outbox (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    run TEXT NOT NULL,
    -- The process that delivers it; empty if it had the file for itself.
    holder TEXT NOT NULL,
    body TEXT NOT NULL,
    at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_time ON outbox (next_at, id);

PRAGMA user_version = 4;
