-- Copies of split messages that the upstream took, by their keyed hashes.
CREATE TABLE copies (
    key text        PRIMARY KEY,
    at  timestamptz NOT NULL
);
CREATE INDEX copies_at ON copies (at);
