WITH
removed AS (
    SELECT b.conversation, r.seq, b.epoch, b.index
    FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (seq BIGINT) WHERE b.wave = $1 AND b.type = 'message.deleted'
),
counted AS (
    UPDATE poll_counts c SET count = 0 FROM removed d WHERE c.conversation = d.conversation AND c.seq = d.seq
)
UPDATE poll_votes v SET options = '{}', epoch = d.epoch, index = d.index
FROM removed d WHERE v.conversation = d.conversation AND v.seq = d.seq AND (v.epoch, v.index) < (d.epoch, d.index);
