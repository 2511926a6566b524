-- Events that are written together and are of one moment stand in one row of `records`: its number is that of the last
-- one, and its payload is a list of them. The rows that are there stay as they are.

INSERT INTO event_types VALUES (-1, 'Several');
