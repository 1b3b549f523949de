WITH
each AS (
    SELECT conversation, (body ->> 'seq')::BIGINT AS seq, tenant, type, actor, at, causation, text, body, epoch, partition, index
    FROM batch WHERE wave = $1 AND type IN ('message.reported', 'report.resolved')
),
-- The last of the wave of each member is all that counts.
said AS (
    INSERT INTO reports AS r
    SELECT DISTINCT ON (conversation, seq, actor) conversation, seq, actor, body ->> 'reason', text, causation,
           decode(body ->> 'fingerprint', 'hex'), at, epoch, partition, index
    FROM each WHERE type = 'message.reported' ORDER BY conversation, seq, actor, index DESC
    ON CONFLICT (conversation, seq, user_id) DO UPDATE
    SET reason = EXCLUDED.reason, comment = EXCLUDED.comment, causation = EXCLUDED.causation, fingerprint = EXCLUDED.fingerprint,
        at = EXCLUDED.at, epoch = EXCLUDED.epoch, index = EXCLUDED.index
    WHERE (r.epoch, r.index) < (EXCLUDED.epoch, EXCLUDED.index)
),
-- And of each message, as each report says since when the message waits.
newest_report AS (
    SELECT DISTINCT ON (conversation, seq) conversation, seq, tenant, body ->> 'sender' AS sender, (body ->> 'opened_at')::BIGINT AS opened_at,
           at, epoch, partition, index
    FROM each WHERE type = 'message.reported' ORDER BY conversation, seq, index DESC
),
newest_resolution AS (
    SELECT DISTINCT ON (conversation, seq) conversation, seq, tenant, body ->> 'outcome' AS outcome, actor, at, epoch, partition, index
    FROM each WHERE type = 'report.resolved' ORDER BY conversation, seq, index DESC
)
INSERT INTO reported AS r
SELECT conversation, seq, COALESCE(p.tenant, s.tenant), COALESCE(p.index, 0) > COALESCE(s.index, 0), p.sender, p.opened_at, p.at, s.outcome,
       s.actor, s.at, COALESCE(p.epoch, s.epoch), COALESCE(p.partition, s.partition), GREATEST(p.index, s.index)
FROM newest_report p FULL JOIN newest_resolution s USING (conversation, seq)
ON CONFLICT (conversation, seq) DO UPDATE
SET open = EXCLUDED.open, sender = COALESCE(EXCLUDED.sender, r.sender), opened_at = COALESCE(EXCLUDED.opened_at, r.opened_at),
    last_at = COALESCE(EXCLUDED.last_at, r.last_at), outcome = COALESCE(EXCLUDED.outcome, r.outcome),
    resolved_by = COALESCE(EXCLUDED.resolved_by, r.resolved_by), resolved_at = COALESCE(EXCLUDED.resolved_at, r.resolved_at),
    epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (r.epoch, r.index) < (EXCLUDED.epoch, EXCLUDED.index);
