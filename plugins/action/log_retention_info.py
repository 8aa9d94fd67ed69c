# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the log_retention_info module: the same service in the controller's process."""

from __future__ import annotations

from ..module_utils.log_retention import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Asks how long logs are kept, in process."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = False
