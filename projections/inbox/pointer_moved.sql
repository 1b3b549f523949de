-- A receipt has both pointers; sending moves the sender's own. The newest of the wave is all that counts.
UPDATE pointers p
SET read_seq = c.read_seq, delivered_seq = c.delivered_seq, last_sent_at = COALESCE(c.last_sent_at, p.last_sent_at), epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (conversation, actor) conversation, actor, epoch, index,
           max(at) FILTER (WHERE type = 'message.sent') OVER (PARTITION BY conversation, actor) AS last_sent_at,
           CASE type WHEN 'message.sent' THEN seq ELSE read_seq END AS read_seq,
           CASE type WHEN 'message.sent' THEN seq ELSE delivered_seq END AS delivered_seq
    FROM batch WHERE wave = $1 AND type IN ('message.sent', 'receipt.read', 'receipt.delivered')
    ORDER BY conversation, actor, index DESC
) c
WHERE p.user_id = c.actor AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
