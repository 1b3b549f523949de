-- The newest of the wave is all that counts.
UPDATE pointers p
SET blocks = (c.body ->> 'blocked')::BOOLEAN, epoch = c.epoch, index = c.index
FROM (
    SELECT DISTINCT ON (conversation, actor) conversation, actor, body, epoch, index
    FROM batch WHERE wave = $1 AND type = 'member.block' ORDER BY conversation, actor, index DESC
) c
WHERE p.user_id = c.actor AND p.conversation = c.conversation AND (p.epoch, p.index) < (c.epoch, c.index);
