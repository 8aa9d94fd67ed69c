"""PostgreSQL of a region: its files, its start, its roles and databases, its standby."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from lab import backups
from lab.account import credentials, give
from lab.components import Component, check_alive, environment, process_of, start
from lab.configs import postgres_options
from lab.errors import LabError
from lab.keys import Keys
from lab.layout import REPOSITORY, Lab, write_text
from lab.processes import ProcessId
from lab.waiting import until

SCHEMA = REPOSITORY / "lab" / "service" / "schema.sql"
OBSERVER_SCHEMA = REPOSITORY / "lab" / "observer" / "schema.sql"
#: what the operator and the guard need, shipped with the collection
GUARD_SCHEMA = REPOSITORY / "roles" / "lease_guard" / "files" / "schema.sql"
BACKUP_SCHEMA = REPOSITORY / "roles" / "postgresql_backup" / "files" / "schema.sql"
SETTINGS_FILE = "lab.conf"
#: how many sessions PostgreSQL takes: those of the lab and the operator, and those of the services' pods and checks
CONNECTIONS, CONNECTIONS_OF_A_SERVICE = 60, 20
SETTINGS = """\
# Written by the lab.
listen_addresses = '{address}'
port = {port}
unix_socket_directories = ''
cluster_name = '{region}'
password_encryption = scram-sha-256
max_connections = {connections}
shared_buffers = 32MB
wal_level = replica
max_wal_senders = 10
max_replication_slots = 10
max_slot_wal_keep_size = 1GB
wal_keep_size = 256MB
max_wal_size = 256MB
hot_standby = on
wal_receiver_status_interval = 1s
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_retrieve_retry_interval = 500ms
track_commit_timestamp = on
log_line_prefix = '%m [%p] %q%u@%d '
"""
STANDBY_SETTINGS = """\
primary_conninfo = 'host={address} port={port} user=replicator passfile={passfile} application_name={region}'
primary_slot_name = '{slot}'
"""


def initialise(lab: Lab, keys: Keys, region: str) -> None:
    """Create the cluster that the lab begins with."""
    data = _empty_data_directory(lab, region)
    password = data.with_name(f"{data.name}.password")
    write_text(password, keys.database["postgres"] + "\n")
    give(password, lab.account)
    try:
        _run(lab, "initdb", "-D", str(data), "-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}",
             "--encoding=UTF8", "--locale=C", "--data-checksums", "--no-sync", "--no-instructions")  # fmt: skip
    finally:
        password.unlink(missing_ok=True)
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"include = '{SETTINGS_FILE}'\n")
    _write_settings(lab, region)
    _write(lab, data / "pg_hba.conf", hba())
    _write(lab, replication_passfile(lab, region), keys.passfile(["replicator"]))


def hba() -> str:
    """Who may come in while nothing is fenced: everybody on this machine who knows a password.

    A client's own address is 127.0.0.1 unless it chooses another, so the lab's network would be too narrow.
    """
    return "host all all 127.0.0.0/8 scram-sha-256\nhost replication replicator 127.0.0.0/8 scram-sha-256\n"


def launch(lab: Lab, region: str) -> None:
    """Start the region's PostgreSQL and wait until it answers, be it with a refusal."""
    component = Component("postgres", region)
    if process_of(lab, component) is None:
        forget_dead_postmaster(lab.postgres_data(region) / "postmaster.pid")
    start(lab, component)

    def answers() -> bool:
        check_alive(lab, component)
        return is_answering(lab, region)

    until(answers, f"PostgreSQL of {region} (log {lab.log('postgres', region)})", timeout=60)


def forget_dead_postmaster(lock_file: Path) -> None:
    """Remove a lock file that names a process which has ended but was not reaped yet.

    PostgreSQL takes such a zombie for a running server; a container's first process may reap late, or never.
    """
    try:
        pid = int(lock_file.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    if ProcessId.of(pid) is None:
        lock_file.unlink(missing_ok=True)


def is_answering(lab: Lab, region: str) -> bool:
    """True when the server has started: it takes a connection or refuses one, rather than say that it is starting."""
    argv = [str(lab.postgres_bin / "pg_isready"), "-q", "-t", "2", "-h", lab.inner("postgres", region)]
    argv += ["-p", str(lab.port("postgres")), "-d", "postgres", "-U", "dr_operator"]
    return subprocess.run(argv, check=False, env=environment(lab)).returncode == 0


def provision(lab: Lab, keys: Keys, region: str) -> None:
    """Create the roles, the services' databases with their schema, and the observer's table."""
    with session(lab, region) as cursor:
        for role in keys.database:
            if role != "postgres":
                _create_role(cursor, role, keys.database[role])
        cursor.execute("ALTER ROLE replicator REPLICATION")
        cursor.execute(GUARD_SCHEMA.read_text())
        cursor.execute(BACKUP_SCHEMA.read_text())
        # to be rebuilt as a standby, and to save before what only the old primary has
        cursor.execute("GRANT dr_rewind, pg_read_all_data TO replicator")
        cursor.execute(OBSERVER_SCHEMA.read_text())
        for service in lab.services:
            names = {"database": sql.Identifier(service.database), "owner": sql.Identifier(service.database_role)}
            cursor.execute(sql.SQL("CREATE DATABASE {database} OWNER {owner}").format(**names))
    for service in lab.services:
        with session(lab, region, service.database, service.database_role) as cursor:
            cursor.execute(SCHEMA.read_text())
            # the service's invariants are queries of the operator's
            cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO dr_operator")


def add_standby(lab: Lab, keys: Keys, primary: str, region: str) -> None:
    """Copy the primary into the region and let the copy follow it, over a replication slot."""
    data = _empty_data_directory(lab, region)
    passfile = replication_passfile(lab, region)
    _write(lab, passfile, keys.passfile(["replicator"]))
    port = str(lab.port("postgres"))
    slot = slot_name(region)
    _run(lab, "pg_basebackup", "-D", str(data), "-h", lab.inner("postgres", primary), "-p", port, "-U", "replicator",
         "--no-password", "-X", "stream", "-C", "-S", slot, "-c", "fast", "--no-sync", passfile=passfile)  # fmt: skip
    address = lab.reach("postgres", primary, seen_from=region)
    standby = STANDBY_SETTINGS.format(address=address, port=port, passfile=passfile, region=region, slot=slot)
    _write_settings(lab, region, standby)
    _write(lab, data / "standby.signal", "")


def replication_passfile(lab: Lab, region: str) -> Path:
    """Where a region's PostgreSQL has the password with which it follows the other one."""
    return lab.postgres_data(region).with_name("replication.pgpass")


def slot_name(region: str) -> str:
    """The replication slot of a region's standby."""
    return region.replace("-", "_")


def is_streaming(lab: Lab, primary: str, region: str) -> bool:
    """True when the primary sends to the region's standby and the standby has replayed all there was."""
    with session(lab, primary) as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
            " AND replay_lsn IS NOT NULL",
            (region,),
        )
        return cursor.fetchone() is not None


@contextmanager
def session(lab: Lab, region: str, database: str = "postgres", user: str = "postgres") -> Iterator[Any]:
    """A cursor on an autocommit connection. Raises LabError when the server does not let us in."""
    options = postgres_options(lab, region, user, seen_from=region)
    try:
        connection = psycopg2.connect(
            host=options["host"], port=options["port"], user=user, dbname=database, passfile=options["passfile"],
            sslmode="disable", connect_timeout=5,
        )  # fmt: skip
    except psycopg2.OperationalError as error:
        raise LabError(f"Failed to connect to PostgreSQL of {region} as {user}: {str(error).strip()}") from error
    connection.autocommit = True
    with closing(connection), connection.cursor() as cursor:
        yield cursor


def _create_role(cursor: Any, role: str, password: str) -> None:
    """The server sees only the verifier, so no log of its can hold the password."""
    verifier = encrypt_password(password, role, scope=cursor.connection, algorithm="scram-sha-256")
    cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))


def _empty_data_directory(lab: Lab, region: str) -> Path:
    data = lab.postgres_data(region)
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    data.chmod(0o700)
    give(data, lab.account)
    return data


def _write_settings(lab: Lab, region: str, more: str = "") -> None:
    text = SETTINGS.format(
        address=lab.inner("postgres", region),
        port=lab.port("postgres"),
        region=region,
        connections=CONNECTIONS + len(lab.services) * CONNECTIONS_OF_A_SERVICE,
    )
    text += backups.settings(lab, region) if lab.backups else ""
    _write(lab, lab.postgres_data(region) / SETTINGS_FILE, text + more)


def _write(lab: Lab, path: Path, text: str) -> None:
    write_text(path, text)
    give(path, lab.account)


def _run(lab: Lab, program: str, *arguments: str, passfile: Path | None = None) -> None:
    """Run one of PostgreSQL's programs as its user. Raises LabError with what it said."""
    env = environment(lab) | ({"PGPASSFILE": str(passfile)} if passfile else {})
    done = subprocess.run(
        [str(lab.postgres_bin / program), *arguments], cwd="/", env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, **credentials(lab.account),
    )  # fmt: skip
    if done.returncode != 0:
        raise LabError(f"Failed to run {program}: {done.stderr.strip() or done.stdout.strip()}")
