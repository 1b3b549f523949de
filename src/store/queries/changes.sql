WITH
-- $1 is a JSON list of {"user", "cursor"}: an index a partition, or none.
asked AS (
    SELECT each ->> 'user' AS user_id, ord,
           CASE jsonb_typeof(each -> 'cursor') WHEN 'array' THEN
               ARRAY(SELECT value::BIGINT FROM jsonb_array_elements_text(each -> 'cursor') WITH ORDINALITY AS e (value, n) ORDER BY n)
           END AS since
    FROM jsonb_array_elements($1::JSONB) WITH ORDINALITY AS list (each, ord)
),
-- A change is one of one's own pointers, or, for members, of the conversation.
picked AS (
    SELECT a.ord, p.user_id, p.conversation
    FROM asked a JOIN pointers p USING (user_id) JOIN heads h USING (conversation)
    WHERE a.since IS NOT NULL
      AND (p.index > COALESCE(a.since[p.partition + 1], 0)
           OR p.left_position IS NULL AND h.index > COALESCE(a.since[h.partition + 1], 0))
    UNION ALL
    SELECT a.ord, a.user_id, newest.conversation
    FROM asked a CROSS JOIN LATERAL (
        SELECT h.conversation FROM pointers p JOIN heads h USING (conversation)
        WHERE p.user_id = a.user_id AND p.left_position IS NULL
        ORDER BY h.last_at DESC, h.conversation DESC LIMIT 100
    ) newest
    WHERE a.since IS NULL
)
