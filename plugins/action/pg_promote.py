# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the pg_promote module: the same service in the controller's process."""

from __future__ import annotations

from ..module_utils import aws
from ..module_utils.promotion import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction

aws.warm("s3")


class ActionModule(RecoveryAction):
    """Promotes a PostgreSQL in process."""

    specification = SPECIFICATION
    service = staticmethod(run)
