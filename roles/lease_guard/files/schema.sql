-- What the lease guard and the pg_* modules need in the cluster's maintenance database. Safe to repeat.
-- dr_guard writes heartbeats; dr_operator probes, and promotes. Neither is a superuser; neither can read user data.
-- Passwords are set apart from this file, by whoever deploys.
DO $roles$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dr_guard') THEN
    CREATE ROLE dr_guard LOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dr_operator') THEN
    CREATE ROLE dr_operator LOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dr_rewind') THEN
    CREATE ROLE dr_rewind NOLOGIN;
  END IF;
END
$roles$;
ALTER ROLE dr_guard INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE dr_operator INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
GRANT pg_monitor TO dr_guard, dr_operator;
-- Before a switchover, so that the shutdown, during which nobody serves, is short.
GRANT pg_checkpoint TO dr_operator;

CREATE SCHEMA IF NOT EXISTS dr;
-- How far the primary had written (lsn) at which time of the witness's clock (written_at, a lower bound).
CREATE TABLE IF NOT EXISTS dr.heartbeat (
  region text PRIMARY KEY,
  epoch bigint NOT NULL,
  sequence bigint NOT NULL,
  written_at timestamptz NOT NULL,
  lsn pg_lsn NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);
-- Where a probe writes to find out whether a write is accepted.
CREATE TABLE IF NOT EXISTS dr.probe (
  region text PRIMARY KEY,
  token text NOT NULL,
  written_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000);

REVOKE ALL ON SCHEMA dr FROM PUBLIC;
GRANT USAGE ON SCHEMA dr TO dr_guard, dr_operator;
GRANT SELECT, INSERT, UPDATE ON dr.heartbeat, dr.probe TO dr_guard, dr_operator;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_promote(boolean, integer) TO dr_operator;

-- What pg_rewind and pg_standby read of the primary's files, as PostgreSQL's manual lists it. A group: grant it to the
-- replication role, which can copy the same files already (GRANT dr_rewind TO replicator).
ALTER ROLE dr_rewind NOLOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean) TO dr_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_file(text, boolean) TO dr_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text) TO dr_rewind;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO dr_rewind;
-- A server that was just promoted must be asked for a checkpoint before pg_rewind: PostgreSQL 15 and newer lets this role.
DO $grants$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_checkpoint') THEN
    GRANT pg_checkpoint TO dr_rewind;
  END IF;
END
$grants$;
