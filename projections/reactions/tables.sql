-- A row stays when the reaction is taken back: its guard tells that it was.
CREATE TABLE reactions (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    user_id         TEXT NOT NULL,
    emoji           TEXT NOT NULL,
    present         BOOLEAN NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq, user_id, emoji)
);

-- Changes with the rows above, in the same statement, so it needs no guard of its own.
CREATE TABLE reaction_counts (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    emoji           TEXT NOT NULL,
    count           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq, emoji)
);
