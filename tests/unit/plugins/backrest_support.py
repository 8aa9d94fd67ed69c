"""A PostgreSQL that archives by pgBackRest into two SeaweedFS stores over TLS: all real, and one's own to break."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import backrest, backrest_config
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import to_iso

from lab import certificates as issued
from lab import tls
from tests.unit.servers import (
    PostgresFactory,
    PostgresServer,
    S3Server,
    as_server_user,
    eventually,
    free_address,
    free_ports,
    give_to_server_user,
    server_user,
)

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "roles" / "postgresql_backup" / "files" / "schema.sql"
BUCKET, STORES = "backups", ("east", "west")
PASSWORD = "the-backup-roles-password"

Result = dict[str, Any]


class Store:
    """One SeaweedFS that also serves TLS."""

    def __init__(self, name: str, directory: Path, start: Callable[..., S3Server]) -> None:
        self.name = name
        self.host = free_address()
        self.port = free_ports(self.host, 1)[0]
        certificates = directory / "tls"
        self.authority = tls.issue(certificates, {"store": [self.host]})
        certificates.chmod(0o755)
        self.server = start(
            directory, host=self.host,
            arguments=[f"-s3.port.https={self.port}", f"-s3.cert.file={issued.certificate(certificates, 'store')}",
                       f"-s3.key.file={issued.key(certificates, 'store')}"],
        )  # fmt: skip
        self.server.store(BUCKET)

    def repository(self, directory: Path) -> dict[str, Any]:
        """The repository's entry in pg_backrest_config's option."""
        credentials = directory / f"credentials-{self.name}"
        text = f"[default]\naws_access_key_id = {self.server.access_key}\naws_secret_access_key = "
        write_private(credentials, text + f"{self.server.secret_key}\n")
        return {
            "name": self.name,
            "bucket": BUCKET,
            "region": "us-east-1",
            "endpoint_url": f"https://{self.host}:{self.port}",
            "prefix": "main",
            "profile": "default",
            "credentials_file": str(credentials),
            "key_type": "shared",
            "ca_file": str(self.authority),
            "uri_style": "path",
            "cipher_pass_file": str(directory / "cipher-pass"),
        }

    def keys(self, part: str) -> list[str]:
        """The keys of objects with a part in their names."""
        pages = self.server.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [one["Key"] for page in pages for one in page.get("Contents", []) if part in one["Key"]]

    def read(self, key: str) -> bytes:
        """An object."""
        return bytes(self.server.client().get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        """Put an object."""
        self.server.client().put_object(Bucket=BUCKET, Key=key, Body=data)

    def remove(self, key: str) -> None:
        """Delete an object."""
        self.server.client().delete_object(Bucket=BUCKET, Key=key)

    @contextlib.contextmanager
    def flipped(self, part: str) -> Any:
        """One bit of the only object with this part in its name is another, for the block."""
        (key,) = self.keys(part)
        data = self.read(key)
        damaged = bytearray(data)
        damaged[len(damaged) // 2] ^= 1
        self.write(key, bytes(damaged))
        try:
            yield key
        finally:
            self.write(key, data)


class Archive:
    """The server, its stores and its configuration."""

    def __init__(self, directory: Path, factory: PostgresFactory, stores: list[Store]) -> None:
        directory.mkdir(mode=0o755)
        self.directory, self.stores, self.factory = directory, stores, factory
        self.postgres: PostgresServer = factory()
        self.standby: PostgresServer | None = None
        self._other: PostgresServer | None = None
        self.postgres.sql(SCHEMA.read_text(), f"ALTER ROLE dr_backup PASSWORD '{PASSWORD}'")
        self.postgres.add_password("dr_backup", PASSWORD)
        self.config = directory / "pgbackrest.conf"
        write_private(directory / "cipher-pass", secrets.token_urlsafe(40) + "\n")
        self.configuration = self.settings()
        self.written = backrest_config.run(self.configuration, False)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The options of pg_backrest_config, all of them."""
        user = server_user()
        return {
            "path": str(self.config),
            "owner": user.pw_name if user else getpass.getuser(),
            "stanza": "main",
            "data_directory": str(self.postgres.data),
            "postgres_port": self.postgres.port,
            "repositories": [store.repository(self.directory) for store in self.stores],
            "retention_full_days": 30,
            "compress_type": "zst",
            "process_max": 2,
            "archive_async": True,
            "archive_seconds": 5,
            "io_seconds": 1,
            "spool_path": str(self.directory / "spool"),
            "lock_path": str(self.directory / "lock"),
            "log_path": str(self.directory / "log"),
            "options": {"job-retry-interval": 0},
            **changes,
        }

    def archive_on(self) -> None:
        """Let the server archive."""
        command = f"pgbackrest --config={self.config} --stanza=main archive-push %p"
        self.postgres.sql(f"ALTER SYSTEM SET archive_command = '{command}'", "ALTER SYSTEM SET archive_mode = on")
        self.postgres.stop("fast")
        self.postgres.start()

    def options(self, state: str = "present", **more: Any) -> dict[str, Any]:
        """The options of pg_backrest that a task gives."""
        return {
            "state": state,
            "config": str(self.config),
            "repositories": [store.name for store in self.stores],
            "postgres": {**self.postgres.options("dr_backup")},
            **more,
        }

    def call(self, state: str = "present", check: bool = False, **more: Any) -> Result:
        """Call the service itself, with every option's default."""
        spec = backrest.SPECIFICATION.argument_spec
        defaults = {name: one.get("default") for name, one in spec.items()}
        return backrest.run({**defaults, **self.options(state, **more)}, check)

    def another_cluster(self) -> PostgresServer:
        """A server of another system."""
        if self._other is None:
            self._other = PostgresServer(self.directory / "other").initialise()
            self.factory.servers.append(self._other.start())
        return self._other

    def row(self, text: str) -> str:
        """Commit one row and return the server's time right after."""
        self.postgres.sql(f"INSERT INTO kept VALUES ('{text}')")
        ((moment,),) = self.postgres.sql("SELECT clock_timestamp()")
        return to_iso(moment)

    def switch(self) -> str:
        """End the present WAL segment; its name."""
        rows = self.postgres.sql("SELECT pg_create_restore_point('switch')", "SELECT pg_walfile_name(pg_switch_wal())")
        return str(rows[0][0])

    def archived(self, segment: str, *stores: Store) -> None:
        """Wait until a segment is in the stores."""
        for store in stores or self.stores:
            eventually(lambda store=store: store.keys(segment), f"{segment} in {store.name}")

    def empty(self, name: str) -> Path:
        """A directory that is not there, in one that the server's user may write to."""
        parent = self.directory / "restored"
        parent.mkdir(exist_ok=True)
        give_to_server_user(parent)
        return parent / name

    def start_restored(self, directory: Path) -> PostgresServer:
        """Start what was restored, on an address of its own, paused at its target; its archiving is asked of it."""
        server = PostgresServer.__new__(PostgresServer)
        server.bin, server.data = self.postgres.bin, directory
        server.directory = directory.with_name(f"{directory.name}-run")
        server.directory.mkdir()
        server.host = free_address()
        server.port = free_ports(server.host, 1)[0]
        server.passfile = self.postgres.passfile
        give_to_server_user(server.directory)
        self.factory.servers.append(server)
        return server.start()


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(text)


def pgbackrest(archive: Archive, *arguments: str) -> subprocess.Popen[str]:
    """Start the program itself, as its user would."""
    env = {"PATH": os.environ["PATH"], "PGHOST": archive.postgres.host, "PGPASSFILE": str(archive.postgres.passfile)}
    return subprocess.Popen(
        ["pgbackrest", f"--config={archive.config}", "--stanza=main", "--pg1-user=dr_backup", *arguments],
        env=env, cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **as_server_user(),
    )  # fmt: skip
