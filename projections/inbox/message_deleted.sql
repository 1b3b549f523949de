-- Sending had moved the sender's own pointers: where `message.sent` is compacted away, this tells of it.
UPDATE pointers p
SET read_seq = greatest(p.read_seq, c.seq), delivered_seq = greatest(p.delivered_seq, c.seq), epoch = c.epoch, index = c.index
FROM (
    SELECT b.conversation, r.sender, max(r.seq) AS seq, max(b.epoch) AS epoch, max(b.index) AS index
    FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (seq BIGINT, sender TEXT)
    WHERE b.wave = $1 AND b.type = 'message.deleted' GROUP BY b.conversation, r.sender
) c
WHERE p.user_id = c.sender AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
