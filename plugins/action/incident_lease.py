# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The incident_lease module in the controller's own process."""

from __future__ import annotations

import typing as t

from ..module_utils.incident_lease import SPECIFICATION, run
from ..plugin_utils.identity import run_of
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Let one run at a time act on an incident."""

    specification = SPECIFICATION
    service = staticmethod(run)

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Name this run of ansible-playbook as the holder."""
        return {**arguments, "holder": arguments.get("holder") or run_of(task_vars).as_dict()}
