CREATE TABLE invites (
    conversation    TEXT NOT NULL,
    invite          TEXT NOT NULL,
    made_by         TEXT NOT NULL,
    made_at         BIGINT NOT NULL,
    expires_at      BIGINT,
    max_uses        BIGINT,
    role            TEXT NOT NULL,
    uses            BIGINT NOT NULL DEFAULT 0,
    revoked         BOOLEAN NOT NULL DEFAULT FALSE,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, invite)
);

-- A row stays when it is answered: its guard tells that it was.
CREATE TABLE join_requests (
    conversation    TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    at              BIGINT NOT NULL,
    pending         BOOLEAN NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, user_id)
);
