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
histories AS (
    SELECT DISTINCT ON (conversation) conversation, history FROM fresh WHERE history IS NOT NULL ORDER BY conversation, index DESC
),
newest AS (SELECT conversation, max(epoch) AS epoch, max(index) AS index FROM fresh GROUP BY conversation)
UPDATE conversations c
SET name = CASE WHEN n.conversation IS NULL THEN c.name ELSE n.name END,
    name_causation = COALESCE(n.causation, c.name_causation),
    topic = CASE WHEN t.conversation IS NULL THEN c.topic ELSE t.topic END,
    topic_causation = COALESCE(t.causation, c.topic_causation),
    picture = CASE WHEN p.conversation IS NULL THEN c.picture ELSE p.picture END,
    picture_causation = COALESCE(p.causation, c.picture_causation),
    history = COALESCE(h.history, c.history), epoch = newest.epoch, index = newest.index
FROM newest
LEFT JOIN names n USING (conversation)
LEFT JOIN topics t USING (conversation)
LEFT JOIN pictures p USING (conversation)
LEFT JOIN histories h USING (conversation)
WHERE c.conversation = newest.conversation;
