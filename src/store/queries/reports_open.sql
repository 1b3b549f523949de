-- Messages that wait for a moderator, the longest first.
WITH page AS (
    SELECT conversation, seq, sender, opened_at, last_at, outcome, resolved_by, resolved_at, row_number() OVER () AS ord
    FROM (SELECT * FROM reported
          WHERE tenant = $1 AND open AND ($2::BIGINT IS NULL OR (opened_at, conversation, seq) > ($2, $3::TEXT, $4::BIGINT))
          ORDER BY opened_at, conversation, seq LIMIT $5) AS page
)
