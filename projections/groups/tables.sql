CREATE TABLE conversations (
    conversation    TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    kind            TEXT NOT NULL,
    -- Sealed; opens with the command that set it.
    name            BYTEA,
    name_causation  TEXT NOT NULL,
    topic           BYTEA,
    topic_causation TEXT,
    picture         BYTEA,
    picture_causation TEXT,
    -- all or since_join.
    history         TEXT NOT NULL DEFAULT 'all',
    -- open or closed; NULL: as its kind has it.
    join_rule       TEXT,
    frozen          BOOLEAN NOT NULL DEFAULT FALSE,
    slow_mode_ms    BIGINT NOT NULL DEFAULT 0,
    creator         TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    members_count   BIGINT NOT NULL,
    next_slot       BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL
);

-- A row stays when the membership ends: its inbox entry says so.
CREATE TABLE members (
    conversation    TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    role            TEXT NOT NULL,
    slot            BIGINT NOT NULL,
    joined_at       BIGINT NOT NULL,
    joined_position BIGINT NOT NULL,
    -- The newest message then.
    joined_seq      BIGINT NOT NULL,
    -- NULL while present.
    left_at         BIGINT,
    left_position   BIGINT,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, user_id)
);
