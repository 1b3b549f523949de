-- The whole profile is in each event, so the newest of the wave is all that counts.
UPDATE users u
SET external_id = c.external_id, name = c.user_name, updated_at = c.at, position = c.position, epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (conversation) conversation, external_id, user_name, at, position, epoch, index
    FROM batch WHERE wave = $1 AND type = 'user.updated' ORDER BY conversation, index DESC
) c
WHERE u.user_id = c.conversation AND (u.epoch, u.index) < (c.epoch, c.index);
