
-- Messages that are there, each for one viewer, without those that the viewer removed for itself.
SELECT m.conversation, m.seq, w.viewer, m.position, m.sender, m.client_id, m.at, m.text, m.causation, m.reply_to, m.thread,
       m.content, m.more, m.located, m.located_causation, m.live_until,
       CASE WHEN m.more ? 'poll' THEN jsonb_build_object(
           'closed', EXISTS (SELECT FROM polls_closed c WHERE c.conversation = m.conversation AND c.seq = m.seq),
           'counts', COALESCE((SELECT jsonb_agg(jsonb_build_array(c.option, c.count)) FROM poll_counts c
                               WHERE c.conversation = m.conversation AND c.seq = m.seq), '[]'),
           'mine', COALESCE((SELECT to_jsonb(v.options) FROM poll_votes v
                             WHERE v.conversation = m.conversation AND v.seq = m.seq AND v.user_id = w.viewer), '[]'))
       END AS votes,
       COALESCE((SELECT t.last_thread_seq - t.removed FROM threads t
                 WHERE t.conversation = m.conversation AND t.thread = m.seq), 0) AS replies,
       COALESCE(m.sent_mentions, m.mentions) AS mentions, m.edited_at, m.edit_text, m.edit_causation, m.mentions AS edit_mentions,
       COALESCE((SELECT jsonb_agg(jsonb_build_object(
                     'emoji', c.emoji, 'count', c.count,
                     'mine', EXISTS (SELECT FROM reactions r
                                     WHERE r.conversation = m.conversation AND r.seq = m.seq AND r.user_id = w.viewer
                                       AND r.emoji = c.emoji AND r.present)))
                 FROM reaction_counts c
                 WHERE c.conversation = m.conversation AND c.seq = m.seq AND c.count > 0), '[]') AS reactions
FROM wanted w JOIN messages m ON m.conversation = w.conversation AND m.seq = w.seq
WHERE NOT m.deleted
  AND NOT EXISTS (SELECT FROM hidden h WHERE h.user_id = w.viewer AND h.conversation = m.conversation AND h.seq = m.seq)
ORDER BY m.seq
