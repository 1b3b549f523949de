INSERT INTO timeline
SELECT conversation, position, type, seq, CASE WHEN type = 'message.sent' THEN NULL ELSE event END, epoch, partition, index
FROM batch WHERE wave = $1 AND position > 0
ON CONFLICT (conversation, position) DO NOTHING;
