# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the recovery_point_prune module: the same service in the controller's process."""

from __future__ import annotations

from ..module_utils.recovery_points_prune import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Removes, holds and releases recovery points, in process."""

    specification = SPECIFICATION
    service = staticmethod(run)
