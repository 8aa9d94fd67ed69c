# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One call of pg_bisect: chooses backups, restores, lists the transactions, searches, and leaves nothing behind.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
from pathlib import Path

from .backrest_command import Backrest, Repository
from .backrest_info import Facts, error_of, look, usable
from .backrest_restore import require_beside, require_room
from .bisect_history import Bound, backups_on, history_of, last_segment
from .bisect_journal import Journal, fingerprint
from .bisect_probes import require_bounds
from .bisect_result import Found
from .bisect_scratch import Machine, wal_directory
from .bisect_transactions import Transactions
from .bisect_wal import ArchivedWal, fresh_directory
from .clock import Deadline
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result
from .logical_process import Tell
from .process_identity import ProcessIdentity
from .recovery_points_progress import Log
from .scratch_owner import Foreign, Scratch, ScratchRoot
from .scratch_remove import remove

#: the scratch's name within its run
_WHAT = "bisect"
#: WAL and log beside the restored files; recovery keeps a checkpoint's worth of WAL
_BESIDE_BYTES = 192 << 20


class Call:
    """One call."""

    def __init__(self, params: Params, check_mode: bool, tell: Tell, processes: int) -> None:
        self.params, self.check_mode = params, check_mode
        self.processes = params["processes"] or processes
        self.deadline = Deadline(params["timeout"])
        self.found = Found(params)
        log = Log(params["progress_file"])

        def say(line: str) -> None:
            log(line)
            tell(f"pg_bisect: {line}")

        self.tell: Tell = say
        self.root = ScratchRoot(params["directory"])
        self.process = ProcessIdentity.from_dict(params["owner"]) or ProcessIdentity.of(os.getppid(), "")

    def result(self) -> Result:
        """Return the module's result as far as it is known."""
        return self.found.as_dict()

    def find(self) -> None:
        """Find the last transaction before the damage. Raises RecoveryError."""
        params, found = self.params, self.found
        require_bounds(params["probes"])
        not_before = Bound.parse("not_before", params["not_before"])
        not_after = Bound.parse("not_after", params["not_after"])
        if params["timeline"] != "latest" and not params["timeline"].isdecimal():
            raise Refused(failed("follow", f"timeline {params['timeline']}", "it is no number", "Give one, or latest."))
        backrest = Backrest(Path(params["config"]), params["stanza"], params["repositories"], None, params["program"])
        require_beside(backrest, self.root.path / _WHAT)
        repository, entry = self._source(backrest)
        history = history_of(backrest, repository, entry, params["timeline"], params["query_timeout"])
        backups = backups_on(entry, history, not_before, not_after)
        found.repository, found.timeline = repository.name, history[-1].timeline
        kept = ("label", "type", "stopped", "lsn_stop", "bytes")
        found.bases = [{name: one[name] for name in kept} for one in backups]
        found.needed_bytes = max(one["bytes"] for one in backups) + _BESIDE_BYTES
        journal = Journal(
            fingerprint(
                params["probes"], params["missing"], params["stanza"], entry["system_identifier"], found.timeline
            )
        )
        self._take_over(journal)
        require_room(self.root.path, found.needed_bytes)
        if self.check_mode:
            found.problems = ["Check mode: nothing was restored, no probe was asked."]
            return
        scratch = self.root.create(params["run"], _WHAT, self.process, backrest.gid)
        try:
            journal.begin(scratch.path)
            machine = Machine(
                scratch, backrest, repository, history[-1].timeline, self.processes, params["superuser"],
                params["bin_directory"], self.deadline, self.tell,
            )  # fmt: skip

            def wal() -> ArchivedWal:
                directory = fresh_directory(wal_directory(scratch), machine.account.give)
                return ArchivedWal(backrest, repository, history, machine.cluster, directory, self.deadline)

            search = Transactions(params, found, machine, wal, journal, self.deadline, self.tell)
            search.find(backups, not_before, not_after, last_segment(entry, history))
            machine.stop()
        except RecoveryError as error:
            self._remove(scratch, error)
            raise
        self._remove(scratch, None)

    def _source(self, backrest: Backrest) -> tuple[Repository, Facts]:
        """Return the repository that is named, else the first that can be used."""
        name, first = self.params["repository"], None
        if name:
            backrest.repository(name)
        for entry in look(backrest, self.params["query_timeout"]):
            if name in (None, entry["name"]):
                if usable(entry) and entry["backups"]:
                    return backrest.repository(entry["name"]), entry
                first = first or error_of(backrest, entry)
        raise first or Refused(failed("search", "for the damage", "the configuration has no repository"))

    def _take_over(self, journal: Journal) -> None:
        """Learn what a killed call of this run knew, and remove what it left. Refuses a living one's scratch."""
        if not os.path.lexists(self.root.path) and self.check_mode:
            return
        self.root.require(make=not self.check_mode)
        for scratch in self.root.find(self.params["run"], _WHAT):
            owner = scratch.owner()
            if not owner.is_of(self.process) and not owner.is_dead(self.params["max_age_hours"]):
                what, remedy = f"the scratch {scratch.path} of run {owner.run}", "Wait for it, or give another run."
                raise Refused(failed("use", what, f"process {owner.process.name} has it", remedy))
            journal.adopt(scratch.path)
            self.found.removed.append(str(scratch.path))
            if not self.check_mode:
                self._remove(scratch, None)

    def _remove(self, scratch: Scratch, because: RecoveryError | None) -> None:
        """Remove a scratch; what keeps it is told beside the error that we end with."""
        try:
            remove(scratch)
        except (RecoveryError, Foreign) as error:
            told = f"{because} And: {error}" if because else str(error)
            raise RecoveryError(told, **(because.facts if because else {})) from error
