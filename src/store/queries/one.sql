WITH picked AS (SELECT 1::BIGINT AS ord, 1::BIGINT AS rank, $1::TEXT AS user_id, $2::TEXT AS conversation)
