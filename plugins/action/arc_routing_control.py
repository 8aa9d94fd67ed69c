# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arc_routing_control module in the controller's own process."""

from __future__ import annotations

from ..module_utils import aws
from ..module_utils.arc_cluster import SERVICE
from ..module_utils.routing_control import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction

aws.warm(SERVICE)


class ActionModule(RecoveryAction):
    """Shift traffic by ARC routing controls."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = True
