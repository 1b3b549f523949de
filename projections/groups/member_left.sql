WITH
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
-- A user can be promoted by one event and leave by the next of the same wave: one row each, the newest counts for presence.
changes AS (
    SELECT conversation, user_id, bool_or(gone) AS gone, bool_or(NOT gone) AS promoted, max(epoch) AS epoch, max(index) AS index
    FROM (
        SELECT f.conversation, u.user_id, TRUE AS gone, f.epoch, f.index FROM fresh f, unnest(f.users) AS u (user_id)
        UNION ALL
        SELECT f.conversation, f.promoted, FALSE, f.epoch, f.index FROM fresh f WHERE f.promoted IS NOT NULL
    ) AS each GROUP BY conversation, user_id
)
UPDATE members m
SET present = m.present AND NOT c.gone, role = CASE WHEN c.promoted THEN 'owner' ELSE m.role END, epoch = c.epoch, index = c.index
FROM changes c
WHERE m.conversation = c.conversation AND m.user_id = c.user_id AND (m.epoch, m.index) < (c.epoch, c.index);
