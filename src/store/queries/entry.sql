-- A conversation as a member sees it, for each user in $1: a JSON list of {"user", "cursor"?}.
SELECT asked.ord, p.conversation, c.kind, c.name, c.name_causation, c.members_count, h.last_position, h.last_seq, h.last_at,
       p.read_seq, m.role, m.joined_at, p.present,
       (SELECT count(*) FROM messages t
        WHERE t.conversation = p.conversation AND t.seq > p.read_seq AND t.mentions <> '{}'
          AND t.mentions && ARRAY[p.user_id, 'all', 'here']) AS mentions_unread
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS asked (each, ord)
JOIN pointers p ON p.user_id = (asked.each ->> 'user')
JOIN heads h ON h.conversation = p.conversation
JOIN conversations c ON c.conversation = p.conversation
JOIN members m ON m.conversation = p.conversation AND m.user_id = p.user_id
