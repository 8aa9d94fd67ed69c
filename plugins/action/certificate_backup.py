# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the certificate_backup module: the same service in the controller's process."""

from __future__ import annotations

from ..module_utils.certificates import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Backs up, proves, restores and watches certificates, in process."""

    specification = SPECIFICATION
    service = staticmethod(run)
