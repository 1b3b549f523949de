-- A conversation as a member sees it, for each that was picked. Who left sees nothing that came later.
SELECT picked.ord, p.user_id, p.conversation, c.kind, c.name, c.name_causation, c.topic, c.topic_causation, c.picture, c.picture_causation, c.history, c.join_rule, c.frozen, c.slow_mode_ms,
       m.joined_seq, p.muted_until, p.pinned, p.archived_seq, p.notify, p.draft, p.draft_causation, c.members_count,
       COALESCE(p.left_position, h.last_position) AS last_position, COALESCE(p.left_seq, h.last_seq) AS last_seq, h.last_at,
       p.read_seq, m.role, m.joined_at, p.left_position IS NULL AS present,
       (SELECT count(*) FROM messages t
        WHERE t.conversation = p.conversation AND t.seq > p.read_seq AND t.seq <= COALESCE(p.left_seq, h.last_seq)
          AND t.mentions <> '{}' AND t.mentions && ARRAY[p.user_id, 'all', 'here']) AS mentions_unread
FROM picked
JOIN pointers p USING (user_id, conversation)
JOIN heads h USING (conversation)
JOIN conversations c USING (conversation)
JOIN members m USING (conversation, user_id)
ORDER BY picked.ord, picked.rank
