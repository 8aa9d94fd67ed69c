# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The traffic_switch module in the controller's own process."""

from __future__ import annotations

from ..module_utils.traffic_switch import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Shift traffic by an object that a health check looks for."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = True
