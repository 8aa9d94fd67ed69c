# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the module static_stability: reads a playbook with Ansible's own loader."""

from __future__ import annotations

import typing as t

from ..module_utils.errors import RecoveryError
from ..module_utils.stability import SPECIFICATION, run
from ..module_utils.stability_verdict import TOLERATED, UNKNOWN, VIOLATION, outcome, table
from ..plugin_utils.recovery_action import RecoveryAction
from ..plugin_utils.stability_path import RecoveryPath


class ActionModule(RecoveryAction):
    """Lists what a recovery path needs, and what of it goes with a region."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = False

    def _perform(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        if not self._in_process(task_vars):
            return super()._perform(arguments, task_vars)
        try:
            path = RecoveryPath(
                arguments["playbook"],
                arguments["failed_region"],
                arguments.get("target_region"),
                self._task.get_variable_manager(),
                self._loader,
            )
            found = path.findings()
        except RecoveryError as error:
            return {"changed": False, **error.facts, "failed": True, "msg": str(error)}
        return {
            "changed": False,
            "failed_region": path.failed,
            "target_region": path.target,
            "outcome": outcome(found),
            "problems": list(dict.fromkeys(one.problem for one in found if one.verdict == VIOLATION)),
            "unverified": list(dict.fromkeys(one.problem for one in found if one.verdict == UNKNOWN)),
            "tolerated": list(dict.fromkeys(one.problem for one in found if one.verdict == TOLERATED)),
            "needs": [one.as_dict() for one in found],
            "table": table(found),
        }
