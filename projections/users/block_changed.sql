-- The last of the wave is all that counts.
WITH moved AS (
    UPDATE users u SET position = c.position, updated_at = c.at, epoch = c.epoch, index = c.index
    FROM (
        SELECT DISTINCT ON (conversation) conversation, position, at, epoch, index
        FROM batch WHERE wave = $1 AND type IN ('user.blocked', 'user.unblocked') ORDER BY conversation, index DESC
    ) c
    WHERE u.user_id = c.conversation AND (u.epoch, u.index) < (c.epoch, c.index)
)
INSERT INTO blocks AS b
SELECT DISTINCT ON (user_id, blocked) user_id, blocked, present, epoch, partition, index
FROM (SELECT conversation AS user_id, body ->> 'user' AS blocked, type = 'user.blocked' AS present, epoch, partition, index
      FROM batch WHERE wave = $1 AND type IN ('user.blocked', 'user.unblocked')) each
ORDER BY user_id, blocked, index DESC
ON CONFLICT (user_id, blocked) DO UPDATE SET present = EXCLUDED.present, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (b.epoch, b.index) < (EXCLUDED.epoch, EXCLUDED.index);
