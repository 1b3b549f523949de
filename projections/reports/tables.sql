-- What each member says of a message.
CREATE TABLE reports (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    user_id         TEXT NOT NULL,
    reason          TEXT NOT NULL,
    -- Sealed; opens with the command that brought it.
    comment         BYTEA,
    causation       TEXT NOT NULL,
    fingerprint     BYTEA,
    at              BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq, user_id)
);
CREATE INDEX ON reports (conversation, seq, at);

-- One row a message: what its newest report brought, and its newest resolution. NULL where there is none.
CREATE TABLE reported (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    tenant          TEXT NOT NULL,
    -- Whether it waits for a moderator: the newest of both is a report.
    open            BOOLEAN NOT NULL,
    sender          TEXT,
    opened_at       BIGINT,
    last_at         BIGINT,
    outcome         TEXT,
    resolved_by     TEXT,
    resolved_at     BIGINT,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq)
);
CREATE INDEX ON reported (tenant, opened_at, conversation, seq) WHERE open;
CREATE INDEX ON reported (tenant, resolved_at, conversation, seq) WHERE NOT open;
