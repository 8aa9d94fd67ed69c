# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts kept beside a logical backup: what the database was like when its snapshot was taken.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from .clock import Deadline
from .errors import RecoveryError, failed
from .logical_dump import Dumper
from .logical_source import Server, Snapshot, Source
from .verify_facts import CHEAP, cluster_facts, database_facts
from .verify_session import Limits, Session

VERSION = 1


class _InSnapshot(Session):
    """A session that sees what the dump sees."""

    def __init__(self, options: t.Mapping[str, t.Any], database: str, limits: Limits, snapshot: str) -> None:
        super().__init__(options, database, limits)
        self.rows("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self.rows("SET TRANSACTION SNAPSHOT '" + snapshot.replace("'", "''") + "'")


def _captured(source: Source, snapshot: Snapshot, dumper: Dumper) -> dict[str, t.Any]:
    """Return what a restore is compared with. A role that may not see all of it still gets its backup, and is told."""
    database = str(source.options.get("database") or "postgres")
    limits = Limits(statement=dumper.timeout, lock=dumper.lock_timeout, deadline=Deadline(dumper.timeout))

    def connect(name: str) -> Session:
        return _InSnapshot(source.options, name, limits, snapshot.name)

    try:
        with connect(database) as session:
            found = cluster_facts(session)
        found["databases"] = {database: database_facts(connect, database, CHEAP)}
    except RecoveryError as error:
        return {"cluster": None, "cluster_missing": str(error)}
    return {"cluster": found, "cluster_missing": None}


def facts_of(source: Source, server: Server, snapshot: Snapshot, dumper: Dumper) -> dict[str, t.Any]:
    """Return the content of facts.json. The snapshot's transaction has to be open.

    `cluster` is what pg_verify compares a restored cluster with; null, with the reason in `cluster_missing`, where the
    role may not see all of it or it took longer than a dump may.
    """
    return {
        "version": VERSION,
        "database": source.options.get("database") or "postgres",
        "source": server.role,
        **{name: value for name, value in server.as_dict().items() if name != "in_recovery"},
        "pg_dump_version": dumper.tools.version,
        "compression": dumper.compression,
        "lsn": snapshot.lsn,
        "moment": snapshot.moment,
        "snapshot_at": snapshot.taken_at,
        **_captured(source, snapshot, dumper),
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
