WITH ids AS (
    INSERT INTO client_ids
    SELECT conversation, client_id, actor, seq, position, at, partition
    FROM batch WHERE wave = $1 AND type = 'message.sent'
    ON CONFLICT DO NOTHING
)
INSERT INTO messages (conversation, seq, position, sender, client_id, at, text, causation, reply_to, thread, content, more, expires_at,
                      mentions, epoch, partition, index)
SELECT conversation, seq, position, actor, client_id, at, text, causation, reply_to, thread, decode(body ->> 'content', 'hex'), body - 'content',
       (body ->> 'expires_at')::BIGINT, mentions, epoch, partition, index
FROM batch WHERE wave = $1 AND type = 'message.sent'
ON CONFLICT (conversation, seq) DO NOTHING;
