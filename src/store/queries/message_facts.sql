-- Messages that are there, and what single users reacted to them with and voted for.
SELECT m.conversation, m.seq, m.position, m.sender, m.client_id, m.at, m.mentions, m.edits, m.fingerprint, m.thread,
       (m.more ->> 'thread_seq')::BIGINT AS thread_seq, COALESCE(m.more ? 'forward', FALSE) AS forwarded,
       COALESCE(m.live_until, (m.more ->> 'live_until')::BIGINT) AS live_until, m.expires_at, m.more -> 'poll' AS poll,
       EXISTS (SELECT FROM polls_closed c WHERE c.conversation = m.conversation AND c.seq = m.seq) AS closed,
       COALESCE((SELECT jsonb_object_agg(c.emoji, c.count) FROM reaction_counts c
                 WHERE c.conversation = m.conversation AND c.seq = m.seq AND c.count > 0), '{}') AS reactions,
       n.reactor,
       ARRAY(SELECT r.emoji FROM reactions r
             WHERE r.conversation = m.conversation AND r.seq = m.seq AND r.user_id = n.reactor AND r.present) AS reacted,
       COALESCE((SELECT v.options FROM poll_votes v
                 WHERE v.conversation = m.conversation AND v.seq = m.seq AND v.user_id = n.reactor), '{}') AS voted
FROM unnest($1::text[], $2::bigint[], $3::text[]) AS n (conversation, seq, reactor)
JOIN messages m USING (conversation, seq)
WHERE NOT m.deleted
