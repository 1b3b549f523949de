WITH
sent AS (
    SELECT conversation, thread, seq, (body ->> 'thread_seq')::BIGINT AS thread_seq, actor, epoch, partition, index
    FROM batch WHERE wave = $1 AND type = 'message.sent' AND thread IS NOT NULL AND body ? 'thread_seq'
),
pointers AS (
    INSERT INTO thread_pointers AS p
    SELECT conversation, thread, actor, max(thread_seq), max(epoch), max(partition), max(index) FROM sent GROUP BY conversation, thread, actor
    ON CONFLICT (conversation, thread, user_id) DO UPDATE
    SET read_thread_seq = greatest(p.read_thread_seq, EXCLUDED.read_thread_seq),
        epoch = greatest(p.epoch, EXCLUDED.epoch), index = greatest(p.index, EXCLUDED.index)
)
INSERT INTO threads AS t
SELECT conversation, thread, max(thread_seq), max(seq), 0, max(epoch), max(partition), max(index) FROM sent GROUP BY conversation, thread
ON CONFLICT (conversation, thread) DO UPDATE
SET last_thread_seq = EXCLUDED.last_thread_seq, last_seq = EXCLUDED.last_seq, epoch = EXCLUDED.epoch, index = EXCLUDED.index
WHERE (t.epoch, t.index) < (EXCLUDED.epoch, EXCLUDED.index);
