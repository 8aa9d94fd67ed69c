# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Base of the action plugins: run a service in process where that is the same, and keep the incident's record.

A module task costs a new interpreter and its imports (about 0.6 s of CPU); the same call inside the
controller's own process costs a twentieth of that. The options, the results, check mode and diff are one.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

from ..module_utils import aws
from ..module_utils.errors import RecoveryError, Refused
from ..module_utils.execution import Params, Result, Specification
from ..module_utils.incident_holding import Holding
from .identity import actor_of, run_of
from .orphan import end_with_parent
from .recorder import Recorder

# The strategy imports this in the parent process: its forked workers need not read botocore's S3 description again.
aws.warm("s3")


class RecoveryAction(ActionBase):
    """One module's fast path. Subclasses name the module's specification and service."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = True
    _supports_diff = True

    specification: t.ClassVar[Specification]
    service: t.ClassVar[staticmethod[[Params, bool], Result]]
    #: False for a module that only looks: its record has no intent, only what it found.
    has_effect: t.ClassVar[bool] = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Validate, make sure of the incident's lease, record the intent, run, record the outcome.

        Where the lease is another's, or the ledger refuses before the effect, there is no effect; where the ledger
        refuses after it, the task fails with the effect's own result beside the ledger's message.
        """
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        spec = self.specification
        _result, arguments = self.validate_argument_spec(argument_spec=spec.argument_spec, **spec.rules())
        arguments = self.complete(arguments, task_vars)
        result: dict[str, t.Any] = {"changed": False}
        try:
            recorder = self._recorder(arguments, task_vars)
            if self.has_effect:
                self._require_lease(arguments, task_vars)
                recorder.intent(_without_nulls(arguments))
            result = self._observed(recorder, arguments, task_vars)
            recorder.outcome(result, self.has_effect)
        except RecoveryError as error:  # from the recorder: the ledger itself refused
            told = f"{result['msg']} And: {error}" if result.get("failed") else str(error)
            return {**error.facts, **result, "failed": True, "msg": told}
        return result

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Fill options whose default only the controller knows. Subclasses may override."""
        return arguments

    def _recorder(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> Recorder:
        check_mode = bool(self._task.check_mode)
        return Recorder.of(arguments.get("record"), self._task, check_mode, actor_of(task_vars), task_vars)

    def _require_lease(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> None:
        """Raise Refused before an effect of a run that no longer holds its incident."""
        record = arguments.get("record") or {}
        if not record.get("lease") or self._task.check_mode:
            return
        step = record.get("step") or str(self._task.action).rsplit(".", 1)[-1]
        token = record.get("token")
        if token is None:
            raise Refused(
                f"Failed to begin {step} of incident {record['incident']}: record.lease is set without token."
            )
        Holding(record["lease"], record["incident"], token, run_of(task_vars)).require(step)

    def _observed(
        self, recorder: Recorder, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]
    ) -> dict[str, t.Any]:
        """Perform; an unexpected error leaves its trace in the record before it goes on."""
        try:
            return self._perform(arguments, task_vars)
        except Exception as error:
            recorder.outcome({"failed": True, "msg": f"{type(error).__name__}: {error}"}, self.has_effect)
            raise

    def _perform(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if not self._in_process(task_vars):
            later = bool(self._task.async_val) and not self._connection.has_native_async
            given = _without_nulls(arguments)
            result = self._execute_module(module_args=given, task_vars=task_vars, wrap_async=later)
            if not later:
                self._remove_tmp_path(self._connection._shell.tmpdir)
            return result
        end_with_parent()
        try:
            result = type(self).service(arguments, bool(self._task.check_mode))
        except RecoveryError as error:
            result = {"changed": False, **error.facts, "failed": True, "msg": str(error)}
        return json.loads(json.dumps(result))  # what a module's result goes through: plain JSON, no templates

    def _in_process(self, task_vars: dict[str, t.Any]) -> bool:
        """True where the module would run on this machine, with this interpreter, as this user."""
        if self._connection.transport != "local" or self._play_context.become or self._task.async_val:
            return False
        if any(self._task.environment or []) or task_vars.get("dr_in_process") is False:
            return False
        target = task_vars
        if self._task.delegate_to:
            target = task_vars.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        wanted = target.get("ansible_python_interpreter") or ""
        wanted = str(self._templar.template(wanted)) if wanted else ""
        if not wanted or wanted.startswith("auto"):
            return True
        # Not resolved: a virtual environment's interpreter is a link, and is another one than its target.
        return Path(wanted) == Path(sys.executable)


def _without_nulls(value: t.Any) -> t.Any:
    """Drop options that were not given: to a module, null is a given value, which choices and exclusions refuse."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
