# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pg_promotion_info module in the controller's own process."""

from __future__ import annotations

from ..module_utils.promotion_info import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Tell what a promoted server has written since."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = False
