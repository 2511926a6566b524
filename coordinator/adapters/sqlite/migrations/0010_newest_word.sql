-- The newest number that a word has. One that is lost with its word is not to become another's, which would be read
-- for it without a word: the chain of digests covers numbers only.

ALTER TABLE journal ADD COLUMN words INTEGER NOT NULL DEFAULT 0;

UPDATE journal SET words = (SELECT coalesce(max(number), 0) FROM words);
