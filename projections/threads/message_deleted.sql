-- Where `message.sent` is compacted away, this tells that there was a message, and that its sender had read up to it.
WITH
removed AS (
    SELECT b.conversation, (r.thread ->> 'thread')::BIGINT AS thread, r.seq, (r.thread ->> 'thread_seq')::BIGINT AS thread_seq, r.sender,
           b.epoch, b.partition, b.index
    FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (seq BIGINT, sender TEXT, thread JSONB)
    WHERE b.wave = $1 AND b.type = 'message.deleted' AND jsonb_typeof(r.thread) = 'object'
),
pointers AS (
    INSERT INTO thread_pointers AS p
    SELECT conversation, thread, sender, max(thread_seq), max(epoch), max(partition), max(index) FROM removed GROUP BY conversation, thread, sender
    ON CONFLICT (conversation, thread, user_id) DO UPDATE
    SET read_thread_seq = greatest(p.read_thread_seq, EXCLUDED.read_thread_seq),
        epoch = greatest(p.epoch, EXCLUDED.epoch), index = greatest(p.index, EXCLUDED.index)
),
fresh AS (
    SELECT r.* FROM removed r LEFT JOIN threads t ON t.conversation = r.conversation AND t.thread = r.thread
    WHERE t.conversation IS NULL OR (t.epoch, t.index) < (r.epoch, r.index)
)
INSERT INTO threads AS t
SELECT conversation, thread, max(thread_seq), max(seq), count(*), max(epoch), max(partition), max(index) FROM fresh GROUP BY conversation, thread
ON CONFLICT (conversation, thread) DO UPDATE
SET last_thread_seq = greatest(t.last_thread_seq, EXCLUDED.last_thread_seq), last_seq = greatest(t.last_seq, EXCLUDED.last_seq),
    removed = t.removed + EXCLUDED.removed, epoch = EXCLUDED.epoch, index = EXCLUDED.index;
