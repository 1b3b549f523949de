-- The last record counts, whatever its time says: it is the one that compaction keeps.
INSERT INTO last_seen AS l
SELECT DISTINCT ON (conversation) conversation, tenant, at, epoch, partition, index
FROM batch WHERE wave = $1 AND type = 'user.seen' ORDER BY conversation, index DESC
ON CONFLICT (user_id) DO UPDATE SET at = EXCLUDED.at, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (l.epoch, l.index) < (EXCLUDED.epoch, EXCLUDED.index);
