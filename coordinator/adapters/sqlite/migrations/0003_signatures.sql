-- What a saga needs a person for shows in the row, so that dead letters can be counted by it: the step, a space
-- and the cause; of one that was set aside, a space and SET_ASIDE. So are those whose records do not tell.

ALTER TABLE sagas ADD COLUMN signature TEXT;

UPDATE sagas SET signature = ' SET_ASIDE' WHERE needs_person = 1;

-- The newest word on the undo of a step settles whether it failed. An operator's is a FAIL of the undo only
-- where that had begun. Of a saga's failed undos the one of its last step counts: it is the first to be undone.
-- Nothing that is no JSON is read as JSON, which would stop the start for one damaged record.
WITH
told AS MATERIALIZED (
    SELECT records.saga_id, records.seq, type, definition_digest,
        json_extract(payload, '$.step') AS step,
        json_extract(payload, '$.verb') AS verb,
        json_extract(payload, '$.retry_at') AS retry_at
    FROM sagas INDEXED BY sagas_for_people CROSS JOIN records ON records.saga_id = sagas.id
    WHERE needs_person = 1
        AND sagas.id NOT IN (SELECT saga_id FROM quarantines)
        AND type IN ('UndoBegun', 'UndoRefused', 'UndoFaulted', 'OperatorActed')
        AND json_valid(payload)
),
-- The columns beside max() are those of the newest record.
newest AS (
    SELECT saga_id, definition_digest, step, type, verb, retry_at, max(seq), sum(type = 'UndoBegun') AS begun
    FROM told GROUP BY saga_id, step
),
failed AS (
    SELECT saga_id, definition_digest, step, iif(type = 'UndoRefused', 'REFUSED', 'BUDGET_SPENT') AS cause
    FROM newest
    WHERE type = 'UndoRefused'
        OR (type = 'UndoFaulted' AND retry_at IS NULL)
        OR (type = 'OperatorActed' AND verb = 'FAIL' AND begun > 0)
),
places AS MATERIALIZED (
    SELECT digest, json_extract(entry.value, '$.name') AS step, entry.key AS place
    FROM definitions, json_each(iif(json_valid(text), text, '{}'), '$.steps') AS entry
    WHERE entry.type = 'object'
),
signatures AS (
    SELECT saga_id, failed.step || ' ' || cause AS signature, max(place)
    FROM failed JOIN places ON digest = definition_digest AND places.step = failed.step
    GROUP BY saga_id
)
UPDATE sagas SET signature = signatures.signature FROM signatures WHERE sagas.id = signatures.saga_id;

-- The signature first: a list of one definition's dead letters, newest first, would be sorted if it took this one.
CREATE INDEX sagas_by_signature ON sagas (signature, saga_name, needs_person) WHERE needs_person = 1;
