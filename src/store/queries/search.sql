-- The newest messages that have all terms, for each place: a conversation as somebody sees it.
-- $1: the terms' hashes, $2 for each place, one after another. $3, $4: for each place, only what is before this time and seq.
-- $5: for each place, only what is after this seq. $6: only from this time on. $7: so many of each place.
SELECT place.ord, hit.at, hit.seq
FROM (
    SELECT ord, ($1)[(ord - 1) * $2 + 1 : ord * $2] AS terms, before_at, before_seq, after_seq
    FROM unnest($3::BIGINT[], $4::BIGINT[], $5::BIGINT[]) WITH ORDINALITY AS p (before_at, before_seq, after_seq, ord)
) place
-- The rarest term leads: the others, rarest first, are only looked for where it stands.
CROSS JOIN LATERAL (
    SELECT array_agg(w.term ORDER BY counted.n) AS terms
    FROM unnest(place.terms) AS w (term)
    CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM search_terms s WHERE s.term = w.term LIMIT 200) few) counted
    -- In most places one of them was never said.
    WHERE NOT EXISTS (SELECT FROM unnest(place.terms) AS x (term)
                      WHERE NOT EXISTS (SELECT FROM search_terms s WHERE s.term = x.term))
) ranked
CROSS JOIN LATERAL (
    SELECT s.at, s.seq
    FROM search_terms s
    WHERE s.term = ranked.terms[1] AND (s.at, s.seq) < (place.before_at, place.before_seq) AND s.at >= $6 AND s.seq > place.after_seq
      AND NOT EXISTS (SELECT FROM unnest(ranked.terms[2:]) AS x (term)
                      WHERE NOT EXISTS (SELECT FROM search_terms o WHERE o.term = x.term AND o.at = s.at AND o.seq = s.seq))
    ORDER BY s.at DESC, s.seq DESC LIMIT $7
) hit
