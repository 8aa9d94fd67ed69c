#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shift traffic by an object that a health check looks for."""

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_switch
short_description: Shift traffic by an object in a store that a health check looks for
version_added: "0.1.0"
author: Terragon Platform Team (@terragon)
description:
  - Turns switches that pre-made failover records of Route 53 follow. The health check of the PRIMARY record looks for
    one object by HTTP, and is inverted. Where the object is, the check fails and the SECONDARY record answers; where it
    is not, or the store does not answer, the PRIMARY does.
  - So clients are moved by one conditional write to a store that lies outside the failed region, without any control
    plane of AWS, and the loss of that store moves nobody.
  - Writes and removes with conditions (C(If-None-Match), C(If-Match)), reads back, then waits until every DNS server
    named gives the answers of O(names). These show what the health checkers see.
  - M(terragon.disaster_recovery.route53_failover_records) makes the records and health checks beforehand.
options:
  state:
    description:
      - V(present) turns the switches.
      - V(observed) changes nothing. It reads them and asks the DNS servers once.
    type: str
    choices: [present, observed]
    default: present
  store:
    description: Bucket that holds the objects. The health checkers read it without credentials; it holds nothing else.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the store in messages and evidence.
        type: str
        required: true
      bucket:
        description: Name of the bucket.
        type: str
        required: true
      prefix:
        description: What all keys begin with.
        type: str
        default: ''
      endpoint_url:
        description: URL of the API, where it is not AWS's own.
        type: str
      region:
        description: AWS region that requests are signed for.
        type: str
        default: us-east-1
      profile:
        description: Profile that holds the credentials; the environment's when left out.
        type: str
      credentials_file:
        description: AWS shared credentials file to read the profile from, in place of the environment's.
        type: path
      timeout:
        description: Seconds to wait for one answer.
        type: float
        default: 5.0
  switches:
    description: Switches.
    type: list
    elements: dict
    required: true
    suboptions:
      key:
        description: Key of the object.
        type: str
        required: true
      position:
        description:
          - Which record answers. V(SECONDARY) writes the object, V(PRIMARY) removes it. Needed with O(state=present).
        type: str
        choices: [PRIMARY, SECONDARY]
  timeout:
    description: Seconds for one switch to be turned while somebody else turns it too.
    type: float
    default: 30.0
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
  - terragon.disaster_recovery.names
attributes:
  check_mode:
    description: Reads the switches, asks the DNS servers once, and changes nothing.
    support: full
  diff_mode:
    description: Shows the position of each switch before and after.
    support: full
requirements:
  - boto3
  - dnspython
notes:
  - A health check takes its failure threshold times its interval to follow, 30 seconds with Route 53's faster interval
    and three failures.
"""

EXAMPLES = r"""
- name: Send the clients to the secondary region, without any control plane
  terragon.disaster_recovery.traffic_switch:
    store: "{{ dr_traffic_switch.store }}"
    switches:
      - {key: orders, position: SECONDARY}
    names:
      - {name: orders.example.com, type: CNAME, values: [orders.us-west-2.example.com]}
    resolvers:
      - {name: public, address: 1.1.1.1}
"""

RETURN = r"""
switches:
  description:
    - Each switch as it is after the call, or in check mode as it would be.
  returned: always
  type: list
  elements: dict
  contains:
    key:
      description: Key of its object.
      type: str
    position:
      description: V(PRIMARY) or V(SECONDARY).
      type: str
    before:
      description: Position as found.
      type: str
    changed:
      description: Whether it was turned, or would be in check mode.
      type: bool
waits:
  description: Times spent waiting, C(dns_ttl) for health checks and DNS servers together.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: What was waited for.
      type: str
    started:
      description: When the wait began, RFC 3339 in UTC.
      type: str
    ended:
      description: When it ended, RFC 3339 in UTC.
      type: str
    seconds:
      description: How long it took, in seconds.
      type: float
resolvers:
  description: The last answer of each DNS server for each name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the server.
      type: str
    address:
      description: IP address of the server.
      type: str
    port:
      description: Port of the server.
      type: int
    authoritative:
      description: Whether it is one of O(name_servers).
      type: bool
    record:
      description: Name that was asked for.
      type: str
    type:
      description: Type that was asked for.
      type: str
    agrees:
      description: Whether the answer is the one of O(names[].values).
      type: bool
    answer:
      description: Values of the answer, sorted.
      type: list
      elements: str
    ttl:
      description: TTL of the answer in seconds, or null.
      type: int
    seconds:
      description: Seconds until the server agreed, or null if it did not.
      type: float
    error:
      description: Why there was no answer, else empty.
      type: str
problems:
  description: Why the change cannot be made as wanted, with the remedy.
  returned: always
  type: list
  elements: str
unverified:
  description: What was not seen or is not known, with the reason. It never counts as seen.
  returned: always
  type: list
  elements: str
outcome:
  description:
    - V(passed), V(failed) where there are problems, or V(unverified) where O(state=observed) could not see everything.
  returned: always
  type: str
observed:
  description: False where a change was made and its effect at no DNS server seen.
  returned: always
  type: bool
evidence:
  description: The store, RV(switches) and RV(resolvers), as the ledger keeps them.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.traffic_switch import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
