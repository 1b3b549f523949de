INSERT INTO users
SELECT conversation, tenant, external_id, user_name, at, at, position, epoch, partition, index
FROM batch WHERE wave = $1 AND type = 'user.registered'
ON CONFLICT (user_id) DO NOTHING;
