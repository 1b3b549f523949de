WITH
-- Conversations of $1, newest event first, after the time $2 and the conversation $3. All pointers of a user are read for a page: rows
-- in that order would have to be written for each member with each message.
picked AS (
    SELECT 1::BIGINT AS ord, p.user_id, h.conversation
    FROM pointers p JOIN heads h USING (conversation)
    WHERE p.user_id = $1 AND p.left_position IS NULL AND ($2::BIGINT IS NULL OR (h.last_at, h.conversation) < ($2, $3))
    ORDER BY h.last_at DESC, h.conversation DESC LIMIT $4
)
