WITH
-- Conversations of $1 in the order of their ids, after $2: nothing moves between two pages, and a page reads its own rows only.
-- $3 and $4 as $5 and $6 in `page.sql`.
picked AS (
    SELECT 1::BIGINT AS ord, row_number() OVER (ORDER BY p.conversation) AS rank, p.user_id, p.conversation
    -- OFFSET keeps the planner from reading all heads in their order.
    FROM pointers p CROSS JOIN LATERAL (SELECT last_seq FROM heads WHERE heads.conversation = p.conversation OFFSET 0) h
    WHERE p.user_id = $1 AND p.left_position IS NULL AND p.conversation > $2
      AND ($3::BOOLEAN IS NULL OR $3 = COALESCE(p.archived_seq = h.last_seq OR p.archived_seq IS NOT NULL AND p.muted_until > $4, FALSE))
    ORDER BY p.conversation LIMIT $5
)
