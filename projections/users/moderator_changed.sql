-- The newest of the wave is all that counts.
UPDATE users u
SET moderator = (c.body ->> 'moderator')::BOOLEAN, updated_at = c.at, position = c.position, epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (conversation) conversation, body, at, position, epoch, index
    FROM batch WHERE wave = $1 AND type = 'user.moderator_changed' ORDER BY conversation, index DESC
) c
WHERE u.user_id = c.conversation AND (u.epoch, u.index) < (c.epoch, c.index);
