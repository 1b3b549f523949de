-- What messages can be found by, as keyed hashes. UNLOGGED: it is not in the write-ahead log, so in no replica and no base backup, and
-- Postgres empties it when it has crashed. All three tables go together, so who finds no checkpoint makes everything anew.

-- How far `conversation-events` is indexed. Moved in the transaction of what it covers, and only from where that began.
CREATE UNLOGGED TABLE search_checkpoints (
    partition    INT PRIMARY KEY,
    next_offset  BIGINT NOT NULL,
    -- Whether the end has been reached since building began.
    complete     BOOLEAN NOT NULL
);

-- What was stored for a message, to take it back when the message is edited or removed, or its author erased.
CREATE UNLOGGED TABLE search_messages (
    conversation UUID NOT NULL,
    seq          BIGINT NOT NULL,
    author       UUID NOT NULL,
    partition    INT NOT NULL,
    at           BIGINT NOT NULL,
    terms        BIGINT[] NOT NULL,
    PRIMARY KEY (conversation, seq)
);
CREATE INDEX ON search_messages (partition, author);

-- One row for each term of each message. A hash is of a conversation and a term, so no row names a conversation.
CREATE UNLOGGED TABLE search_terms (
    term         BIGINT NOT NULL,
    at           BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    PRIMARY KEY (term, at, seq)
);
