-- Joining starts at the newest message, and anew.
INSERT INTO pointers AS p (conversation, user_id, read_seq, delivered_seq, joined_seq, epoch, partition, index)
SELECT DISTINCT ON (b.conversation, u.user_id)
       b.conversation, u.user_id, b.read_seq, b.read_seq, b.read_seq, b.epoch, b.partition, b.index
FROM batch b, unnest(b.users) AS u (user_id)
WHERE b.wave = $1 AND b.type = 'member.joined'
ORDER BY b.conversation, u.user_id, b.index DESC
ON CONFLICT (user_id, conversation) DO UPDATE
SET read_seq = EXCLUDED.read_seq, delivered_seq = EXCLUDED.delivered_seq, left_position = NULL, left_seq = NULL,
    joined_seq = EXCLUDED.joined_seq, last_sent_at = NULL, muted_until = NULL, pinned = FALSE, archived_seq = NULL, notify = 'all', draft = NULL, draft_causation = NULL,
    epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (p.epoch, p.index) < (EXCLUDED.epoch, EXCLUDED.index);
