# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the pg_logical_backup module: the same service in the controller's process, and its progress."""

from __future__ import annotations

from ansible.utils.display import Display

from ..module_utils.execution import Params, Result
from ..module_utils.logical_backup import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


def _run(params: Params, check_mode: bool) -> Result:
    return run(params, check_mode, Display().display)


class ActionModule(RecoveryAction):
    """Takes a logical backup in process, and shows how far it is."""

    specification = SPECIFICATION
    service = staticmethod(_run)
