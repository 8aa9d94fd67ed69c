# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module static_stability: its options. The work is its action's, which has Ansible's own loader at hand.

PRIVATE to the collection.
"""

from __future__ import annotations

from . import needs
from .errors import Refused
from .execution import Params, Result, Specification

SPECIFICATION = Specification(
    argument_spec={
        "playbook": {"type": "path", "required": True},
        "failed_region": {"type": "str", "required": True},
        "target_region": {"type": "str"},
    },
    needs=needs.nothing,
)


def run(params: Params, check_mode: bool) -> Result:
    """Refuse: a module on a machine has neither the playbook nor the inventory."""
    raise Refused(
        f"Failed to read the recovery path of {params['playbook']}: it is read on the controller only. "
        "Run the task there, with connection local and without async."
    )
