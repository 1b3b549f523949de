-- A wave has one epoch of a conversation, and everything here only rises.
INSERT INTO heads AS h
SELECT conversation, max(position), max(last_seq), max(at), max(epoch), max(partition), max(index)
FROM batch WHERE wave = $1 AND position > 0 GROUP BY conversation
ON CONFLICT (conversation) DO UPDATE
SET last_position = EXCLUDED.last_position, last_seq = EXCLUDED.last_seq, last_at = EXCLUDED.last_at,
    epoch = EXCLUDED.epoch, partition = EXCLUDED.partition, index = EXCLUDED.index
WHERE (h.epoch, h.index) < (EXCLUDED.epoch, EXCLUDED.index);
