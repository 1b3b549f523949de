WITH
-- Conversations of $1 as its app lists them: pinned ones, then the newest event first, after $2 (pinned), $3 (time) and the conversation $4.
-- $5: only archived ones, or only others, as of the time $6. All pointers of a user are read for a page: rows in that order would have to
-- be written for each member with each message.
picked AS (
    SELECT 1::BIGINT AS ord, row_number() OVER (ORDER BY p.pinned DESC, h.last_at DESC, h.conversation DESC) AS rank,
           p.user_id, h.conversation
    FROM pointers p JOIN heads h USING (conversation)
    WHERE p.user_id = $1 AND p.left_position IS NULL
      AND ($3::BIGINT IS NULL OR (p.pinned, h.last_at, h.conversation) < ($2, $3, $4))
      AND ($5::BOOLEAN IS NULL OR $5 = COALESCE(p.archived_seq = h.last_seq OR p.archived_seq IS NOT NULL AND p.muted_until > $6, FALSE))
    ORDER BY p.pinned DESC, h.last_at DESC, h.conversation DESC LIMIT $7
)
