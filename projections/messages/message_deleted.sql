WITH
removed AS (
    SELECT b.conversation, r.seq, r.sender, r.positions, r.at, r.client_id, b.epoch, b.partition, b.index
    FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (seq BIGINT, sender TEXT, positions BIGINT[], at BIGINT, client_id UUID)
    WHERE b.wave = $1 AND b.type = 'message.deleted'
),
-- Where `message.sent` is compacted away, a retry must hear all the same that it was sent.
ids AS (
    INSERT INTO client_ids
    SELECT conversation, client_id, sender, seq, positions[1], at, partition FROM removed WHERE client_id IS NOT NULL
    ON CONFLICT DO NOTHING
)
INSERT INTO messages AS m (conversation, seq, deleted, epoch, partition, index)
SELECT conversation, seq, TRUE, epoch, partition, index FROM removed
ON CONFLICT (conversation, seq) DO UPDATE
SET deleted = TRUE, position = NULL, sender = NULL, client_id = NULL, at = NULL, text = NULL, causation = NULL, reply_to = NULL,
    thread = NULL, mentions = '{}', edits = '{}', edited_at = NULL, edit_text = NULL, edit_causation = NULL, fingerprint = NULL,
    sent_mentions = NULL, content = NULL, more = NULL, expires_at = NULL, located = NULL, located_causation = NULL, live_until = NULL,
    epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (m.epoch, m.index) < (EXCLUDED.epoch, EXCLUDED.index);
