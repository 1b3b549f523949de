WITH
removed AS (
    SELECT b.conversation, r.seq, b.epoch, b.index
    FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (seq BIGINT) WHERE b.wave = $1 AND b.type = 'message.deleted'
),
counted AS (
    UPDATE reaction_counts c SET count = 0 FROM removed d WHERE c.conversation = d.conversation AND c.seq = d.seq
)
UPDATE reactions r SET present = FALSE, epoch = d.epoch, index = d.index
FROM removed d WHERE r.conversation = d.conversation AND r.seq = d.seq AND (r.epoch, r.index) < (d.epoch, d.index);
