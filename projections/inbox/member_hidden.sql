INSERT INTO hidden AS h
SELECT DISTINCT ON (conversation, actor, seq) conversation, actor, seq, epoch, partition, index
FROM (SELECT conversation, actor, (body ->> 'seq')::BIGINT AS seq, epoch, partition, index
      FROM batch WHERE wave = $1 AND type = 'member.hidden') each
ORDER BY conversation, actor, seq, index DESC
ON CONFLICT (user_id, conversation, seq) DO UPDATE SET epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (h.epoch, h.index) < (EXCLUDED.epoch, EXCLUDED.index);
