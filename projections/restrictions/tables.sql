-- Who may not come back, and who may only read. A row stays when it is lifted: its guard tells that it was.
CREATE TABLE restrictions (
    conversation    TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    -- ban or mute.
    kind            TEXT NOT NULL,
    -- NULL: lifted.
    until           BIGINT,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, user_id, kind)
);
