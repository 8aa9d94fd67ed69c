# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is looked at before a restore creates anything: the dump, the programs, the server, the name, the disk.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t
from pathlib import Path

from .divergence_catalog import identifier
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result
from .logical_archive import Archive
from .logical_globals import roles_in
from .logical_messages import Problem, Problems, outcome_of
from .logical_tools import Tools, find_tools
from .restore_marker import FINISHED
from .restore_needs import Needed, missing, needed_of_archive
from .restore_selection import Selection, select
from .restore_source import Source, examine, open_dump
from .restore_space import space
from .restore_target import Found, Server, Target

_CUT = "Fetch another copy of the recovery point, or use another one."
T = t.TypeVar("T")


class Look:
    """Everything that is known before the first effect; kept for the restore."""

    source: Source
    server: Server
    tools: Tools
    needed: Needed
    found: Found | None

    def __init__(self, params: Params, result: Result) -> None:
        self.params, self.result = params, result
        self.target = Target(params["postgres"], params["database"], float(params["timeout"]))
        self.selection: Selection | None = None
        self.mark = ""
        self.facts: dict[str, t.Any] = {}

    def close(self) -> None:
        """Let the name go."""
        self.target.sql.close()

    @property
    def finished(self) -> bool:
        """Whether this very restore was done by an earlier call."""
        marker = self.found.marker if self.found else None
        return bool(marker and marker.state == FINISHED and marker.source == self.mark)

    @property
    def half(self) -> bool:
        """Whether an earlier call of this very restore made the database and did not finish."""
        marker = self.found.marker if self.found else None
        return bool(marker and marker.state != FINISHED and marker.created)

    @property
    def creates(self) -> bool:
        """Whether the database is made new."""
        return self.found is None or self.half

    @property
    def globals(self) -> Path | None:
        """The file of roles."""
        return Path(self.params["globals"]) if self.params.get("globals") else self.source.globals

    def at_everything(self) -> None:
        """Raise RecoveryError for what is wrong, Refused for what is not done; nothing is changed."""
        if not self.params["database"] or "\0" in self.params["database"] or len(self.params["database"].encode()) > 63:
            cause = "a name has 1 to 63 bytes"
            raise Refused(failed("restore into", f"database {self.params['database']!r}", cause, "Correct database."))
        if self.params.get("jobs") is not None and int(self.params["jobs"]) < 1:
            raise Refused(failed("use", f"jobs {self.params['jobs']}", "at least one is needed", "Correct jobs."))
        self._server()
        self._dump()
        self.target.hold()
        self.found = self.target.find(self.server)
        if self.finished:
            return
        self._name()
        self._server_has()
        self._disk()

    def _server(self) -> None:
        self.server = self.target.look()
        self.result["server_version"] = self.server.version

    def _dump(self) -> None:
        path = Path(self.params["src"])
        archive = self._judged(lambda: open_dump(path)[0])
        self._told(archive)
        self._tools(archive)
        self.source = self._judged(lambda: examine(path))
        self._select()
        wanted = [self.source.mark, sorted(self.params.get("tables") or []), self.params["no_tablespaces"]]
        self.mark = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
        self.result.update(source=self.mark, dumped=self.source.database, jobs=self._jobs())
        self.result["subscriptions"] = sorted(self.needed.subscriptions)

    def _judged(self, read: t.Callable[[], T]) -> T:
        """Read of the dump; what is wrong with it is a problem."""
        try:
            return read()
        except RecoveryError as error:
            kind, remedy = str(error.facts.get("kind") or "damaged_toc"), str(error.facts.get("remedy") or _CUT)
            self.fail([Problem(kind, Path(self.params["src"]).name, str(error), remedy)])

    def _told(self, archive: Archive) -> None:
        self.result.update(
            format=archive.format, dump_server_version=archive.server_version, dump_version=archive.dump_version,
            dumped=archive.database,
        )  # fmt: skip

    def _tools(self, archive: Archive) -> None:
        program = "psql" if archive.format == "plain" else "pg_restore"
        wrote = f"pg_dump {archive.dump_version} wrote the dump, and an older {program} cannot read it"
        try:
            self.tools = find_tools(program, archive.dump_major or 0, self.params.get("bin_directory"), wrote)
        except RecoveryError as error:
            remedy = f"Install PostgreSQL's client programs of version {archive.dump_major}, or correct bin_directory."
            self.fail([Problem("newer_than_tool", archive.path.name, str(error), remedy)])
        self.result["tool_version"] = self.tools.version

    def _select(self) -> None:
        names, toc = self.params.get("tables"), self.source.toc
        self.needed, self.facts = self.source.needed, self.source.facts
        if toc is None:
            for name, wanted in (("tables", names), ("no_tablespaces", self.params["no_tablespaces"])):
                if wanted:
                    cause, remedy = f"a plain dump takes no {name}", "Restore all of it beside, and copy from there."
                    raise Refused(failed("restore", f"parts of {self.source.archive.path}", cause, remedy))
            return
        if names is None:
            return
        if not names:
            raise Refused(failed("restore", "no tables", "tables is empty", "Leave it out, or name some."))
        self.selection = select(toc, names)
        whole = self.source.needed
        self.needed = needed_of_archive(toc, self.selection.chosen)
        self.needed.creation, self.needed.database = whole.creation, whole.database
        self.needed.owner, self.needed.called = whole.owner, whole.called
        self.needed.roles |= {whole.owner} if whole.owner else set()
        self.result.update(definitions_only=self.selection.definitions_only, left_out=self.selection.left_out)
        self.facts = _facts_of(self.facts, self.selection.chosen, self.source)

    def _jobs(self) -> int:
        toc = self.source.toc
        if toc is None or self.source.archive.format == "tar" or not toc.seekable:
            return 1
        return int(self.params.get("jobs") or len(os.sched_getaffinity(0)))

    def _name(self) -> None:
        if self.found is not None:
            dumped = self.source.database
            self.target.require_usable(self.found, self.mark, dumped, self.params.get("into_existing"))
        elif self.params.get("into_existing") is not None:
            remedy = "Leave into_existing out, or correct database."
            raise Refused(failed("restore into", f"database {self.params['database']}", "it does not exist", remedy))
        if self.creates:
            self.result["jobs"] = self._jobs()
            if not self.server.may_create:
                remedy = f"ALTER ROLE {identifier(self.server.user)} CREATEDB, or use a role that has it."
                cause = f"{self.server.user} may not create databases"
                raise Refused(failed("create", f"database {self.params['database']}", cause, remedy))
        else:
            self.result["jobs"] = 1  # in one transaction

    def _server_has(self) -> None:
        """All that is missing at once, not one after the other."""
        problems = []
        dumped = re.match(r"\d+", self.source.archive.server_version or "")
        if dumped and int(dumped[0]) > self.server.version_num // 10000:
            told = f"it is of version {self.source.archive.server_version}, and the server is {self.server.version}"
            remedy = f"Restore into a server of version {dumped[0]} or newer."
            problems.append(Problem("newer_than_server", "the dump", told, remedy))
        coming = roles_in(self.globals) if self.globals else set()
        problems += missing(
            self.target.sql, self.needed, coming, bool(self.params["no_tablespaces"]), self.server.version_num
        )
        if problems:
            self.fail(problems)

    def _disk(self) -> None:
        self.result["space"] = space(self.target.sql, self.source.facts, self.params.get("needed_bytes"))
        if self.result["space"]["outcome"] == "failed":
            remedy = "Free space, or name a server with a larger disk."
            raise Refused(failed("restore", str(self.params["src"]), self.result["space"]["reason"], remedy))

    def fail(self, problems: t.Sequence[Problem]) -> t.NoReturn:
        """Raise RecoveryError with these problems in the result; nothing has been changed."""
        found = Problems()
        for problem in problems:
            found.add(problem)
        self.result["problems"] = found.as_list()
        self.result["outcome"] = outcome_of(self.result["problems"])
        if len(problems) == 1 and problems[0].message.startswith("Failed to "):
            raise RecoveryError(problems[0].message)
        told = "; ".join(f"{one.message.rstrip('.')}. {one.remedy}" for one in problems[:5])
        more = f" And {len(problems) - 5} more." if len(problems) > 5 else ""
        raise RecoveryError(failed("restore", str(self.params["src"]), told) + more)


def _facts_of(facts: dict[str, t.Any], chosen: t.Container[int], source: Source) -> dict[str, t.Any]:
    """Leave in the facts only the chosen tables, so that the others' rows are not missed."""
    databases = (facts.get("cluster") or {}).get("databases") or {}
    if source.toc is None or not databases:
        return facts
    data = [entry for entry in source.toc.of("TABLE DATA") if entry.number in chosen]
    names = {entry.name for entry in data} | {f"{identifier(one.schema)}.{identifier(one.tag)}" for one in data}
    name = facts["database"]
    tables = {key: value for key, value in databases[name]["tables"].items() if _bare(key) in names}
    cluster = {**facts["cluster"], "databases": {name: {**databases[name], "tables": tables}}}
    return {**facts, "cluster": cluster}


def _bare(written: str) -> str:
    parts = re.findall(r'"(?:[^"]|"")+"|[^.]+', written)
    return ".".join(part[1:-1].replace('""', '"') if part.startswith('"') else part for part in parts)
