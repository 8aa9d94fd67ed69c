# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The route53_failover_records module in the controller's own process."""

from __future__ import annotations

from ..module_utils import aws
from ..module_utils.failover_records import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction

aws.warm("route53")


class ActionModule(RecoveryAction):
    """Make failover records and their health checks."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = True
