# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the server's disk takes what is restored, as far as that can be seen from here.

PRIVATE to the collection.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import typing as t
from pathlib import Path

from .errors import RecoveryError
from .sql import Postgres, SqlFailed

#: seconds between the first line of postmaster.pid and the start that the server tells
_SAME_START = 60.0
#: a restored database, its WAL until the next checkpoint, sorting for indexes: so much more than it had
_MORE = 1.25


def space(server: Postgres, facts: t.Mapping[str, t.Any], needed: int | None) -> dict[str, t.Any]:
    """Return {outcome, needed_bytes, free_bytes, reason}; unverified where either is not known."""
    if needed is None and facts.get("database_bytes"):
        needed = int(int(facts["database_bytes"]) * _MORE)
    free, why = _free(server)
    if needed is None:
        why = why or "how much it needs is not known; name it in needed_bytes"
    found = {"outcome": "unverified", "needed_bytes": needed, "free_bytes": free, "reason": why or None}
    if needed is not None and free is not None:
        enough = free >= needed
        found["outcome"] = "passed" if enough else "failed"
        found["reason"] = None if enough else f"{needed / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free"
    return found


def _free(server: Postgres) -> tuple[int | None, str]:
    """Return the free bytes where the data directory is, or why they are not known."""
    host = str(server.options["host"])
    if not _here(host):
        return None, f"the disk of {host} cannot be seen from here"
    try:
        directory, started = server.row(
            "SELECT current_setting('data_directory'), extract(epoch FROM pg_postmaster_start_time())::float8"
        )
        lines = Path(directory, "postmaster.pid").read_text(encoding="utf-8").split("\n")
        if abs(float(lines[2]) - started) > _SAME_START:
            return None, f"{directory} here is another server's"
        found = os.statvfs(directory)
    except SqlFailed:
        return None, "where the server's data directory is may not be asked: grant pg_read_all_settings"
    except (RecoveryError, OSError, ValueError, IndexError) as error:
        return None, f"the server's data directory cannot be seen: {error}"
    return found.f_bavail * found.f_frsize, ""


def _here(host: str) -> bool:
    if host.startswith("/"):
        return True
    try:
        return all(ipaddress.ip_address(one[4][0]).is_loopback for one in socket.getaddrinfo(host, None))
    except OSError:
        return False
