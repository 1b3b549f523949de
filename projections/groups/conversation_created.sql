WITH created AS (
    INSERT INTO conversations (conversation, tenant, kind, name, name_causation, creator, created_at, members_count, next_slot, epoch, partition, index)
    SELECT conversation, tenant, kind, name, causation, actor, at, cardinality(users), cardinality(users), epoch, partition, index
    FROM batch WHERE wave = $1 AND type = 'conversation.created'
    ON CONFLICT (conversation) DO NOTHING
)
INSERT INTO members
SELECT b.conversation, u.user_id, b.roles[u.n], u.n - 1, b.at, b.position, 0, NULL, NULL, b.epoch, b.partition, b.index
FROM batch b, unnest(b.users) WITH ORDINALITY AS u (user_id, n)
WHERE b.wave = $1 AND b.type = 'conversation.created'
ON CONFLICT (conversation, user_id) DO NOTHING;
