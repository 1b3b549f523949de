-- Where $2 of tenant $1 may look: its present conversations, newest event first.
SELECT p.conversation, c.kind, m.role, c.history, m.joined_seq, h.last_at
FROM pointers p
JOIN heads h USING (conversation)
JOIN conversations c USING (conversation)
JOIN members m USING (conversation, user_id)
WHERE p.user_id = $2 AND c.tenant = $1 AND p.left_position IS NULL AND m.left_position IS NULL
ORDER BY h.last_at DESC, p.conversation DESC
