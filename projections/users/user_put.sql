-- The whole profile is in each event, so the newest of the wave is all that counts.
INSERT INTO users AS u
SELECT DISTINCT ON (conversation) conversation, tenant, external_id, user_name, position, at, epoch, partition, index
FROM batch WHERE wave = $1 AND type IN ('user.registered', 'user.updated')
ORDER BY conversation, index DESC
ON CONFLICT (user_id) DO UPDATE
SET external_id = EXCLUDED.external_id, name = EXCLUDED.name, position = EXCLUDED.position, updated_at = EXCLUDED.updated_at,
    epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (u.epoch, u.index) < (EXCLUDED.epoch, EXCLUDED.index);
