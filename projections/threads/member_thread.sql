INSERT INTO thread_pointers AS p
SELECT conversation, (body ->> 'thread')::BIGINT, actor, max((body ->> 'thread_seq')::BIGINT), max(epoch), max(partition), max(index)
FROM batch WHERE wave = $1 AND type = 'member.thread' GROUP BY conversation, (body ->> 'thread')::BIGINT, actor
ON CONFLICT (conversation, thread, user_id) DO UPDATE
SET read_thread_seq = greatest(p.read_thread_seq, EXCLUDED.read_thread_seq),
    epoch = greatest(p.epoch, EXCLUDED.epoch), index = greatest(p.index, EXCLUDED.index);
