CREATE TABLE timeline (
    conversation    TEXT NOT NULL,
    position        BIGINT NOT NULL,
    -- Of an event that was removed: 'removed'.
    type            TEXT NOT NULL,
    -- Of a message, whose content stands in `messages` only; else 0.
    seq             BIGINT NOT NULL,
    -- The framed public record of everything else.
    event           BYTEA,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, position)
);
