WITH created AS (
    INSERT INTO conversations
    SELECT conversation, tenant, kind, name, causation, actor, at, cardinality(users), cardinality(users), epoch, partition, index
    FROM batch WHERE wave = $1 AND type = 'conversation.created'
    ON CONFLICT (conversation) DO NOTHING
)
INSERT INTO members
SELECT b.conversation, u.user_id, b.roles[u.n], u.n - 1, b.at, b.position, NULL, NULL, b.epoch, b.partition, b.index
FROM batch b, unnest(b.users) WITH ORDINALITY AS u (user_id, n)
WHERE b.wave = $1 AND b.type = 'conversation.created'
ON CONFLICT (conversation, user_id) DO NOTHING;
