-- A change is one of the conversation, while one is a member, or of one's own pointers. The cursor is an index a partition.
WHERE CASE
    WHEN jsonb_typeof(asked.each -> 'cursor') = 'array' THEN
        p.index > COALESCE((asked.each -> 'cursor' ->> p.partition)::bigint, 0)
        OR p.present AND h.index > COALESCE((asked.each -> 'cursor' ->> h.partition)::bigint, 0)
    ELSE p.present AND (
        SELECT count(*) FROM pointers q JOIN heads g ON g.conversation = q.conversation
        WHERE q.user_id = p.user_id AND q.present AND (g.last_at, g.conversation) > (h.last_at, h.conversation)
    ) < 100
END
ORDER BY h.last_at DESC, h.conversation DESC
