-- A row stays when the vote is taken back: its guard tells that it was.
CREATE TABLE poll_votes (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    user_id         TEXT NOT NULL,
    options         INT[] NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq, user_id)
);

-- Changes with the rows above, in the same statement, so it needs no guard of its own.
CREATE TABLE poll_counts (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    -- -1: how many voted at all.
    option          INT NOT NULL,
    count           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq, option)
);

CREATE TABLE polls_closed (
    conversation    TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, seq)
);
