UPDATE pointers p
SET present = FALSE, epoch = c.epoch, index = c.index
FROM (
    SELECT b.conversation, u.user_id, max(b.epoch) AS epoch, max(b.index) AS index
    FROM batch b, unnest(b.users) AS u (user_id)
    WHERE b.wave = $1 AND b.type = 'member.left' GROUP BY b.conversation, u.user_id
) c
WHERE p.user_id = c.user_id AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
