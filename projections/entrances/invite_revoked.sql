UPDATE invites i SET revoked = TRUE, epoch = b.epoch, index = b.index
FROM (
    SELECT conversation, body ->> 'invite' AS invite, max(epoch) AS epoch, max(index) AS index
    FROM batch WHERE wave = $1 AND type = 'invite.revoked' GROUP BY conversation, body ->> 'invite'
) b
WHERE i.conversation = b.conversation AND i.invite = b.invite AND (i.epoch, i.index) < (b.epoch, b.index);
