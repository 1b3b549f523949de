-- Messages that are there, and what single users reacted to them with.
SELECT m.conversation, m.seq, m.position, m.sender, m.client_id, m.at, m.mentions, m.edits, m.fingerprint,
       COALESCE((SELECT jsonb_object_agg(c.emoji, c.count) FROM reaction_counts c
                 WHERE c.conversation = m.conversation AND c.seq = m.seq AND c.count > 0), '{}') AS reactions,
       n.reactor,
       ARRAY(SELECT r.emoji FROM reactions r
             WHERE r.conversation = m.conversation AND r.seq = m.seq AND r.user_id = n.reactor AND r.present) AS reacted
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (conversation, seq, reactor)
JOIN messages m USING (conversation, seq)
WHERE NOT m.deleted
