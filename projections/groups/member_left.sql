WITH
-- Not yet applied, by the conversation's own guard.
fresh AS (
    SELECT b.* FROM batch b JOIN conversations c USING (conversation)
    WHERE b.wave = $1 AND b.type = 'member.left' AND (b.epoch, b.index) > (c.epoch, c.index)
),
counted AS (
    UPDATE conversations c
    SET members_count = c.members_count - f.gone, epoch = f.epoch, index = f.index
    FROM (
        SELECT conversation, sum(cardinality(users)) AS gone, max(epoch) AS epoch, max(index) AS index
        FROM fresh GROUP BY conversation
    ) f
    WHERE c.conversation = f.conversation
),
-- A user can be promoted by one event and leave by a later one of the same wave: one row each.
changes AS (
    SELECT conversation, user_id, max(left_at) AS left_at, max(left_position) AS left_position, bool_or(promoted) AS promoted,
           max(epoch) AS epoch, max(index) AS index
    FROM (
        SELECT f.conversation, u.user_id, f.at AS left_at, f.position AS left_position, FALSE AS promoted, f.epoch, f.index
        FROM fresh f, unnest(f.users) AS u (user_id)
        UNION ALL
        SELECT f.conversation, f.promoted, NULL, NULL, TRUE, f.epoch, f.index FROM fresh f WHERE f.promoted IS NOT NULL
    ) AS each GROUP BY conversation, user_id
)
UPDATE members m
SET left_at = COALESCE(c.left_at, m.left_at), left_position = COALESCE(c.left_position, m.left_position),
    role = CASE WHEN c.promoted THEN 'owner' ELSE m.role END, epoch = c.epoch, index = c.index
FROM changes c
WHERE m.conversation = c.conversation AND m.user_id = c.user_id AND (m.epoch, m.index) < (c.epoch, c.index);
