-- The last of the wave is all that counts.
INSERT INTO join_requests AS r
SELECT DISTINCT ON (conversation, user_id) conversation, user_id, at, pending, epoch, partition, index
FROM (
    SELECT conversation, actor AS user_id, at, TRUE AS pending, epoch, partition, index
    FROM batch WHERE wave = $1 AND type = 'member.requested'
    UNION ALL
    SELECT conversation, unnest(users), at, FALSE, epoch, partition, index FROM batch WHERE wave = $1 AND type = 'member.declined'
) each
ORDER BY conversation, user_id, index DESC
ON CONFLICT (conversation, user_id) DO UPDATE
SET at = EXCLUDED.at, pending = EXCLUDED.pending, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (r.epoch, r.index) < (EXCLUDED.epoch, EXCLUDED.index);
