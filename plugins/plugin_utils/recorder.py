# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes what a task meant and what came of it to the incident's ledger, from the controller.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from ..module_utils.ledger import Ledger

#: Return values that tell the story; the rest of a result stays out of the ledger.
_TOLD = ("evidence", "waits", "receipts", "outcome", "unverified", "problems")


class Recorder:
    """One task's record; does nothing without a `record` option or in check mode."""

    def __init__(self, ledger: Ledger | None, phase: str, step: str, task: str) -> None:
        self._ledger = ledger
        self._phase = phase
        self._step = step
        self._task = task

    @classmethod
    def of(cls, record: dict[str, t.Any] | None, task: t.Any, check_mode: bool) -> Recorder:
        """Build from the shared `record` option and the Ansible task."""
        name = task.get_name()
        if not record or check_mode:
            return cls(None, "", "", name)
        step = record.get("step") or str(task.action).rsplit(".", 1)[-1]
        return cls(Ledger.from_record(record), record["phase"], step, name)

    def intent(self, arguments: dict[str, t.Any]) -> None:
        """Say what is about to be done, before it is done."""
        self._append("intent", {"state": arguments.get("state")})

    def outcome(self, result: dict[str, t.Any], has_effect: bool) -> None:
        """Say what was observed: verified, effect (ordered, not yet observed), failed or skipped."""
        told = {key: result[key] for key in _TOLD if result.get(key)}
        told["changed"] = bool(result.get("changed"))
        if result.get("failed"):
            self._append("failed", {**told, "error": str(result.get("msg", ""))})
        elif result.get("outcome", "passed") != "passed":
            self._append("failed", told)
        elif has_effect and result.get("observed") is False:
            self._append("effect", told)
        else:
            self._append("verified", told)

    def _append(self, state: str, data: dict[str, t.Any]) -> None:
        if self._ledger is not None:
            self._ledger.append(
                phase=self._phase, step=self._step, state=state, data={"task": self._task, **data}
            )
