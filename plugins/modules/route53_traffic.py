#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shift traffic by Route 53 records."""

from __future__ import annotations

DOCUMENTATION = r"""
module: route53_traffic
short_description: Shift traffic by Route 53 records, and see it arrive
version_added: "0.1.0"
author: Terragon Platform Team (@terragon)
description:
  - Changes the values, TTL, weight or failover role of existing DNS records, all records of a hosted zone in one atomic
    change batch, and submits only the records that differ. Everything else of a record set is preserved.
  - Reads every record first, and refuses before it changes anything where one is not as expected. All reasons are
    named.
  - Then waits until Route 53 reports each change C(INSYNC) and until every DNS server named gives the new answer. A
    server's answer is one observation. Behind a public resolver's address stand many caches, which this cannot tell
    apart.
  - Calls that Route 53 throttles, fails or rejects because of a change in progress are repeated with backoff.
  - Changing records needs Route 53's control plane, which AWS runs in us-east-1.
options:
  state:
    description:
      - V(present) makes the records as given.
      - V(observed) changes nothing. It reads the records, tells what V(present) would refuse as RV(problems), and asks
        the DNS servers once whether they answer what Route 53 has now.
    type: str
    choices: [present, observed]
    default: present
  records:
    description: The records. The parts left out (TTL, values, weight, failover role, health check) stay as they are.
    type: list
    elements: dict
    required: true
    suboptions:
      zone:
        description: Hosted zone, by its id or by its name where one public zone has it.
        type: str
        required: true
      name:
        description: Full name of the record. A wildcard is written C(*).
        type: str
        required: true
      type:
        description: Type of the record. A record of another type in its place is refused.
        type: str
        required: true
        choices: [A, AAAA, CNAME]
      ttl:
        description:
          - TTL in seconds. Without O(records[].expect.ttl) an existing record is expected to have it already.
        type: int
      values:
        description: The values, compared in any order.
        type: list
        elements: str
      set_identifier:
        description: Identifier of one of several records of this name and type.
        type: str
      weight:
        description: Weight from 0 to 255 among the weighted records of this name and type.
        type: int
      failover:
        description: Role among the failover records of this name and type.
        type: str
        choices: [PRIMARY, SECONDARY]
      health_check_id:
        description: Route 53 health check of the record.
        type: str
      expect:
        description:
          - What an existing record is expected to have now. Anything else is refused, unless it already is what is
            wanted.
          - To change a TTL, name the old one here.
        type: dict
        suboptions:
          ttl:
            description: TTL in seconds.
            type: int
          type:
            description: Type, which never changes.
            type: str
            choices: [A, AAAA, CNAME]
          values:
            description: Values, compared in any order.
            type: list
            elements: str
  create:
    description: Create records that are missing, instead of refusing.
    type: bool
    default: false
  comment:
    description: Comment of the change batches, at most 256 characters of it.
    type: str
    default: ""
  timeout:
    description:
      - Seconds for each call including its repetitions, and for the changes to become C(INSYNC).
    type: float
    default: 120.0
  wait_insync:
    description: Wait until Route 53 reports the changes C(INSYNC), which is when all its name servers have them.
    type: bool
    default: true
  resolvers:
    description: Recursive DNS servers that have to give the new answers.
    type: list
    elements: dict
    default: []
    suboptions: &server
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
    description: Authoritative DNS servers that have to give the new answers; asked without recursion.
    type: list
    elements: dict
    default: []
    suboptions: *server
  wait_resolvers_timeout:
    description:
      - Seconds to wait for the DNS servers, from when the changes are submitted. It has to cover the old record's TTL.
    type: float
    default: 180.0
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.aws
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    description: Reads and plans everything, asks the DNS servers once, and changes nothing.
    support: full
  diff_mode:
    description: Shows each record before and after.
    support: full
requirements:
  - boto3
  - dnspython
notes:
  - Of the weighted or failover records of one name several answers may be right. A server's answer then counts as no
    proof and is listed in RV(unverified).
  - Aliases and records with latency, geolocation, geoproximity, CIDR or multivalue routing are refused.
"""

EXAMPLES = r"""
- name: Send the clients to the other region
  terragon.disaster_recovery.route53_traffic:
    records:
      - zone: example.com
        name: api.example.com
        type: CNAME
        ttl: 60
        values: [api.us-west-2.example.com]
        expect:
          values: [api.us-east-1.example.com]
    resolvers:
      - name: public
        address: 1.1.1.1

- name: Send a tenth of the clients back
  terragon.disaster_recovery.route53_traffic:
    records:
      - {zone: example.com, name: api.example.com, type: A, set_identifier: us-east-1, weight: 10}
      - {zone: example.com, name: api.example.com, type: A, set_identifier: us-west-2, weight: 90}

- name: Shorten the TTL before a planned switchover
  terragon.disaster_recovery.route53_traffic:
    records:
      - {zone: example.com, name: api.example.com, type: CNAME, ttl: 30, expect: {ttl: 300}}

- name: See whether the records are as expected
  terragon.disaster_recovery.route53_traffic:
    state: observed
    records:
      - {zone: example.com, name: api.example.com, type: CNAME, ttl: 60}
  register: dns
"""

RETURN = r"""
records:
  description:
    - Each record as it is after the call, or in check mode and with O(state=observed) as it would be after
      O(state=present).
    - A record that was refused is given as it is; its values are empty where it does not exist.
  returned: always
  type: list
  elements: dict
  contains:
    zone:
      description: Name of the hosted zone.
      type: str
    name:
      description: Name of the record, with its closing dot.
      type: str
    type:
      description: Type of the record.
      type: str
    set_identifier:
      description: Identifier among records of one name and type, or null.
      type: str
    ttl:
      description: TTL in seconds.
      type: int
    values:
      description: Values, sorted.
      type: list
      elements: str
    weight:
      description: Weight, or null.
      type: int
    failover:
      description: Failover role, or null.
      type: str
    health_check_id:
      description: Health check, or null.
      type: str
    before:
      description: TTL, values, weight, failover role and health check as found; null where there was no record.
      type: dict
    changed:
      description: Whether the record differs from what was found.
      type: bool
changes:
  description: Each change batch that was submitted, or would be in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id of the change, null in check mode.
      type: str
    zone:
      description: Name of the hosted zone.
      type: str
    status:
      description: V(PENDING) or V(INSYNC) as last seen; V(PLANNED) in check mode.
      type: str
    submitted:
      description: When it was submitted, RFC 3339 in UTC.
      type: str
    insync:
      description: When it was seen to be C(INSYNC), RFC 3339 in UTC, or null.
      type: str
    seconds:
      description: Seconds from the beginning of the wait until C(INSYNC), or null.
      type: float
resolvers:
  description: The last answer of each DNS server for each name and type.
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
      description: Whether the answer is right; null where more than one may be.
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
waits:
  description: Times spent waiting, C(dns_insync) for Route 53 and C(dns_ttl) for the DNS servers; the two overlap.
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
problems:
  description: Why the records cannot be changed as wanted, or, with O(state=observed), what else is wrong.
  returned: always
  type: list
  elements: str
unverified:
  description: What was not seen, with the reason. It never counts as seen.
  returned: always
  type: list
  elements: str
outcome:
  description:
    - V(passed), V(failed) where there are problems, or V(unverified) where O(state=observed) could not see everything.
  returned: always
  type: str
observed:
  description: False where a change was made and its arrival not seen.
  returned: always
  type: bool
evidence:
  description: RV(records), RV(changes) and RV(resolvers), as the ledger keeps them.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.traffic import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
