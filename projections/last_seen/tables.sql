CREATE TABLE last_seen (
    user_id         TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    at              BIGINT NOT NULL
);
