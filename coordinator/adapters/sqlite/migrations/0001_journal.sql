-- The journal, its projection, and what both lean on. Never edit a migration that has left this house:
-- its checksum is kept in every journal it was applied to.

CREATE TABLE journal (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    format INTEGER NOT NULL,  -- of the events' payloads
    token  INTEGER NOT NULL   -- grows with every opening
) STRICT;

-- Definitions that some saga is pinned to; digest is SHA-256 of text.
CREATE TABLE definitions (
    digest TEXT PRIMARY KEY,
    name   TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A request id outlives its saga, hence no reference to it. This key decides who was first.
CREATE TABLE requests (
    front_door TEXT NOT NULL,
    request_id TEXT NOT NULL,
    content    TEXT NOT NULL,
    saga_id    TEXT NOT NULL,
    PRIMARY KEY (front_door, request_id)
) STRICT, WITHOUT ROWID;

-- The projection, written in the transaction of the records that it reflects. seq and digest are those
-- of the newest record, so that a missing tail is noticed.
CREATE TABLE sagas (
    id                 TEXT PRIMARY KEY,
    saga_name          TEXT NOT NULL,
    definition_version TEXT,
    definition_digest  TEXT NOT NULL REFERENCES definitions (digest),
    front_door         TEXT NOT NULL,
    request_id         TEXT NOT NULL,
    status             TEXT NOT NULL,
    turned_back        INTEGER NOT NULL,
    needs_person       INTEGER NOT NULL,
    error_message      TEXT NOT NULL,
    started_at         REAL NOT NULL,
    updated_at         REAL NOT NULL,
    deadline_at        REAL,
    due_at             REAL,
    seq                INTEGER NOT NULL,
    flags              TEXT NOT NULL,  -- a JSON list
    digest             BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sagas_by_start ON sagas (started_at, id);
CREATE INDEX sagas_by_status ON sagas (status, started_at, id);
CREATE INDEX sagas_by_name ON sagas (saga_name, started_at, id);
CREATE INDEX sagas_by_request ON sagas (request_id, started_at, id);
CREATE INDEX sagas_for_people ON sagas (started_at, id) WHERE needs_person = 1;
CREATE INDEX sagas_open ON sagas (due_at, id, status) WHERE status IN ('RUNNING', 'COMPENSATING');

-- The truth. digest is chained: over the digest of the saga's record before it and all columns of this one.
-- With rowids: records of many sagas are added at one end, which dirties far fewer pages than one place
-- a saga would (a third less log written at 64 sagas at a time).
CREATE TABLE records (
    saga_id TEXT NOT NULL REFERENCES sagas (id),
    seq     INTEGER NOT NULL,
    token   INTEGER NOT NULL,
    at      REAL NOT NULL,
    type    TEXT NOT NULL,
    payload TEXT NOT NULL,
    digest  BLOB NOT NULL,
    PRIMARY KEY (saga_id, seq)
) STRICT;

CREATE TABLE quarantines (
    saga_id TEXT PRIMARY KEY REFERENCES sagas (id),
    reason  TEXT NOT NULL,
    at      REAL NOT NULL
) STRICT, WITHOUT ROWID;
