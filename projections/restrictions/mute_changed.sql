-- The last of the wave is all that counts.
INSERT INTO mutes AS m
SELECT DISTINCT ON (conversation, user_id) conversation, user_id, until, epoch, partition, index
FROM (
    SELECT conversation, unnest(users) AS user_id, CASE type WHEN 'member.muted' THEN (body ->> 'until')::BIGINT END AS until, epoch, partition,
           index
    FROM batch WHERE wave = $1 AND type IN ('member.muted', 'member.unmuted')
) each
ORDER BY conversation, user_id, index DESC
ON CONFLICT (conversation, user_id) DO UPDATE SET until = EXCLUDED.until, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (m.epoch, m.index) < (EXCLUDED.epoch, EXCLUDED.index);
