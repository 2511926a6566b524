-- What is registered under each name and version. The text stands here too, and not only in `definitions`:
-- content that no saga began with leaves nothing behind when it is replaced.

CREATE TABLE registrations (
    name          TEXT NOT NULL,
    version       TEXT NOT NULL,     -- empty where it names none
    digest        TEXT NOT NULL,
    number        INTEGER NOT NULL,  -- the later its content was registered, the larger
    registered_at REAL NOT NULL,
    used_at       REAL,              -- when the first saga was started with this content
    file_digest   TEXT,              -- of what stands in the file of this name and version
    through_api   INTEGER NOT NULL,
    retired_at    REAL,
    text          TEXT NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE UNIQUE INDEX registrations_by_number ON registrations (number);

-- A version that sagas of an older journal began with is in use: it holds what the newest of them began with.
-- Files that are still there are taken up at this start.
WITH newest AS (
    SELECT saga_name AS name, coalesce(definition_version, '') AS version, definition_digest AS digest,
        max(started_at) AS started_at
    FROM sagas GROUP BY 1, 2
),
oldest AS (
    SELECT saga_name AS name, coalesce(definition_version, '') AS version, min(started_at) AS started_at
    FROM sagas GROUP BY 1, 2
)
INSERT INTO registrations
SELECT newest.name, newest.version, newest.digest, row_number() OVER (ORDER BY oldest.started_at),
    oldest.started_at, oldest.started_at, NULL, 0, NULL, definitions.text
FROM newest
JOIN oldest ON oldest.name = newest.name AND oldest.version = newest.version
JOIN definitions ON definitions.digest = newest.digest;
