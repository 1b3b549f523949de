-- Who is banned does not wait for an answer any more.
UPDATE join_requests r SET pending = FALSE, epoch = c.epoch, index = c.index
FROM (
    SELECT conversation, user_id, max(epoch) AS epoch, max(index) AS index
    FROM batch, jsonb_array_elements_text(body -> 'banned') AS u (user_id)
    WHERE wave = $1 AND type = 'member.left' GROUP BY conversation, user_id
) c
WHERE r.conversation = c.conversation AND r.user_id = c.user_id AND (r.epoch, r.index) < (c.epoch, c.index);
