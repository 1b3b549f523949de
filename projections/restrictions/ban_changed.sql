-- The last of the wave is all that counts.
INSERT INTO bans AS b
SELECT DISTINCT ON (conversation, user_id) conversation, user_id, until, epoch, partition, index
FROM (
    SELECT conversation, jsonb_array_elements_text(body -> 'banned') AS user_id, (body ->> 'until')::BIGINT AS until, epoch, partition, index
    FROM batch WHERE wave = $1 AND type = 'member.left'
    UNION ALL
    SELECT conversation, unnest(users), NULL, epoch, partition, index FROM batch WHERE wave = $1 AND type = 'member.unbanned'
) each
ORDER BY conversation, user_id, index DESC
ON CONFLICT (conversation, user_id) DO UPDATE SET until = EXCLUDED.until, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (b.epoch, b.index) < (EXCLUDED.epoch, EXCLUDED.index);
