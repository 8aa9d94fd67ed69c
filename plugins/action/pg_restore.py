# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the pg_restore module: the same service in the controller's process, and its progress."""

from __future__ import annotations

from ansible.utils.display import Display

from ..module_utils.execution import Params, Result
from ..module_utils.restore import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


def _run(params: Params, check_mode: bool) -> Result:
    return run(params, check_mode, Display().display)


class ActionModule(RecoveryAction):
    """Restores a dump beside the live database, and shows how far it is."""

    specification = SPECIFICATION
    service = staticmethod(_run)
