-- A row stays when the message is unpinned: its guard tells that it was.
CREATE TABLE pins (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    pinned          BOOLEAN NOT NULL,
    at              BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq)
);
