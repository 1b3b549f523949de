-- A tombstone.
DELETE FROM last_seen l USING batch b
WHERE b.wave = $1 AND b.type = 'user.unseen' AND l.user_id = b.conversation AND (l.epoch, l.index) < (b.epoch, b.index);
