# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Base of the action plugins: run a service in process where that is the same, and keep the incident's record.

A module task costs a new interpreter and its imports (about 0.6 s of CPU); the same call inside the
controller's own process costs a twentieth of that. The options, the results, check mode and diff are one.

PRIVATE to the collection.
"""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

from ansible.plugins.action import ActionBase

from ..module_utils.errors import RecoveryError
from ..module_utils.execution import Service, Specification
from .recorder import Recorder


class RecoveryAction(ActionBase):
    """One module's fast path. Subclasses name the module's specification and service."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = True
    _supports_diff = True

    specification: t.ClassVar[Specification]
    service: t.ClassVar[Service]
    #: False for a module that only looks: its record has no intent, only what it found.
    has_effect: t.ClassVar[bool] = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Validate, record the intent, run, record the outcome."""
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        spec = self.specification
        _result, arguments = self.validate_argument_spec(argument_spec=spec.argument_spec, **spec.rules())
        arguments = self.complete(arguments, task_vars)
        recorder = Recorder.of(arguments.get("record"), self._task, check_mode=self._task.check_mode)
        try:
            if self.has_effect:
                recorder.intent(arguments)
            result = self._perform(arguments, task_vars)
            recorder.outcome(result, self.has_effect)
        except RecoveryError as error:  # from the recorder: the ledger itself refused
            return {**error.facts, "failed": True, "changed": False, "msg": str(error)}
        return result

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Fill options whose default only the controller knows. Subclasses may override."""
        return arguments

    def _perform(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if not self._in_process(task_vars):
            return self._execute_module(module_args=arguments, task_vars=task_vars)
        try:
            return type(self).service(arguments, bool(self._task.check_mode))
        except RecoveryError as error:
            return {"changed": False, **error.facts, "failed": True, "msg": str(error)}

    def _in_process(self, task_vars: dict[str, t.Any]) -> bool:
        """True where the module would run on this machine, with this interpreter, as this user."""
        if self._connection.transport != "local" or self._play_context.become or self._task.async_val:
            return False
        if any(self._task.environment or []) or task_vars.get("dr_in_process") is False:
            return False
        wanted = task_vars.get("ansible_python_interpreter") or ""
        wanted = str(self._templar.template(wanted)) if wanted else ""
        if not wanted or wanted.startswith("auto"):
            return True
        # Not resolved: a virtual environment's interpreter is a link, and is another one than its target.
        return Path(wanted) == Path(sys.executable)
