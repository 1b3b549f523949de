-- The terms of a conversation stand side by side now (their hashes begin alike), so everything is made anew. An indexer of before, which hashes
-- otherwise, must not write here any more: it knows the column by its old name, and stands still.
TRUNCATE search_checkpoints, search_messages, search_terms;
ALTER TABLE search_checkpoints RENAME COLUMN next_offset TO indexed_to;

-- Nothing conflicts but by chance, once in ages, and then twice is as good as once: to look first costs as much as to write.
ALTER TABLE search_terms DROP CONSTRAINT search_terms_pkey;
CREATE INDEX ON search_terms (term, at, seq);
