CREATE TABLE last_seen (
    user_id         TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    at              BIGINT NOT NULL,
    -- Where the record stands in `presence`; that topic has one epoch.
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL
);
