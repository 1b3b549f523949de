-- Messages whose reports were resolved, the last first.
WITH page AS (
    SELECT conversation, seq, sender, opened_at, last_at, outcome, resolved_by, resolved_at, row_number() OVER () AS ord
    FROM (SELECT * FROM reported
          WHERE tenant = $1 AND NOT open AND sender IS NOT NULL
            AND ($2::BIGINT IS NULL OR (resolved_at, conversation, seq) < ($2, $3::TEXT, $4::BIGINT))
          ORDER BY resolved_at DESC, conversation DESC, seq DESC LIMIT $5) AS page
)
