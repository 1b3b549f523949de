INSERT INTO pointers (conversation, user_id, read_seq, delivered_seq, epoch, partition, index)
SELECT b.conversation, u.user_id, 0, 0, b.epoch, b.partition, b.index
FROM batch b, unnest(b.users) AS u (user_id)
WHERE b.wave = $1 AND b.type = 'conversation.created'
ON CONFLICT (user_id, conversation) DO NOTHING;
