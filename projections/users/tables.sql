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
    index           BIGINT NOT NULL
);
