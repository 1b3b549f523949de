WITH
-- $1 is a JSON list of {"user", "cursor"}: an index a partition, or none.
asked AS (
    SELECT each ->> 'user' AS user_id, ord,
           CASE jsonb_typeof(each -> 'cursor') WHEN 'array' THEN
               ARRAY(SELECT value::BIGINT FROM jsonb_array_elements_text(each -> 'cursor') WITH ORDINALITY AS e (value, n) ORDER BY n)
           END AS since
    FROM jsonb_array_elements($1::JSONB) WITH ORDINALITY AS list (each, ord)
),
-- A change is one of one's own pointers, or, for members, of the conversation. One more than are told of (MAX_CHANGES) tells that
-- there are too many: a cursor comes from a client, and may be of long ago.
picked AS (
    SELECT a.ord, row_number() OVER (PARTITION BY a.ord ORDER BY changed.last_at DESC, changed.conversation DESC) AS rank,
           a.user_id, changed.conversation
    FROM asked a CROSS JOIN LATERAL (
        SELECT h.conversation, h.last_at FROM pointers p JOIN heads h USING (conversation)
        WHERE p.user_id = a.user_id
          AND (p.index > COALESCE(a.since[p.partition + 1], 0)
               OR p.left_position IS NULL AND h.index > COALESCE(a.since[h.partition + 1], 0))
        LIMIT 1001
    ) changed
    WHERE a.since IS NOT NULL
    UNION ALL
    SELECT a.ord, row_number() OVER (PARTITION BY a.ord ORDER BY newest.last_at DESC, newest.conversation DESC), a.user_id, newest.conversation
    FROM asked a CROSS JOIN LATERAL (
        SELECT h.conversation, h.last_at FROM pointers p JOIN heads h USING (conversation)
        WHERE p.user_id = a.user_id AND p.left_position IS NULL
        ORDER BY h.last_at DESC, h.conversation DESC LIMIT 100
    ) newest
    WHERE a.since IS NULL
)
