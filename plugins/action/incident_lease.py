# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The incident_lease module in the controller's own process."""

from __future__ import annotations

import typing as t

from ..module_utils.incident_lease import SPECIFICATION
from ..module_utils.incident_lease import run as hold
from ..plugin_utils import lease_keeper
from ..plugin_utils.identity import run_of
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Let one run at a time act on an incident."""

    specification = SPECIFICATION
    service = staticmethod(hold)

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Name this run of ansible-playbook as the holder."""
        return {**arguments, "holder": arguments.get("holder") or run_of(task_vars).as_dict()}

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Serve the module; a run that has just claimed the lease gets a keeper of it."""
        given = self._task.args.get("holder")
        result = super().run(tmp, task_vars)
        claimed = result.get("changed") and result.get("held") and not result.get("failed")
        if claimed and not given and not self._task.check_mode:
            _result, arguments = self.validate_argument_spec(argument_spec=self.specification.argument_spec)
            lease_keeper.start(arguments["lease"], result["incident"], result["token"], run_of(task_vars or {}))
        return result
