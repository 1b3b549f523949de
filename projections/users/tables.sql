CREATE TABLE users (
    user_id         TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    external_id     TEXT NOT NULL,
    name            TEXT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    position        BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    -- To whom it shows whether it is online and when it was last seen: everyone, contacts or nobody.
    presence        TEXT NOT NULL DEFAULT 'everyone',
    last_seen       TEXT NOT NULL DEFAULT 'everyone',
    -- Whether it moderates all conversations of its tenant.
    moderator       BOOLEAN NOT NULL DEFAULT FALSE
);

-- With whom a user does not want to write. A row stays when it is taken back: its guard tells that it was.
CREATE TABLE blocks (
    user_id         TEXT NOT NULL,
    blocked         TEXT NOT NULL,
    present         BOOLEAN NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (user_id, blocked)
);
