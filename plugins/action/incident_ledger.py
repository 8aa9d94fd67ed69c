# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The incident_ledger module in the controller's own process."""

from __future__ import annotations

import typing as t

from ..module_utils.ledger_service import SPECIFICATION, run
from ..plugin_utils.identity import actor_of
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Keep an incident's ledger."""

    specification = SPECIFICATION
    service = staticmethod(run)

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Sign with whoever runs this playbook."""
        return {**arguments, "actor": arguments.get("actor") or actor_of(task_vars)}
