-- For each two: to whom the second shows itself, whether both have been members of their direct conversation, and whether one of them
-- blocks the other.
WITH asked AS (
    SELECT viewer, user_id, direct, place
    FROM unnest($1::TEXT[], $2::TEXT[], $3::TEXT[]) WITH ORDINALITY AS a (viewer, user_id, direct, place)
)
SELECT u.presence, u.last_seen,
       EXISTS (SELECT FROM members m WHERE m.conversation = a.direct AND m.user_id = a.viewer)
       AND EXISTS (SELECT FROM members m WHERE m.conversation = a.direct AND m.user_id = a.user_id) AS contact,
       EXISTS (SELECT FROM blocks b WHERE b.user_id = a.viewer AND b.blocked = a.user_id AND b.present)
       OR EXISTS (SELECT FROM blocks b WHERE b.user_id = a.user_id AND b.blocked = a.viewer AND b.present) AS blocked
FROM asked a LEFT JOIN users u ON u.user_id = a.user_id
ORDER BY a.place
