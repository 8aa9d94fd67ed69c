# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes what a task meant and what came of it to the incident's ledger, from the controller.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from ..module_utils.ledger import Ledger

#: Return values that tell the story; the rest of a result stays out of the ledger.
_TOLD = ("evidence", "waits", "receipts", "outcome", "unverified", "problems")


class Recorder:
    """One task's record; does nothing without a `record` option or in check mode."""

    def __init__(self, ledger: Ledger | None, phase: str = "", step: str = "", about: t.Any = None) -> None:
        self._ledger = ledger
        self._phase = phase
        self._step = step
        self._about: dict[str, t.Any] = dict(about or {})
        self._since = time.monotonic()

    @classmethod
    def of(
        cls, record: t.Mapping[str, t.Any] | None, task: t.Any, check_mode: bool, actor: str, task_vars: t.Any
    ) -> Recorder:
        """Build from the shared `record` option and the Ansible task. Raises RecoveryError for a bad record."""
        if not record or check_mode:
            return cls(None)
        step = record.get("step") or str(task.action).rsplit(".", 1)[-1]
        return cls(Ledger.from_record(record, actor), record["phase"], step, _about(task, task_vars))

    def intent(self, arguments: t.Mapping[str, t.Any]) -> None:
        """Say what is about to be done, before it is done: the task's options, which hold no secret."""
        given = {name: value for name, value in arguments.items() if name != "record"}
        self._append("intent", {"arguments": given})

    def outcome(self, result: t.Mapping[str, t.Any], has_effect: bool) -> None:
        """Say what was observed: verified, effect (ordered, not yet observed), failed or skipped.

        `seconds` is how long the step took, so that a reader knows when it began.
        """
        told: dict[str, t.Any] = {key: result[key] for key in _TOLD if result.get(key)}
        told["changed"] = bool(result.get("changed"))
        told["seconds"] = time.monotonic() - self._since
        if result.get("failed"):
            self._append("failed", {**told, "error": str(result.get("msg", ""))})
        elif result.get("skipped"):
            self._append("skipped", {**told, "reason": str(result.get("msg", ""))})
        elif result.get("outcome", "passed") != "passed":
            self._append("failed", told)
        elif result.get("ansible_job_id") and not result.get("finished"):
            self._append("effect", {**told, "job": str(result["ansible_job_id"])})
        elif has_effect and result.get("observed") is False:
            self._append("effect", told)
        else:
            self._append("verified", told)

    def _append(self, state: str, data: dict[str, t.Any]) -> None:
        if self._ledger is not None:
            self._ledger.append(self._phase, self._step, state, {**self._about, **data})


def _about(task: t.Any, task_vars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what tells this task from its siblings: name, host, item of the loop."""
    about: dict[str, t.Any] = {"task": task.get_name()}
    if task_vars.get("inventory_hostname"):
        about["host"] = task_vars["inventory_hostname"]
    loop_variable = task_vars.get("ansible_loop_var")
    if loop_variable is not None and loop_variable in task_vars:
        item = task_vars[loop_variable]
        if isinstance(item, dict):
            item = next((item[key] for key in ("name", "region", "id", "key") if item.get(key)), item)
        about["item"] = item
    return about
