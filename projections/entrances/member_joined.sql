WITH used AS (
    UPDATE invites i SET uses = i.uses + u.uses, epoch = u.epoch, index = u.index
    FROM (
        SELECT b.conversation, b.body ->> 'invite' AS invite, sum(cardinality(b.users)) AS uses, max(b.epoch) AS epoch, max(b.index) AS index
        FROM batch b JOIN invites i ON i.conversation = b.conversation AND i.invite = b.body ->> 'invite'
        WHERE b.wave = $1 AND b.type = 'member.joined' AND (i.epoch, i.index) < (b.epoch, b.index)
        GROUP BY b.conversation, b.body ->> 'invite'
    ) u
    WHERE i.conversation = u.conversation AND i.invite = u.invite
)
UPDATE join_requests r SET pending = FALSE, epoch = c.epoch, index = c.index
FROM (
    SELECT conversation, user_id, max(epoch) AS epoch, max(index) AS index
    FROM batch, unnest(users) AS u (user_id) WHERE wave = $1 AND type = 'member.joined' GROUP BY conversation, user_id
) c
WHERE r.conversation = c.conversation AND r.user_id = c.user_id AND (r.epoch, r.index) < (c.epoch, c.index);
