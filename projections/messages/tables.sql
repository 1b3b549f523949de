CREATE TABLE messages (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    -- Of a removed message only this row stays, with nothing in it.
    deleted         BOOLEAN NOT NULL DEFAULT FALSE,
    position        BIGINT,
    sender          TEXT,
    client_id       UUID,
    at              BIGINT,
    -- Sealed; opens with the command that brought it.
    text            BYTEA,
    causation       TEXT,
    reply_to        BIGINT,
    thread          BIGINT,
    -- A location, a contact or what a poll asks: sealed, opens as the text does.
    content         BYTEA,
    -- What most messages do not have: thread_seq, forward, live_until, poll, expires_at, as in the event.
    more            JSONB,
    expires_at      BIGINT,
    -- Those that count: of the newest edit.
    mentions        TEXT[] NOT NULL DEFAULT '{}',
    -- Positions of the edits, oldest first, and what the newest brought.
    edits           BIGINT[] NOT NULL DEFAULT '{}',
    edited_at       BIGINT,
    edit_text       BYTEA,
    edit_causation  TEXT,
    fingerprint     BYTEA,
    -- As it was sent; NULL where it was not edited.
    sent_mentions   TEXT[],
    -- Where a live location is now, and until when it moves.
    located         BYTEA,
    located_causation TEXT,
    live_until      BIGINT,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq)
);
-- For who removes them on time.
CREATE INDEX ON messages (expires_at) WHERE expires_at IS NOT NULL;
-- Mentions after one's read pointer are counted; most messages have none.
CREATE INDEX ON messages (conversation, seq) WHERE mentions <> '{}';
CREATE INDEX ON messages (conversation, thread, seq) WHERE thread IS NOT NULL;

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
