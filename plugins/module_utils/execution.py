# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a service meets Ansible: one specification and one call, the same as a module and in process.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule

from .errors import RecoveryError
from .needs import Needs

Params = dict[str, t.Any]
Result = dict[str, t.Any]


@dataclass(frozen=True)
class Specification:
    """What a module takes, as AnsibleModule's own arguments, and which APIs it asks (None: that is not declared)."""

    argument_spec: dict[str, t.Any]
    mutually_exclusive: list[t.Any] = field(default_factory=list)
    required_together: list[t.Any] = field(default_factory=list)
    required_one_of: list[t.Any] = field(default_factory=list)
    required_if: list[t.Any] = field(default_factory=list)
    required_by: dict[str, t.Any] = field(default_factory=dict)
    needs: Needs | None = None

    def rules(self) -> dict[str, t.Any]:
        """Everything but the options themselves, as AnsibleModule and validate_argument_spec take it."""
        return {
            "mutually_exclusive": self.mutually_exclusive,
            "required_together": self.required_together,
            "required_one_of": self.required_one_of,
            "required_if": self.required_if,
            "required_by": self.required_by,
        }


#: A service: parameters and check mode in, return values out; raises RecoveryError.
Service = t.Callable[[Params, bool], Result]


def run_module(specification: Specification, service: Service) -> None:
    """Run a service as a module and exit with its result, or fail with its error and what is known."""
    module = AnsibleModule(argument_spec=specification.argument_spec, supports_check_mode=True, **specification.rules())
    try:
        result = service(module.params, module.check_mode)
    except RecoveryError as error:
        module.fail_json(**{"changed": False, **error.facts, "msg": str(error)})
    module.exit_json(**result)
