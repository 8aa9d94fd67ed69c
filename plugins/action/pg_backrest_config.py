# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the pg_backrest_config module: the same service, in process on the database host."""

from __future__ import annotations

from ..module_utils.backrest_config import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Writes pgBackRest's configuration in process."""

    specification = SPECIFICATION
    service = staticmethod(run)
