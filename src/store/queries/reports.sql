SELECT p.conversation, p.seq, p.sender, p.opened_at, p.last_at, p.outcome, p.resolved_by, p.resolved_at, c.kind, c.name, c.name_causation,
       -- Of the first 1,000: more than that tell no more.
       COALESCE((SELECT jsonb_agg(jsonb_build_array(reason, count)) FROM (
           SELECT reason, count(*) AS count FROM (
               SELECT reason FROM reports r WHERE r.conversation = p.conversation AND r.seq = p.seq LIMIT 1000) AS few
           GROUP BY reason) AS counted), '[]') AS reasons
FROM page p JOIN conversations c USING (conversation) ORDER BY p.ord
