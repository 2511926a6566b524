-- Where a saga is followed shows in the row, so that also one whose records cannot be read any more is found in its
-- trace. A saga of an older journal was followed nowhere.

ALTER TABLE sagas ADD COLUMN trace TEXT NOT NULL DEFAULT '';
