WITH
-- The last of the wave is all that counts.
newest AS (
    SELECT DISTINCT ON (conversation, seq, actor) *
    FROM (SELECT conversation, (body ->> 'seq')::BIGINT AS seq, actor,
                 ARRAY(SELECT value::INT FROM jsonb_array_elements_text(body -> 'options')) AS options, epoch, partition, index
          FROM batch WHERE wave = $1 AND type = 'poll.voted') each
    ORDER BY conversation, seq, actor, index DESC
),
fresh AS (
    SELECT n.*, COALESCE(v.options, '{}') AS was
    FROM newest n LEFT JOIN poll_votes v ON v.conversation = n.conversation AND v.seq = n.seq AND v.user_id = n.actor
    WHERE v.conversation IS NULL OR (v.epoch, v.index) < (n.epoch, n.index)
),
changes AS (
    SELECT conversation, seq, unnest(options || CASE WHEN options = '{}' THEN '{}'::INT[] ELSE '{-1}' END) AS option, 1 AS change FROM fresh
    UNION ALL
    SELECT conversation, seq, unnest(was || CASE WHEN was = '{}' THEN '{}'::INT[] ELSE '{-1}' END), -1 FROM fresh
),
counted AS (
    INSERT INTO poll_counts AS c
    SELECT conversation, seq, option, sum(change) FROM changes GROUP BY conversation, seq, option
    ON CONFLICT (conversation, seq, option) DO UPDATE SET count = c.count + EXCLUDED.count
)
INSERT INTO poll_votes
SELECT conversation, seq, actor, options, epoch, partition, index FROM fresh
ON CONFLICT (conversation, seq, user_id) DO UPDATE
SET options = EXCLUDED.options, epoch = EXCLUDED.epoch, index = EXCLUDED.index;
