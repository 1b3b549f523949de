-- One row a conversation: a message changes this, not a row per member.
CREATE TABLE heads (
    conversation    TEXT PRIMARY KEY,
    last_position   BIGINT NOT NULL,
    last_seq        BIGINT NOT NULL,
    last_at         BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL
-- Room on each page for the next version of a row, so that the index is not touched.
) WITH (fillfactor = 80);

-- One row a member, kept when the membership ends.
CREATE TABLE pointers (
    conversation    TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    read_seq        BIGINT NOT NULL,
    delivered_seq   BIGINT NOT NULL,
    -- Where the membership ended: who left sees nothing newer. NULL while present.
    left_position   BIGINT,
    left_seq        BIGINT,
    -- The newest message when one came, and when one sent one's own newest since.
    joined_seq      BIGINT NOT NULL DEFAULT 0,
    last_sent_at    BIGINT,
    -- One's own settings.
    muted_until     BIGINT,
    pinned          BOOLEAN NOT NULL DEFAULT FALSE,
    archived_seq    BIGINT,
    notify          TEXT NOT NULL DEFAULT 'all',
    -- Whether one writes with the other of a direct conversation no more.
    blocks          BOOLEAN NOT NULL DEFAULT FALSE,
    -- What one has begun to write. Sealed; opens with the command that brought it.
    draft           BYTEA,
    draft_causation TEXT,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (user_id, conversation)
) WITH (fillfactor = 80);
CREATE INDEX ON pointers (conversation);

-- Messages that a member removed for itself.
CREATE TABLE hidden (
    conversation    TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (user_id, conversation, seq)
);
