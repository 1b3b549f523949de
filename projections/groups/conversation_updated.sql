WITH
-- Not yet applied, by the conversation's own guard.
fresh AS (
    SELECT b.*, decode(b.body ->> 'topic', 'hex') AS topic, decode(b.body ->> 'picture', 'hex') AS picture, b.body ->> 'history' AS history,
           b.body -> 'cleared' AS cleared
    FROM batch b JOIN conversations c USING (conversation)
    WHERE b.wave = $1 AND b.type = 'conversation.updated' AND (b.epoch, b.index) > (c.epoch, c.index)
),
-- Of each field the newest event that sets or clears it.
names AS (
    SELECT DISTINCT ON (conversation) conversation, name, causation FROM fresh WHERE name IS NOT NULL OR cleared ? 'name'
    ORDER BY conversation, index DESC
),
topics AS (
    SELECT DISTINCT ON (conversation) conversation, topic, causation FROM fresh WHERE topic IS NOT NULL OR cleared ? 'topic'
    ORDER BY conversation, index DESC
),
pictures AS (
    SELECT DISTINCT ON (conversation) conversation, picture, causation FROM fresh WHERE picture IS NOT NULL OR cleared ? 'picture'
    ORDER BY conversation, index DESC
),
-- Of each rule the newest that is not null.
rules AS (
    SELECT conversation, (array_agg(history ORDER BY index DESC) FILTER (WHERE history IS NOT NULL))[1] AS history,
           (array_agg(body ->> 'join' ORDER BY index DESC) FILTER (WHERE body ->> 'join' IS NOT NULL))[1] AS join_rule,
           (array_agg((body ->> 'frozen')::BOOLEAN ORDER BY index DESC) FILTER (WHERE body ->> 'frozen' IS NOT NULL))[1] AS frozen,
           (array_agg((body ->> 'slow_mode_ms')::BIGINT ORDER BY index DESC)
            FILTER (WHERE body ->> 'slow_mode_ms' IS NOT NULL))[1] AS slow_mode_ms,
           max(epoch) AS epoch, max(index) AS index
    FROM fresh GROUP BY conversation
)
UPDATE conversations c
SET name = CASE WHEN n.conversation IS NULL THEN c.name ELSE n.name END,
    name_causation = COALESCE(n.causation, c.name_causation),
    topic = CASE WHEN t.conversation IS NULL THEN c.topic ELSE t.topic END,
    topic_causation = COALESCE(t.causation, c.topic_causation),
    picture = CASE WHEN p.conversation IS NULL THEN c.picture ELSE p.picture END,
    picture_causation = COALESCE(p.causation, c.picture_causation),
    history = COALESCE(r.history, c.history), join_rule = COALESCE(r.join_rule, c.join_rule), frozen = COALESCE(r.frozen, c.frozen),
    slow_mode_ms = COALESCE(r.slow_mode_ms, c.slow_mode_ms), epoch = r.epoch, index = r.index
FROM rules r
LEFT JOIN names n USING (conversation)
LEFT JOIN topics t USING (conversation)
LEFT JOIN pictures p USING (conversation)
WHERE c.conversation = r.conversation;
