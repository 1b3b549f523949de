-- What is not a projection: who may use the installation, and how far the views are.

CREATE TABLE tenants (
    tenant      TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- A key is shown once; only its hash is kept.
CREATE TABLE api_keys (
    key_sha256  BYTEA PRIMARY KEY,
    tenant      TEXT NOT NULL REFERENCES tenants,
    scopes      TEXT[] NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    revoked_at  TIMESTAMPTZ
);

-- How far a version of the views is in a partition of its source: 'live', or the projection that is being rebuilt.
-- Written in the transaction of what it covers, and only over the checkpoint before it: a zombie's batch fails.
CREATE TABLE checkpoints (
    version      TEXT NOT NULL,
    source       TEXT NOT NULL,
    partition    INT NOT NULL,
    epoch        INT NOT NULL,
    next_offset  BIGINT NOT NULL,
    head         TEXT NOT NULL,
    head_offset  BIGINT NOT NULL,
    index        BIGINT NOT NULL,
    cause_offset BIGINT NOT NULL,
    PRIMARY KEY (version, source, partition)
);
