-- What the sample service keeps. Safe to run again.
CREATE TABLE IF NOT EXISTS writes (
    id uuid PRIMARY KEY,
    seq bigint NOT NULL,
    payload text NOT NULL,
    region text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS writes_written_at ON writes (written_at);
