WITH
-- Not yet applied, by the conversation's own guard.
fresh AS (
    SELECT b.* FROM batch b JOIN conversations c USING (conversation)
    WHERE b.wave = $1 AND b.type = 'member.joined' AND (b.epoch, b.index) > (c.epoch, c.index)
),
-- A wave has one epoch of a conversation, so the greatest index is that of the newest event.
counted AS (
    UPDATE conversations c
    SET members_count = c.members_count + f.joined, next_slot = f.next_slot, epoch = f.epoch, index = f.index
    FROM (
        SELECT conversation, sum(cardinality(users)) AS joined, max(first_slot + cardinality(users)) AS next_slot,
               max(epoch) AS epoch, max(index) AS index
        FROM fresh GROUP BY conversation
    ) f
    WHERE c.conversation = f.conversation
)
INSERT INTO members AS m
SELECT DISTINCT ON (f.conversation, u.user_id)
       f.conversation, u.user_id, f.role, f.first_slot + u.n - 1, f.at, f.position, f.read_seq, NULL::BIGINT, NULL::BIGINT, f.epoch, f.partition,
       f.index
FROM fresh f, unnest(f.users) WITH ORDINALITY AS u (user_id, n)
ORDER BY f.conversation, u.user_id, f.index DESC
ON CONFLICT (conversation, user_id) DO UPDATE
SET role = EXCLUDED.role, slot = EXCLUDED.slot, joined_at = EXCLUDED.joined_at, joined_position = EXCLUDED.joined_position,
    joined_seq = EXCLUDED.joined_seq,
    left_at = NULL, left_position = NULL, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (m.epoch, m.index) < (EXCLUDED.epoch, EXCLUDED.index);
