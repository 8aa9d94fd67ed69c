# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts kept beside a logical backup: what the database was like when its snapshot was taken.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from .errors import RecoveryError, failed
from .logical_source import Server, Snapshot, Source
from .logical_tools import Tools

VERSION = 1


def facts_of(source: Source, server: Server, snapshot: Snapshot, tools: Tools, compression: str) -> dict[str, t.Any]:
    """Return the content of facts.json. The snapshot's transaction has to be open."""
    return {
        "version": VERSION,
        "database": source.options.get("database") or "postgres",
        "source": server.role,
        **{name: value for name, value in server.as_dict().items() if name != "in_recovery"},
        "pg_dump_version": tools.version,
        "compression": compression,
        "lsn": snapshot.lsn,
        "moment": snapshot.moment,
        "snapshot_at": snapshot.taken_at,
    }


def read_facts(path: Path) -> dict[str, t.Any]:
    """Read facts.json. Raises RecoveryError when it is not what facts_of made."""
    remedy = "Fetch another copy, or use another recovery point."
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecoveryError(failed("read", str(path), error, remedy)) from error
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise RecoveryError(failed("read", str(path), f"it is no facts.json of version {VERSION}", remedy))
    return found
