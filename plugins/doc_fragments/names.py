# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the options that name what DNS should answer; `module_utils/dns_names.py` has the specification."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment `names`."""

    DOCUMENTATION = r"""
options:
  names:
    description: Names that traffic follows, with what they have to answer once the change is in force.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Full name.
        type: str
        required: true
      type:
        description: Type to ask for.
        type: str
        required: true
        choices: [A, AAAA, CNAME]
      values:
        description: The answer, in any order.
        type: list
        elements: str
        required: true
  resolvers:
    description: Recursive DNS servers that have to give these answers.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the server in messages and results.
        type: str
        required: true
      address:
        description: IP address.
        type: str
        required: true
      port:
        description: UDP and TCP port.
        type: int
        default: 53
  name_servers:
    description: Authoritative DNS servers that have to give these answers; asked without recursion.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the server in messages and results.
        type: str
        required: true
      address:
        description: IP address.
        type: str
        required: true
      port:
        description: UDP and TCP port.
        type: int
        default: 53
  wait_resolvers_timeout:
    description: Seconds to wait for the DNS servers. It has to cover the health checks' interval and the records' TTL.
    type: float
    default: 180.0
"""
