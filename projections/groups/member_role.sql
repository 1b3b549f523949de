-- The newest of the wave is all that counts.
UPDATE members m SET role = c.role, epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (conversation, users[1]) conversation, users[1] AS user_id, role, epoch, index
    FROM batch WHERE wave = $1 AND type = 'member.role' ORDER BY conversation, users[1], index DESC
) c
WHERE m.conversation = c.conversation AND m.user_id = c.user_id AND (m.epoch, m.index) < (c.epoch, c.index);
