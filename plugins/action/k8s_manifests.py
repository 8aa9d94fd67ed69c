# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The k8s_manifests module in the controller's own process."""

from __future__ import annotations

import typing as t

from ..module_utils.manifests import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Export, validate or apply manifests."""

    specification = SPECIFICATION
    service = staticmethod(run)

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """A validation only looks, and so records no intent."""
        self.has_effect = arguments["state"] != "validated"  # type: ignore[misc]
        return super().complete(arguments, task_vars)
