-- What operators did shows in the row, and when a saga turned back. The moment stands in the records: it is that
-- of the first one that turns a saga back. A saga whose records are damaged gets a moment that is not too early.

ALTER TABLE sagas ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sagas ADD COLUMN turned_back_at REAL;

UPDATE sagas SET turned_back_at = coalesce(
    (
        SELECT at FROM records
        WHERE saga_id = sagas.id
            AND (
                type IN ('CancelRequested', 'DeadlinePassed', 'StepRefused')
                OR (type = 'StepFaulted' AND payload LIKE '%"retry_at":null}')
            )
        ORDER BY seq LIMIT 1
    ),
    updated_at
) WHERE turned_back = 1;

ALTER TABLE sagas DROP COLUMN turned_back;

-- Of the few that undo at one time: which turned back first.
CREATE INDEX sagas_undoing ON sagas (turned_back_at, status) WHERE status = 'COMPENSATING';

-- With the column of its own condition, which SQLite looks at: counting dead letters then reads no row.
DROP INDEX sagas_for_people;
CREATE INDEX sagas_for_people ON sagas (started_at, id, needs_person) WHERE needs_person = 1;
