-- The restore from a backup that made what is here; at most one. Roles refuse to start while it has not ended: Kafka and the views
-- would be half of what they should be, in the old epoch.
CREATE TABLE restores (
    one         BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    source      TEXT NOT NULL,
    backup      BIGINT NOT NULL,
    epoch       INT NOT NULL,
    began_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at    TIMESTAMPTZ
);
