UPDATE pins p SET pinned = FALSE, at = b.at, epoch = b.epoch, index = b.index
FROM batch b, jsonb_to_recordset(b.body -> 'messages') AS r (seq BIGINT)
WHERE b.wave = $1 AND b.type = 'message.deleted' AND p.conversation = b.conversation AND p.seq = r.seq
  AND (p.epoch, p.index) < (b.epoch, b.index);
