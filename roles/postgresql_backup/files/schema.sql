-- The role that pgBackRest connects with, in the cluster's maintenance database. Safe to repeat.
-- No superuser. It reads all data, to dump it and to tell what a restore has to bring back, and writes none.
-- Its password is set apart from this file, by whoever deploys; over the Unix socket `peer` needs none.
DO $roles$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dr_backup') THEN
    CREATE ROLE dr_backup LOGIN;
  END IF;
END
$roles$;
ALTER ROLE dr_backup INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
-- settings, pg_wal and its archive status
GRANT pg_monitor TO dr_backup;
GRANT pg_read_all_data TO dr_backup;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO dr_backup;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) TO dr_backup;
DO $grants$
BEGIN
  -- PostgreSQL 15 renamed them
  IF current_setting('server_version_num')::int >= 150000 THEN
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_start(text, boolean) TO dr_backup;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_backup_stop(boolean) TO dr_backup;
  ELSE
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_start_backup(text, boolean, boolean) TO dr_backup;
    GRANT EXECUTE ON FUNCTION pg_catalog.pg_stop_backup(boolean, boolean) TO dr_backup;
  END IF;
END
$grants$;
