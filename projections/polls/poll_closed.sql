INSERT INTO polls_closed
SELECT DISTINCT ON (conversation, (body ->> 'seq')::BIGINT) conversation, (body ->> 'seq')::BIGINT, epoch, partition, index
FROM batch WHERE wave = $1 AND type = 'poll.closed' ORDER BY conversation, (body ->> 'seq')::BIGINT, index
ON CONFLICT DO NOTHING;
