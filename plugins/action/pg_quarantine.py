# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Action plugin of the pg_quarantine module: the same service, in process on the database host."""

from __future__ import annotations

from ansible.utils.display import Display

from ..module_utils import aws
from ..module_utils.execution import Params, Result
from ..module_utils.quarantine import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction

aws.warm("s3")


def _run(params: Params, check_mode: bool) -> Result:
    return run(params, check_mode, Display().display)


class ActionModule(RecoveryAction):
    """Exchanges clusters in process, and shows how far a server's start is."""

    specification = SPECIFICATION
    service = staticmethod(_run)
