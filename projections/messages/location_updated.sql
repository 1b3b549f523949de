WITH
-- Not yet applied, by the message's own guard.
fresh AS (
    SELECT b.conversation, m.seq, b.position, b.causation, b.body, b.epoch, b.index
    FROM batch b JOIN messages m ON m.conversation = b.conversation AND m.seq = (b.body ->> 'seq')::BIGINT
    WHERE b.wave = $1 AND b.type = 'location.updated' AND NOT m.deleted AND (b.epoch, b.index) > (m.epoch, m.index)
),
positions AS (
    SELECT conversation, seq, array_agg(position ORDER BY index) AS positions FROM fresh GROUP BY conversation, seq
),
newest AS (
    SELECT DISTINCT ON (conversation, seq) * FROM fresh ORDER BY conversation, seq, index DESC
)
UPDATE messages m
SET edits = m.edits || p.positions, located = decode(n.body ->> 'content', 'hex'), located_causation = n.causation,
    live_until = (n.body ->> 'live_until')::BIGINT, epoch = n.epoch, index = n.index
FROM newest n JOIN positions p USING (conversation, seq)
WHERE m.conversation = n.conversation AND m.seq = n.seq;
