# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the pg_backrest module: the same service, in process on the database host."""

from __future__ import annotations

from ansible.utils.display import Display

from ..module_utils.backrest import SPECIFICATION, run
from ..module_utils.execution import Params, Result
from ..plugin_utils.recovery_action import RecoveryAction


def _run(params: Params, check_mode: bool) -> Result:
    return run(params, check_mode, Display().display)


class ActionModule(RecoveryAction):
    """Takes, checks, expires and restores backups in process, and shows how far a long one is."""

    specification = SPECIFICATION
    service = staticmethod(_run)
