INSERT INTO invites (conversation, invite, made_by, made_at, expires_at, max_uses, role, epoch, partition, index)
SELECT conversation, body ->> 'invite', actor, at, (body ->> 'expires_at')::BIGINT, (body ->> 'max_uses')::BIGINT, body ->> 'role', epoch,
       partition, index
FROM batch WHERE wave = $1 AND type = 'invite.created'
ON CONFLICT DO NOTHING;
