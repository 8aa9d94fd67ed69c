# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pg_heartbeat module in the controller's own process."""

from __future__ import annotations

from ..module_utils.heartbeat import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Ask every region's PostgreSQL how far it is and whether it accepts writes."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = False
