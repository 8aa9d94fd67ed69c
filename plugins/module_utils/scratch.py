# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scratch PostgreSQL clusters: reserved, present with a backup restored into them, absent; leftovers swept.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import time
import typing as t

from . import needs
from .connections import record_option
from .errors import MissingLibrary, RecoveryError, Refused, TimedOut, Unreachable, failed
from .execution import Params, Result, Specification
from .logical_process import Tell, silent
from .process_identity import ProcessIdentity
from .scratch_cluster import Account
from .scratch_owner import Foreign, Scratch, ScratchRoot
from .scratch_present import Presence
from .scratch_remove import remove, sweep

_RECOVERY: dict[str, t.Any] = {
    "restore_command": {"type": "str"},
    "target_time": {"type": "str"},
    "target_lsn": {"type": "str"},
    "target_xid": {"type": "str"},
    "target_name": {"type": "str"},
    "target_immediate": {"type": "bool", "default": False},
    "timeline": {"type": "str"},
    "inclusive": {"type": "bool"},
}
#: errors that say nothing of the backup: it could not be tried
_NOT_TRIED = (Refused, TimedOut, Unreachable, MissingLibrary)
_TARGETS = ["target_time", "target_lsn", "target_xid", "target_name"]

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["reserved", "present", "absent", "swept"], "default": "present"},
        "directory": {"type": "path", "required": True},
        "run": {"type": "str"},
        "name": {"type": "str", "default": "database"},
        "logical": {"type": "path"},
        "database": {"type": "str"},
        "objective_seconds": {"type": "float"},
        "analyze": {"type": "bool", "default": False},
        "recovery": {"type": "dict", "options": _RECOVERY, "mutually_exclusive": [_TARGETS]},
        "promote": {"type": "bool", "default": False},
        "preload": {"type": "list", "elements": "str"},
        "superuser": {"type": "str", "default": "postgres"},
        "user": {"type": "str"},
        "port": {"type": "int", "default": 5432},
        "jobs": {"type": "int"},
        "needed_bytes": {"type": "int"},
        "memory_mb": {"type": "int"},
        "bin_directory": {"type": "path"},
        "max_age_hours": {"type": "float", "default": 24.0},
        "timeout": {"type": "float", "default": 21600.0},
        "owner": {"type": "dict"},
        "record": record_option(),
    },
    mutually_exclusive=[["logical", "recovery"]],
    required_if=[("state", name, ("run",)) for name in ("reserved", "present", "absent")],
    needs=needs.recorded(),
)


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Bring the scratch into the wanted state."""
    return _Service(params, check_mode, tell or silent).run()


class _Service:
    def __init__(self, params: Params, check_mode: bool, tell: Tell) -> None:
        self.params, self.check_mode, self.tell = params, check_mode, tell
        self.root = ScratchRoot(params["directory"])
        self.process = ProcessIdentity.from_dict(params.get("owner")) or ProcessIdentity.of(os.getppid(), "")
        self.begun = time.monotonic()
        self.result: Result = {
            "changed": False, "state": params["state"], "run": params.get("run"), "name": params["name"], "path": None,
            "data_directory": None, "connection": None, "version": None, "running": False, "in_recovery": None,
            "settings": {}, "left_out": [], "recovery": None, "restore": None, "facts": {}, "outcome": "passed",
            "problems": [], "removed": [], "kept": [], "refused": [], "leaks": [], "waits": [],
        }  # fmt: skip

    def run(self) -> Result:
        """Raise RecoveryError with everything that is known so far."""
        state = self.params["state"]
        try:
            makes = state in ("reserved", "present")
            if os.path.lexists(self.root.path) or (makes and not self.check_mode):
                self.root.require(make=makes and not self.check_mode)
            {"reserved": self._reserve, "present": self._present, "absent": self._remove, "swept": self._sweep}[state]()
        except RecoveryError as error:
            self.result["outcome"] = "unverified" if isinstance(error, _NOT_TRIED) else "failed"
            self.result.update({name: value for name, value in error.facts.items() if name in self.result})
            raise RecoveryError(str(error), **{**self._finished(), **error.facts}) from error
        return self._finished()

    def _mine(self) -> list[Scratch]:
        return self.root.find(str(self.params["run"]), str(self.params["name"]))

    def _adopt(self) -> Scratch | None:
        """Return this run's scratch; one that a killed process of the run left becomes ours. Refuses a living one's."""
        for scratch in self._mine():
            owner = scratch.owner()
            if not owner.is_of(self.process):
                if not owner.is_dead(self.params["max_age_hours"]):
                    remedy = "Wait for it, or give this run another id."
                    what = f"the scratch {scratch.path} of run {owner.run}"
                    raise RecoveryError(failed("use", what, f"process {owner.process.name} has it", remedy))
                if not self.check_mode:
                    scratch.own(owner.run, owner.what, self.process)
            return scratch
        return None

    def _reserved(self) -> Scratch | None:
        """Return this run's scratch, made when there is none; None in check mode then."""
        scratch, account = self._adopt(), Account.of(self.params.get("user"))
        if scratch is not None:
            return scratch
        self.result["changed"] = True
        self.root.require_space(int(self.params.get("needed_bytes") or 0)) if self.root.path.is_dir() else None
        if self.check_mode:
            return None
        return self.root.create(str(self.params["run"]), str(self.params["name"]), self.process, account.gid)

    def _reserve(self) -> None:
        scratch = self._reserved()
        if scratch is not None:
            Presence(self.params, scratch, self.tell).reserve(self.result)

    def _present(self) -> None:
        scratch = self._reserved()
        if scratch is None or self.check_mode:
            self.result["changed"] = self.result["changed"] or not (scratch and Presence.is_finished(scratch))
            return
        Presence(self.params, scratch, self.tell).make(self.result)

    def _remove(self) -> None:
        for scratch in self._mine():
            owner = scratch.owner()
            if not owner.is_of(self.process) and not owner.is_dead(self.params["max_age_hours"]):
                what = f"the scratch {scratch.path} of run {owner.run}"
                raise RecoveryError(failed("remove", what, f"process {owner.process.name} has it"))
            if not self.check_mode:
                try:
                    remove(scratch)
                except Foreign as foreign:
                    raise RecoveryError(failed("remove", str(scratch.path), foreign)) from None
            self.result["removed"].append(str(scratch.path))
            self.result["changed"] = True

    def _sweep(self) -> None:
        if not self.root.path.is_dir():
            return
        found = sweep(self.root, self.params["max_age_hours"], self.check_mode, self.tell)
        self.result.update(vars(found), changed=bool(found.removed))
        if found.leaks:
            told = "; ".join(leak["reason"] for leak in found.leaks)
            raise RecoveryError(failed("sweep", str(self.root.path), f"{len(found.leaks)} leftovers stay: {told}"))

    def _finished(self) -> Result:
        kept = ("run", "name", "path", "version", "in_recovery", "outcome", "removed", "refused", "leaks", "recovery")
        there = [self.result["path"]] if self.result["path"] else []
        gone = self.result["removed"]
        return {
            **self.result,
            "seconds": round(time.monotonic() - self.begun, 3),
            "evidence": {**{name: self.result[name] for name in kept}, "isolation": self.result["settings"]},
            "diff": {"before": {"scratches": gone}, "after": {"scratches": there}},
        }
