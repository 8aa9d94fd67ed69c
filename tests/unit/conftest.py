"""Make the collection importable under its own name from a plain checkout, and start real servers for the tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))

from tests.unit.servers import (
    PostgresFactory,
    PostgresServer,
    S3Server,
    postgres_bin,
    postgres_servers,
    s3_servers,
)


@pytest.fixture(scope="session")
def servers_directory() -> Iterator[Path]:
    """A directory that the unprivileged user of the servers may enter."""
    directory = Path(tempfile.mkdtemp(prefix="dr-tests-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def s3_server_factory(servers_directory: Path) -> Iterator[Callable[[Path], S3Server]]:
    """Starts a SeaweedFS of one's own, to be broken: `s3_server_factory(directory)`."""
    with s3_servers() as start:
        yield start


@pytest.fixture(scope="session")
def s3_server(servers_directory: Path, s3_server_factory: Callable[[Path], S3Server]) -> S3Server:
    """The session's SeaweedFS, not to be broken. `s3_server.store(bucket)` gives the `store` option."""
    return s3_server_factory(servers_directory / "s3")


@pytest.fixture(scope="session")
def postgres_factory(servers_directory: Path) -> Iterator[PostgresFactory]:
    """Makes PostgreSQL servers: `postgres_factory()`, `postgres_factory.standby_of(primary)`."""
    if postgres_bin() is None:
        pytest.skip("no PostgreSQL server is installed here")
    directory = servers_directory / "postgres"
    directory.mkdir(mode=0o755)
    with postgres_servers(directory) as factory:
        yield factory


@pytest.fixture(scope="session")
def postgres_server(postgres_factory: PostgresFactory) -> PostgresServer:
    """The session's PostgreSQL primary, not to be broken."""
    return postgres_factory()


@pytest.fixture(scope="session")
def postgres_pair(postgres_factory: PostgresFactory) -> tuple[PostgresServer, PostgresServer]:
    """A primary and its streaming standby, not to be broken."""
    primary = postgres_factory()
    return primary, postgres_factory.standby_of(primary)
