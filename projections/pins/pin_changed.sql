-- The last of the wave is all that counts.
INSERT INTO pins AS p
SELECT DISTINCT ON (conversation, seq) conversation, seq, pinned, at, epoch, partition, index
FROM (SELECT conversation, (body ->> 'seq')::BIGINT AS seq, type = 'message.pinned' AS pinned, at, epoch, partition, index
      FROM batch WHERE wave = $1 AND type IN ('message.pinned', 'message.unpinned')) each
ORDER BY conversation, seq, index DESC
ON CONFLICT (conversation, seq) DO UPDATE
SET pinned = EXCLUDED.pinned, at = EXCLUDED.at, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (p.epoch, p.index) < (EXCLUDED.epoch, EXCLUDED.index);
