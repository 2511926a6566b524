-- A third less to write for a saga. What is said again and again has a number. Ids and digests stand there as bytes.
-- And no key of the records is written with each of them: each tells the one before it of its saga, and a saga's
-- head its newest. What tells a head that is older than it should be is their sum, in the file's user_version.

DROP INDEX sagas_by_start;
DROP INDEX sagas_by_status;
DROP INDEX sagas_by_name;
DROP INDEX sagas_for_people;
DROP INDEX sagas_by_signature;
DROP INDEX sagas_undoing;
DROP INDEX sagas_open;
ALTER TABLE definitions RENAME TO old_definitions;
ALTER TABLE requests RENAME TO old_requests;
ALTER TABLE sagas RENAME TO old_sagas;
ALTER TABLE heads RENAME TO old_heads;
ALTER TABLE records RENAME TO old_records;
ALTER TABLE quarantines RENAME TO old_quarantines;

-- Names of sagas, steps and front doors, and digests of definitions. Each twice, and in the index: those that a
-- damaged page has lost are read elsewhere.
CREATE TABLE words (
    number INTEGER PRIMARY KEY,
    text   TEXT NOT NULL UNIQUE,
    again  TEXT NOT NULL
) STRICT;

-- Where a column has a word it has its number: digests here; in `requests` and `sagas` front doors, saga_name and
-- definition_digest. ANY: bytes where the text is a UUID or a SHA-256, else the text.
CREATE TABLE definitions (
    digest INTEGER PRIMARY KEY,
    name   TEXT NOT NULL,
    text   TEXT NOT NULL
) STRICT;

CREATE TABLE requests (
    request_id TEXT NOT NULL,
    front_door INTEGER NOT NULL,
    content    ANY NOT NULL,
    saga_id    ANY NOT NULL,
    PRIMARY KEY (request_id, front_door)
) STRICT;

CREATE TABLE sagas (
    number             INTEGER PRIMARY KEY,
    id                 ANY NOT NULL UNIQUE,
    saga_name          INTEGER NOT NULL,
    definition_version TEXT,
    definition_digest  INTEGER NOT NULL REFERENCES definitions (digest),
    front_door         INTEGER NOT NULL,
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

-- seq and digest are those of the saga's newest record, so that a missing tail is noticed; newest is its number.
CREATE TABLE heads (
    saga       INTEGER PRIMARY KEY REFERENCES sagas (number),
    updated_at REAL NOT NULL,
    due_at     REAL,
    seq        INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    newest     INTEGER NOT NULL
) STRICT;

-- The truth. The row before it of the same saga is so many numbers back, 0 for the first one. digest is chained: over
-- the digest of that row, the saga's id, the type's name, and seq, token, at and payload of this one.
CREATE TABLE records (
    number  INTEGER PRIMARY KEY,
    back    INTEGER NOT NULL,
    saga    INTEGER NOT NULL REFERENCES sagas (number),
    seq     INTEGER NOT NULL,
    token   INTEGER NOT NULL,
    at      REAL NOT NULL,
    type    INTEGER NOT NULL,
    payload TEXT NOT NULL,
    digest  BLOB NOT NULL
) STRICT;

CREATE TABLE quarantines (
    saga   INTEGER PRIMARY KEY REFERENCES sagas (number),
    reason TEXT NOT NULL,
    at     REAL NOT NULL
) STRICT;

INSERT INTO words
SELECT row_number() OVER (ORDER BY text), text, text FROM (
    SELECT digest AS text FROM old_definitions
    UNION SELECT definition_digest FROM old_sagas
    UNION SELECT saga_name FROM old_sagas
    UNION SELECT front_door FROM old_sagas
    UNION SELECT front_door FROM old_requests
);

INSERT INTO definitions
SELECT words.number, name, old_definitions.text FROM old_definitions JOIN words ON words.text = digest;

-- By the numbers of their sagas; one that has outlived its saga has a number that no saga gets.
INSERT INTO requests (rowid, request_id, front_door, content, saga_id)
SELECT coalesce(old_sagas.number, -old_requests.rowid), old_requests.request_id, words.number,
    packed(CAST(content AS BLOB)), packed(CAST(saga_id AS BLOB))
FROM old_requests JOIN words ON words.text = old_requests.front_door LEFT JOIN old_sagas ON old_sagas.id = saga_id
    AND old_sagas.request_id = old_requests.request_id AND old_sagas.front_door = old_requests.front_door
ORDER BY 1;

INSERT INTO sagas
SELECT old_sagas.number, packed(CAST(id AS BLOB)), names.number, definition_version, digests.number, doors.number, request_id,
    started_at, trace, status, turned_back_at, needs_person, error_message, deadline_at, flags, forced, signature
FROM old_sagas
    JOIN words AS names ON names.text = saga_name
    JOIN words AS digests ON digests.text = definition_digest
    JOIN words AS doors ON doors.text = front_door
ORDER BY old_sagas.number;

INSERT INTO records
SELECT rowid, coalesce(rowid - lag(rowid) OVER (PARTITION BY saga ORDER BY seq), 0), saga, seq, token, at, type, payload, digest
FROM old_records ORDER BY rowid;

-- One whose newest record is not there leads to none.
INSERT INTO heads
SELECT old_heads.saga, updated_at, due_at, old_heads.seq, old_heads.digest, coalesce(old_records.rowid, 0)
FROM old_heads LEFT JOIN old_records USING (saga, seq);

INSERT INTO quarantines SELECT saga, reason, at FROM old_quarantines;

DROP TABLE old_quarantines;
DROP TABLE old_records;
DROP TABLE old_heads;
DROP TABLE old_sagas;
DROP TABLE old_requests;
DROP TABLE old_definitions;

CREATE INDEX sagas_by_start ON sagas (started_at);
CREATE INDEX sagas_by_status ON sagas (status, started_at);
CREATE INDEX sagas_by_name ON sagas (saga_name, started_at);
CREATE INDEX sagas_for_people ON sagas (needs_person, started_at) WHERE needs_person = 1;
CREATE INDEX sagas_by_signature ON sagas (signature, saga_name, needs_person) WHERE needs_person = 1;
CREATE INDEX sagas_undoing ON sagas (turned_back_at, status) WHERE status = 'COMPENSATING';
CREATE INDEX sagas_open ON sagas (id, status) WHERE status IN ('RUNNING', 'COMPENSATING');
