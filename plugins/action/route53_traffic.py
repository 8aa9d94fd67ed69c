# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The route53_traffic module in the controller's own process."""

from __future__ import annotations

import typing as t

from ..module_utils.traffic import SPECIFICATION, run
from ..plugin_utils.recovery_action import RecoveryAction


class ActionModule(RecoveryAction):
    """Shift traffic by Route 53 records."""

    specification = SPECIFICATION
    service = staticmethod(run)
    has_effect = True

    def complete(self, arguments: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """Leave out what was not given: a module refuses null for a suboption that has choices."""
        return {**arguments, "records": [_given(one) for one in arguments["records"]]}


def _given(option: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        key: _given(value) if isinstance(value, dict) else value for key, value in option.items() if value is not None
    }
