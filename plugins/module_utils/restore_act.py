# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The restore itself: roles, the new database, its content, what is put right; and away with it when it fails.

PRIVATE to the collection.
"""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from .clock import Wait
from .errors import RecoveryError, failed
from .execution import Params, Result
from .logical_globals import create_missing_roles
from .logical_messages import Problem, Problems, outcome_of
from .logical_process import Tell, end_programs
from .logical_restore import Restore, restore_logical
from .logical_tools import connection_arguments
from .restore_after import problems_of, put_right
from .restore_look import Look
from .restore_marker import FAILED, FINISHED
from .restore_progress import Meter

#: bytes of maintenance_work_mem at least; indexes are built with it
_MEMORY = 256 << 20


class Act:
    """One restore, after everything was looked at."""

    def __init__(self, params: Params, result: Result, look: Look, tell: Tell) -> None:
        self.params, self.result, self.look, self.tell = params, result, look, tell
        self.options: dict[str, t.Any] = params["postgres"]
        self.target = look.target
        self.database = str(params["database"])
        self.timeout = float(params["timeout"])
        self.problems = Problems()

    def restore(self) -> None:
        """Leave a whole database, marked as finished, or none. Raises RecoveryError with the problems."""
        self._roles()
        self._make()
        try:
            self._fill()
            if self.problems:
                self._fail()
            self.target.mark(self.look.server, self.look.mark, FINISHED)
        except BaseException:
            self._undo()
            raise
        self.result.update(changed=True, created=self.target.created, outcome="passed")

    def _roles(self) -> None:
        if self.look.globals is None:
            return
        made, problems = create_missing_roles(self.look.globals, self.options, min(60.0, self.timeout))
        self.result.update(roles=made, changed=bool(made))
        if problems:
            self._add(problems)
            self._fail()

    def _make(self) -> None:
        look, found = self.look, self.look.found
        if look.half:
            whose = connection_arguments(self.options, self.database)
            for left in end_programs(("pg_restore", "psql"), look.source.archive.path, whose):
                self.tell(f"ended {left}, which an earlier run had left behind")
            self.target.drop()
        if look.creates:
            roles = {row[0] for row in self.target.sql.rows("SELECT rolname FROM pg_roles")}
            try:
                self.target.create(look.server, look.mark, look.needed, bool(self.params["no_tablespaces"]), roles)
            except BaseException:
                self._undo()
                raise
        elif found is not None:
            self.target.adopt(look.server, look.mark, found.own)

    def _fill(self) -> None:
        chosen = self.look.selection.chosen if self.look.selection else None
        toc = self.look.source.toc
        sizes = self.look.source.tables
        meter = Meter(self.database, toc, chosen, sizes, self.options, self.params.get("progress_file"), self.tell)
        meter.say(f"begins, {meter.total} tables, {self.result['jobs']} at once", now=True)
        with tempfile.NamedTemporaryFile("w", prefix="dr-restore-", suffix=".list") as listed, Wait("restore") as wait:
            if chosen is not None and toc is not None:
                listed.write("".join(f"{one.number}\n" for one in toc.entries if one.number in chosen))
                listed.flush()
            restored = restore_logical(self._what(meter, Path(listed.name)), self.tell)
        self.result["waits"].append(wait.as_dict())
        self._add(problems_of(restored))
        self.result.update(bytes=restored.bytes)
        if self.problems:
            return
        selective = chosen is not None or not self.target.created
        after = put_right(self.options, self.database, selective, meter.seconds, self.timeout)
        self._add(after.problems)
        self.result.update(
            tables=after.tables, sequences=after.sequences, refreshed=after.refreshed, validated=after.validated,
            foreign_keys=after.foreign_keys,
        )  # fmt: skip
        if self.target.created and chosen is None:
            self._add(self.target.properties(self.look.needed))
        meter.end(restored.bytes or 0)

    def _what(self, meter: Meter, listed: Path) -> Restore:
        more = ["--no-subscriptions"]
        more += ["--no-tablespaces"] if self.params["no_tablespaces"] else []
        more += [f"--use-list={listed}"] if self.look.selection else []
        settings = {"synchronous_commit": "off", "idle_session_timeout": "0"}  # the mark is written durably after it
        if self.look.server.memory < _MEMORY:
            settings["maintenance_work_mem"] = f"{_MEMORY >> 10}kB"
        return Restore(
            dump=self.look.source.archive.path, options={**self.options, "database": self.database},
            jobs=int(self.result["jobs"]), create=False, facts=self.look.facts, analyze=bool(self.params["analyze"]),
            bin_directory=self.params.get("bin_directory"), timeout=self.timeout, whole=not self.target.created,
            stop=True, more=tuple(more), settings=settings, on_note=meter.note, on_tick=meter.tick,
        )  # fmt: skip

    def _add(self, problems: t.Sequence[Problem]) -> None:
        for problem in problems:
            self.problems.add(problem)

    def _fail(self) -> t.NoReturn:
        found = self.problems.as_list()
        self.result.update(problems=found, outcome=outcome_of(found))
        told = "; ".join(f"{one['object']}: {one['message'].rstrip('.')}. {one['remedy']}" for one in found[:3])
        more = f" And {len(found) - 3} more." if len(found) > 3 else ""
        raise RecoveryError(failed("restore", str(self.params["src"]), told) + more)

    def _undo(self) -> None:
        """Take away what this call created; what was there before is as it was."""
        target = self.target
        try:
            if target.marker is None and not target.created:
                return
            if not target.created:
                target.comment(target.own)
            elif self.params["keep_failed"]:
                self.result.update(left_behind=True, changed=True)
                target.mark(self.look.server, self.look.mark, FAILED)
            else:
                target.drop()
        except RecoveryError as error:
            self.result.update(left_behind=target.created, changed=True)
            remedy = "Drop it by hand, or run this again; it is marked as half restored."
            self.problems.add(Problem("left_behind", self.database, str(error), remedy))
            self.result["problems"] = self.problems.as_list()
            self.result["outcome"] = "failed"
