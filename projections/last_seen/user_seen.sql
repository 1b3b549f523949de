INSERT INTO last_seen AS l
SELECT DISTINCT ON (conversation) conversation, tenant, at
FROM batch WHERE wave = $1 AND type = 'user.seen' ORDER BY conversation, index DESC
ON CONFLICT (user_id) DO UPDATE SET at = EXCLUDED.at WHERE l.at <= EXCLUDED.at;
