"""Real servers for the tests, each stopped by its process id: SeaweedFS and PostgreSQL.

Fixtures in conftest.py start at most one of each a session; a test that breaks one starts its own.
"""

from __future__ import annotations

from tests.unit.postgres_server import (
    PostgresFactory,
    PostgresServer,
    as_server_user,
    give_to_server_user,
    postgres_bin,
    postgres_servers,
    server_user,
)
from tests.unit.processes import eventually, free_address, free_ports, kill, listens
from tests.unit.s3_server import S3Server, s3_servers

__all__ = [
    "PostgresFactory",
    "PostgresServer",
    "S3Server",
    "as_server_user",
    "eventually",
    "free_address",
    "free_ports",
    "give_to_server_user",
    "kill",
    "listens",
    "postgres_bin",
    "postgres_servers",
    "s3_servers",
    "server_user",
]
