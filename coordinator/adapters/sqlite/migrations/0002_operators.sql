-- What an operator decided shows in the row, and how long an undo has been going on can be asked of it.

ALTER TABLE sagas ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sagas ADD COLUMN turned_back_at REAL;

-- The moment itself is in the saga's records; its newest record is the nearest that a row knows.
UPDATE sagas SET turned_back_at = updated_at WHERE turned_back = 1;

ALTER TABLE sagas DROP COLUMN turned_back;
