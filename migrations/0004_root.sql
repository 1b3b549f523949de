-- What tells the root of names and ids from another (`crypto.root_key`), and nothing of it. With another root every user would get a new id,
-- and the names of conversations could not be read: a gateway that has another one refuses to start.
CREATE TABLE root (
    one          BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
    fingerprint  BYTEA NOT NULL
);
