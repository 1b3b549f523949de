-- The last of the wave is all that counts.
INSERT INTO restrictions AS r
SELECT DISTINCT ON (conversation, user_id, kind) conversation, user_id, kind, until, epoch, partition, index
FROM (
    SELECT conversation, jsonb_array_elements_text(body -> 'banned') AS user_id, 'ban' AS kind, (body ->> 'until')::BIGINT AS until, epoch,
           partition, index
    FROM batch WHERE wave = $1 AND type = 'member.left'
    UNION ALL
    SELECT conversation, unnest(users), CASE type WHEN 'member.unbanned' THEN 'ban' ELSE 'mute' END,
           CASE type WHEN 'member.muted' THEN (body ->> 'until')::BIGINT END, epoch, partition, index
    FROM batch WHERE wave = $1 AND type IN ('member.unbanned', 'member.muted', 'member.unmuted')
) each
ORDER BY conversation, user_id, kind, index DESC
ON CONFLICT (conversation, user_id, kind) DO UPDATE SET until = EXCLUDED.until, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (r.epoch, r.index) < (EXCLUDED.epoch, EXCLUDED.index);
