-- What came later is not for those who left, so their row remembers where that was.
UPDATE pointers p
SET left_position = c.position, left_seq = c.last_seq, epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (b.conversation, u.user_id) b.conversation, u.user_id, b.position, b.last_seq, b.epoch, b.index
    FROM batch b, unnest(b.users) AS u (user_id)
    WHERE b.wave = $1 AND b.type = 'member.left'
    ORDER BY b.conversation, u.user_id, b.index DESC
) c
WHERE p.user_id = c.user_id AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
