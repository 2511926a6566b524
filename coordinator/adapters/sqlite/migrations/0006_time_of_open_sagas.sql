-- Recovery asks of every open saga how far its own time has come, and reads that, as all it asks, from the index
-- alone: a damaged page of rows then keeps no other saga from being taken up.

DROP INDEX sagas_open;
CREATE INDEX sagas_open ON sagas (due_at, id, status, updated_at) WHERE status IN ('RUNNING', 'COMPENSATING');
