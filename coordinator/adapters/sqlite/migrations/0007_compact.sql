-- The same in half the bytes: what is written for each saga, and again and again while it runs, is what its journal
-- costs. Sagas have numbers, in the order in which they were written, and all that belongs to a saga names it by that.

DROP INDEX sagas_by_start;
DROP INDEX sagas_by_status;
DROP INDEX sagas_by_name;
DROP INDEX sagas_by_request;
DROP INDEX sagas_by_signature;
DROP INDEX sagas_for_people;
DROP INDEX sagas_open;
DROP INDEX sagas_undoing;
ALTER TABLE requests RENAME TO old_requests;
ALTER TABLE sagas RENAME TO old_sagas;
ALTER TABLE records RENAME TO old_records;
ALTER TABLE quarantines RENAME TO old_quarantines;

-- Its key holds nothing but the ids: callers choose them, so each new one dirties another page of it.
CREATE TABLE requests (
    request_id TEXT NOT NULL,
    front_door TEXT NOT NULL,
    content    TEXT NOT NULL,
    saga_id    TEXT NOT NULL,
    PRIMARY KEY (request_id, front_door)
) STRICT;

-- The projection, but for what changes with every record: most rows are written when their saga starts, and when it
-- ends.
CREATE TABLE sagas (
    number             INTEGER PRIMARY KEY,
    id                 TEXT NOT NULL UNIQUE,
    saga_name          TEXT NOT NULL,
    definition_version TEXT,
    definition_digest  TEXT NOT NULL REFERENCES definitions (digest),
    front_door         TEXT NOT NULL,
    request_id         TEXT NOT NULL,
    started_at         REAL NOT NULL,
    trace              TEXT NOT NULL,
    status             TEXT NOT NULL,
    turned_back_at     REAL,
    needs_person       INTEGER NOT NULL,
    error_message      TEXT NOT NULL,
    deadline_at        REAL,
    flags              TEXT NOT NULL,  -- a JSON list
    forced             INTEGER NOT NULL,
    signature          TEXT
) STRICT;

-- The rest of each saga's row. seq and digest are those of its newest record, so that a missing tail is noticed.
CREATE TABLE heads (
    saga       INTEGER PRIMARY KEY REFERENCES sagas (number),
    updated_at REAL NOT NULL,
    due_at     REAL,
    seq        INTEGER NOT NULL,
    digest     BLOB NOT NULL
) STRICT;

-- What the numbers of types in `records` mean.
CREATE TABLE event_types (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

-- The truth. digest is chained: over the digest of the saga's record before it, the saga's id, the type's name, and all
-- other columns of this one. With rowids: records of many sagas are added at one end, which dirties far fewer pages
-- than one place a saga would.
CREATE TABLE records (
    saga    INTEGER NOT NULL REFERENCES sagas (number),
    seq     INTEGER NOT NULL,
    token   INTEGER NOT NULL,
    at      REAL NOT NULL,
    type    INTEGER NOT NULL,
    payload TEXT NOT NULL,
    digest  BLOB NOT NULL,
    PRIMARY KEY (saga, seq)
) STRICT;

CREATE TABLE quarantines (
    saga   INTEGER PRIMARY KEY REFERENCES sagas (number),
    reason TEXT NOT NULL,
    at     REAL NOT NULL
) STRICT;

INSERT INTO event_types VALUES
    (1, 'SagaStarted'), (2, 'SagaResumed'), (3, 'CancelRequested'), (4, 'DeadlinePassed'), (5, 'StepBegun'),
    (6, 'PivotBegun'), (7, 'StepOmitted'), (8, 'ExpressionFailed'), (9, 'OutputShaped'), (10, 'StepSucceeded'),
    (11, 'StepRefused'), (12, 'StepPending'), (13, 'StepFaulted'), (14, 'UndoBegun'), (15, 'StepCompensated'),
    (16, 'UndoRefused'), (17, 'UndoPending'), (18, 'UndoFaulted'), (19, 'OperatorActed');

INSERT INTO requests SELECT request_id, front_door, content, saga_id FROM old_requests;

INSERT INTO sagas
SELECT NULL, id, saga_name, definition_version, definition_digest, front_door, request_id, started_at, trace, status,
    turned_back_at, needs_person, error_message, deadline_at, flags, forced, signature
FROM old_sagas ORDER BY started_at, id;

INSERT INTO heads
SELECT number, old_sagas.updated_at, due_at, seq, digest FROM sagas JOIN old_sagas USING (id) ORDER BY number;

-- Outer joins: a record that belongs to no saga stops this, rather than being forgotten. A type that is none becomes
-- 0, which is none.
INSERT INTO records
SELECT sagas.number, seq, token, at, coalesce(event_types.number, 0), payload, digest
FROM old_records LEFT JOIN sagas ON sagas.id = saga_id LEFT JOIN event_types ON event_types.name = type
ORDER BY old_records.rowid;

INSERT INTO quarantines
SELECT number, reason, at FROM old_quarantines LEFT JOIN sagas ON sagas.id = saga_id;

DROP TABLE old_quarantines;
DROP TABLE old_records;
DROP TABLE old_sagas;
DROP TABLE old_requests;

-- Each ends with the number of its saga, as all indexes do: lists of one moment are in that order. A saga's request id
-- is looked for in `requests`.
CREATE INDEX sagas_by_start ON sagas (started_at);
CREATE INDEX sagas_by_status ON sagas (status, started_at);
CREATE INDEX sagas_by_name ON sagas (saga_name, started_at);
CREATE INDEX sagas_for_people ON sagas (needs_person, started_at) WHERE needs_person = 1;
CREATE INDEX sagas_by_signature ON sagas (signature, saga_name, needs_person) WHERE needs_person = 1;
CREATE INDEX sagas_undoing ON sagas (turned_back_at, status) WHERE status = 'COMPENSATING';
-- With their ids: a damaged page of rows keeps no other saga from being taken up.
CREATE INDEX sagas_open ON sagas (id, status) WHERE status IN ('RUNNING', 'COMPENSATING');
