WITH picked AS (
    SELECT 1::BIGINT AS ord, 1::BIGINT AS rank, user_id, conversation FROM pointers
    WHERE partition = $1 AND left_position IS NULL AND (user_id, conversation) > ($2, $3)
    ORDER BY user_id, conversation LIMIT $4
)
