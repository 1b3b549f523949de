-- Sending moves the sender's own pointers.
UPDATE pointers p
SET read_seq = c.seq, delivered_seq = c.seq, epoch = c.epoch, index = c.index
FROM (
    SELECT conversation, actor, max(seq) AS seq, max(epoch) AS epoch, max(index) AS index
    FROM batch WHERE wave = $1 AND type = 'message.sent' GROUP BY conversation, actor
) c
WHERE p.user_id = c.actor AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
