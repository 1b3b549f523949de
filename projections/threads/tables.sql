CREATE TABLE threads (
    conversation    TEXT NOT NULL,
    -- seq of the message whose thread it is.
    thread          BIGINT NOT NULL,
    -- The newest message, by its number in the thread and in the conversation, removed or not.
    last_thread_seq BIGINT NOT NULL,
    last_seq        BIGINT NOT NULL,
    -- How many of them were removed.
    removed         BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, thread)
);
CREATE INDEX ON threads (conversation, last_seq);

-- Of everybody who wrote in a thread or read it. Pointers only rise, so they need no guard.
CREATE TABLE thread_pointers (
    conversation    TEXT NOT NULL,
    thread          BIGINT NOT NULL,
    user_id         TEXT NOT NULL,
    read_thread_seq BIGINT NOT NULL,
    epoch           INT NOT NULL,
    partition       INT NOT NULL,
    index           BIGINT NOT NULL,
    PRIMARY KEY (conversation, thread, user_id)
);
