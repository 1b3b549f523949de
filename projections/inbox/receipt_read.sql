UPDATE pointers p
SET read_seq = c.read_seq, delivered_seq = c.delivered_seq, epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (conversation, actor) conversation, actor, read_seq, delivered_seq, epoch, index
    FROM batch WHERE wave = $1 AND type = 'receipt.read' ORDER BY conversation, actor, index DESC
) c
WHERE p.user_id = c.actor AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
