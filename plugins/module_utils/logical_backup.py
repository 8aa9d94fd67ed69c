# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes one database into a directory: a parallel dump, the roles, and the facts of the same snapshot.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

from . import needs
from .clock import Wait, to_iso, utc_now
from .connections import postgres_option, record_option
from .errors import Refused, failed
from .execution import Params, Result, Specification
from .logical_destination import Destination, files_of
from .logical_dump import Dumper, Progress, choose_compression
from .logical_facts import facts_of
from .logical_process import Tell, end_programs, silent
from .logical_source import Server, Snapshot, Source
from .logical_tools import Tools, find_tools

SPECIFICATION = Specification(
    argument_spec={
        "postgres": postgres_option(),
        "directory": {"type": "path", "required": True},
        "source": {"type": "str", "choices": ["any", "primary", "standby"], "default": "any"},
        "jobs": {"type": "int"},
        "compression": {"type": "str", "choices": ["auto", "zstd", "lz4", "gzip", "none"], "default": "auto"},
        "bin_directory": {"type": "path"},
        "lock_timeout": {"type": "float", "default": 60.0},
        "timeout": {"type": "float", "default": 21600.0},
        "record": record_option(),
    },
    needs=needs.all_of(needs.postgres("postgres"), needs.recorded()),
)


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Take the backup; in check mode say whether it could be taken."""
    return _Backup(params, tell or silent).run(check_mode)


class _Backup:
    def __init__(self, params: Params, tell: Tell) -> None:
        self.params = params
        self.options: dict[str, t.Any] = params["postgres"]
        self.database = str(self.options.get("database") or "postgres")
        self.destination = Destination(params["directory"])
        self.source = Source(self.options, timeout=60.0)
        self.tell = tell
        jobs = params.get("jobs")
        self.jobs = len(os.sched_getaffinity(0)) if jobs is None else int(jobs)
        self.waits: list[dict[str, t.Any]] = []
        self.begun = time.monotonic()

    def run(self, check_mode: bool) -> Result:
        """Look first: what can be known to fail fails before anything is written."""
        if self.jobs < 1:
            raise Refused(failed("use", f"jobs {self.jobs}", "at least one is needed", "Correct jobs."))
        self.destination.check()
        try:
            server = self.source.look()
            tools = self._tools(server)
            self._require_role(server)
            self.source.require_readable()
            compression = choose_compression(tools, self.params["compression"])
            if check_mode:
                return self._result(server, tools, compression, None, {})
            return self._take(server, tools, compression)
        finally:
            self.source.close()

    def _tools(self, server: Server) -> Tools:
        why = f"the server is {server.server_version}, and an older pg_dump cannot read it"
        return find_tools("pg_dump", server.major, self.params.get("bin_directory"), why)

    def _require_role(self, server: Server) -> None:
        wanted = self.params["source"]
        if wanted not in ("any", server.role):
            remedy = f"Name the {wanted} in postgres.host, or allow source: any."
            raise Refused(failed("back up", self.source.name, f"it is a {server.role}", remedy))

    def _take(self, server: Server, tools: Tools, compression: str) -> Result:
        target = self.destination
        target.begin(self.database)
        try:
            for left in end_programs(("pg_dump", "pg_dumpall"), target.path):
                self.tell(f"ended {left}, which an earlier run had left behind")
            target.clear()
            snapshot, facts = self._dump(server, tools, compression)
            target.write_facts(facts)
            target.finish()
        finally:
            target.release()
        return self._result(server, tools, compression, snapshot, facts)

    def _dump(self, server: Server, tools: Tools, compression: str) -> tuple[Snapshot, dict[str, t.Any]]:
        """Facts and rows are of one snapshot; roles belong to no snapshot and are read right after it is taken."""
        dumper = Dumper(
            tools, self.options, self.jobs, compression, self.params["lock_timeout"], self.params["timeout"]
        )
        snapshot = self.source.open_snapshot(server)
        dumper.dump_globals(self.destination.globals)
        progress = Progress(self.destination.dump, server.tables, self._note, self.jobs > 1)
        with Wait("dump") as wait:
            dumper.dump(self.destination.dump, snapshot.name, progress)
        self.waits.append(wait.as_dict())
        return snapshot, facts_of(self.source, server, snapshot, dumper)

    def _note(self, line: str) -> None:
        self.destination.note({"database": self.database, "at": to_iso(utc_now()), "progress": line})
        self.tell(f"{self.database}: {line}")

    def _result(
        self, server: Server, tools: Tools, compression: str, snapshot: Snapshot | None, facts: dict[str, t.Any]
    ) -> Result:
        taken = snapshot is not None
        size, count = _size(self.destination.path) if taken else (None, None)
        evidence = {
            "database": self.database,
            "source": server.role,
            "system_identifier": server.system_identifier,
            "server_version": server.server_version,
            "pg_dump_version": tools.version,
            "compression": compression,
            "moment": snapshot.moment if snapshot else None,
            "lsn": snapshot.lsn if snapshot else None,
            "tables": server.tables,
            "bytes": size,
        }
        after = {"directory": str(self.destination.path), "database": self.database, "compression": compression}
        return {
            "changed": True,
            **evidence,
            "directory": str(self.destination.path),
            "database_bytes": server.database_bytes,
            "files": count,
            "jobs": self.jobs,
            "facts": facts,
            "seconds": round(time.monotonic() - self.begun, 3),
            "waits": self.waits,
            "evidence": evidence,
            "diff": {"before": {}, "after": after},
        }


def _size(path: Path) -> tuple[int, int]:
    sizes = [size for _path, size in files_of(path)]
    return sum(sizes), len(sizes)
