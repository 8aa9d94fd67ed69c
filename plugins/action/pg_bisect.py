# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the pg_bisect module: the same service in the controller's process, and its progress."""

from __future__ import annotations

import typing as t

from ansible.utils.display import Display

from ..module_utils.bisect import SPECIFICATION, run
from ..module_utils.execution import Params, Result
from ..plugin_utils.identity import run_of
from ..plugin_utils.recovery_action import RecoveryAction


def _run(params: Params, check_mode: bool) -> Result:
    return run(params, check_mode, Display().display)


class ActionModule(RecoveryAction):
    """Searches in process on the database host, and shows how far it is."""

    specification = SPECIFICATION
    service = staticmethod(_run)

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Name this run of ansible-playbook as the owner: what outlives it is a leftover."""
        return {**arguments, "owner": arguments.get("owner") or run_of(task_vars).as_dict()}
