WITH
-- The last of the wave is all that counts.
newest AS (
    SELECT DISTINCT ON (conversation, seq, actor, emoji) *
    FROM (SELECT conversation, (body ->> 'seq')::BIGINT AS seq, actor, body ->> 'emoji' AS emoji, type = 'reaction.added' AS present, epoch,
                 partition, index
          FROM batch WHERE wave = $1 AND type IN ('reaction.added', 'reaction.removed')) each
    ORDER BY conversation, seq, actor, emoji, index DESC
),
fresh AS (
    SELECT n.*, COALESCE(r.present, FALSE) AS was
    FROM newest n LEFT JOIN reactions r
        ON r.conversation = n.conversation AND r.seq = n.seq AND r.user_id = n.actor AND r.emoji = n.emoji
    WHERE r.conversation IS NULL OR (r.epoch, r.index) < (n.epoch, n.index)
),
counted AS (
    INSERT INTO reaction_counts AS c
    SELECT conversation, seq, emoji, sum(present::INT - was::INT) FROM fresh GROUP BY conversation, seq, emoji
    ON CONFLICT (conversation, seq, emoji) DO UPDATE SET count = c.count + EXCLUDED.count
)
INSERT INTO reactions
SELECT conversation, seq, actor, emoji, present, epoch, partition, index FROM fresh
ON CONFLICT (conversation, seq, user_id, emoji) DO UPDATE
SET present = EXCLUDED.present, epoch = EXCLUDED.epoch, index = EXCLUDED.index;
