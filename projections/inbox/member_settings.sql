-- All settings are in each event, so the newest of the wave is all that counts.
UPDATE pointers p
SET muted_until = (c.body ->> 'muted_until')::BIGINT, pinned = (c.body ->> 'pinned')::BOOLEAN,
    archived_seq = (c.body ->> 'archived_seq')::BIGINT, notify = c.body ->> 'notify', epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (conversation, actor) conversation, actor, body, epoch, index
    FROM batch WHERE wave = $1 AND type = 'member.settings' ORDER BY conversation, actor, index DESC
) c
WHERE p.user_id = c.actor AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
