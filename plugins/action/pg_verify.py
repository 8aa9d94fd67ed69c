# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pg_verify module in the controller's own process."""

from __future__ import annotations

from ..module_utils.verify import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Climb the proof ladder on a cluster."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = False
