-- The events that held the messages are no more.
INSERT INTO timeline AS t (conversation, position, type, seq, event, epoch, partition, index)
SELECT b.conversation, removed.position, 'removed', 0, NULL, b.epoch, b.partition, b.index
FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (positions BIGINT[]), unnest(r.positions) AS removed (position)
WHERE b.wave = $1 AND b.type = 'message.deleted'
ON CONFLICT (conversation, position) DO UPDATE
SET type = EXCLUDED.type, seq = 0, event = NULL, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (t.epoch, t.index) < (EXCLUDED.epoch, EXCLUDED.index);
