CREATE TABLE messages (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    position        BIGINT NOT NULL,
    sender          TEXT NOT NULL,
    client_id       UUID NOT NULL,
    at              BIGINT NOT NULL,
    -- Sealed; opens with the command that brought it.
    text            BYTEA,
    causation       TEXT NOT NULL,
    reply_to        BIGINT,
    thread          BIGINT,
    mentions        TEXT[] NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq)
);
-- Mentions after one's read pointer are counted; most messages have none.
CREATE INDEX ON messages (conversation, seq) WHERE mentions <> '{}';

-- Apart from the messages, so that one that is deleted is not sent again. Pruned when no command of the partition can name it any more.
CREATE TABLE client_ids (
    conversation    TEXT NOT NULL,
    client_id       UUID NOT NULL,
    sender          TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    position        BIGINT NOT NULL,
    at              BIGINT NOT NULL,
    partition       INT NOT NULL,
    -- UUIDv7 sorts by time, so the recent ones of a conversation are a range.
    PRIMARY KEY (conversation, client_id, sender)
);
CREATE INDEX ON client_ids (partition, at);
