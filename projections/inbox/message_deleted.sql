-- Sending had moved the sender's own pointers: where `message.sent` is compacted away, this tells of it.
UPDATE pointers p
SET read_seq = greatest(p.read_seq, c.seq), delivered_seq = greatest(p.delivered_seq, c.seq),
    last_sent_at = CASE WHEN c.seq > p.joined_seq THEN greatest(p.last_sent_at, c.at) ELSE p.last_sent_at END, epoch = c.epoch, index = c.index
FROM (
    SELECT b.conversation, r.sender, max(r.seq) AS seq, max(r.at) AS at, max(b.epoch) AS epoch, max(b.index) AS index
    FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (seq BIGINT, sender TEXT, at BIGINT)
    WHERE b.wave = $1 AND b.type = 'message.deleted' GROUP BY b.conversation, r.sender
) c
WHERE p.user_id = c.sender AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
