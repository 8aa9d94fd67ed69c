#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shift traffic by ARC routing controls."""

from __future__ import annotations

DOCUMENTATION = r"""
module: arc_routing_control
short_description: Shift traffic by the routing controls of Application Recovery Controller
version_added: "0.1.0"
author: Terragon Platform Team (@terragon)
description:
  - Sets routing controls On or Off through a cluster's data plane, which answers in five AWS regions and needs no
    control plane of AWS. Records and health checks that follow the controls have to exist before.
  - All controls of a call are set in one request, all or none, as far as the API takes them. It takes ten; more are set
    ten at a time in their order, so that controls which one safety rule couples should stand together.
  - Asks the cluster's endpoints in random order, each with a timeout of its own, until one answers, and begins again
    until O(timeout) is over. The endpoints are given as data, because looking them up would need the control plane.
  - Reads the states back, then waits until every DNS server named gives the answers of O(names).
  - A safety rule's refusal ends the task, names the rule and says what to type to override it. Where a rule refuses
    only because its wait period after another change is not over, that is waited for.
options:
  state:
    description:
      - V(present) sets the controls.
      - V(observed) changes nothing. It reads their states, tells which known safety rule would refuse the change as
        RV(problems), and asks the DNS servers once.
    type: str
    choices: [present, observed]
    default: present
  endpoints:
    description: The cluster's Regional endpoints, as C(DescribeCluster) told them when they were written down.
    type: list
    elements: dict
    required: true
    suboptions:
      endpoint:
        description: URL.
        type: str
        required: true
      region:
        description: AWS region that requests to it are signed for.
        type: str
        required: true
  control_panel:
    description: ARN of the control panel that O(controls[].name) are names of. All panels of the cluster without it.
    type: str
  controls:
    description: Routing controls.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the control, or its ARN.
        type: str
        required: true
      state:
        description: State to set. Needed with O(state=present).
        type: str
        choices: ['On', 'Off']
  safety_rules:
    description:
      - The safety rules of the panel, as far as a preview shall predict them. The data plane does not tell them.
      - An empty list says that there are none. Without the option a change's fate is RV(unverified) beforehand.
      - The wait period is not predicted, because the data plane does not tell when a control was changed last.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the rule.
        type: str
        required: true
      arn:
        description: ARN of the rule.
        type: str
        required: true
      kind:
        description:
          - An V(assertion) rule looks at its controls after the change.
          - A V(gating) rule looks at its controls before a change of its targets.
        type: str
        choices: [assertion, gating]
        default: assertion
      controls:
        description: Asserted or gating controls, by name or ARN.
        type: list
        elements: str
        required: true
      targets:
        description: Controls whose change a gating rule allows, by name or ARN.
        type: list
        elements: str
        default: []
      type:
        description: How many of the controls have to be On.
        type: str
        choices: [ATLEAST, AND, OR]
        default: ATLEAST
      threshold:
        description: The number of V(ATLEAST).
        type: int
        default: 1
      inverted:
        description: Whether the criterion is negated.
        type: bool
        default: false
      wait_period_ms:
        description: Milliseconds after a change during which the rule refuses the next one.
        type: int
        default: 5000
  safety_rules_to_override:
    description: Names of rules in O(safety_rules), or ARNs, that shall not hold up this change.
    type: list
    elements: str
    default: []
  override_acceptance:
    description: >-
      Typed acceptance to override, exactly C(override safety rule NAME), or C(override safety rules NAME, NAME) in the
      order of O(safety_rules_to_override).
    type: str
  endpoint_timeout:
    description: Seconds that one endpoint may take to answer before the next is asked.
    type: float
    default: 3.0
  timeout:
    description: Seconds after which no further round over the endpoints begins.
    type: float
    default: 60.0
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.aws
  - terragon.disaster_recovery.connections.record
  - terragon.disaster_recovery.names
attributes:
  check_mode:
    description:
      - Reads the states, asks the DNS servers once, and changes nothing. Fails where a rule of O(safety_rules) would
        refuse.
    support: full
  diff_mode:
    description: Shows the state of each control before and after.
    support: full
requirements:
  - boto3
  - dnspython
notes:
  - Of O(aws) the profile and the credentials file are used. Endpoint and region are those of O(endpoints).
  - Needs the permissions C(ListRoutingControls) and C(UpdateRoutingControlStates) of C(route53-recovery-cluster).
  - This was developed against the lab's own Application Recovery Controller. It has not run against the real one.
"""

EXAMPLES = r"""
- name: Send the clients to the other region, without any control plane
  terragon.disaster_recovery.arc_routing_control:
    endpoints: "{{ dr_routing_control.endpoints }}"
    control_panel: "{{ dr_routing_control.control_panel }}"
    controls:
      - {name: api-us-east-1, state: 'Off'}
      - {name: api-us-west-2, state: 'On'}
    names:
      - {name: api.example.com, type: CNAME, values: [api.us-west-2.example.com]}
    resolvers:
      - {name: public, address: 1.1.1.1}

- name: See where the clients are sent
  terragon.disaster_recovery.arc_routing_control:
    state: observed
    endpoints: "{{ dr_routing_control.endpoints }}"
    control_panel: "{{ dr_routing_control.control_panel }}"
    controls:
      - name: api-us-east-1
      - name: api-us-west-2

- name: Take both regions out of service, which a safety rule forbids
  terragon.disaster_recovery.arc_routing_control:
    endpoints: "{{ dr_routing_control.endpoints }}"
    control_panel: "{{ dr_routing_control.control_panel }}"
    safety_rules: "{{ dr_routing_control.safety_rules }}"
    safety_rules_to_override: [api-somewhere]
    override_acceptance: override safety rule api-somewhere
    controls:
      - {name: api-us-east-1, state: 'Off'}
      - {name: api-us-west-2, state: 'Off'}
"""

RETURN = r"""
controls:
  description:
    - Each routing control as it is after the call, or in check mode and with O(state=observed) as it would be after
      O(state=present).
  returned: always
  type: list
  elements: dict
  contains:
    arn:
      description: ARN of the control.
      type: str
    name:
      description: Name of the control.
      type: str
    control_panel:
      description: ARN of its control panel.
      type: str
    state:
      description: V(On) or V(Off).
      type: str
    before:
      description: State as found.
      type: str
    changed:
      description: Whether it was set, or would be in check mode.
      type: bool
updates:
  description: Each request that set controls, or would in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    controls:
      description: Names and states that it set.
      type: list
      elements: str
    endpoint_region:
      description: Region of the endpoint that carried it out; null in check mode, and where it is not known which did.
      type: str
    status:
      description: V(DONE), or V(PLANNED) in check mode.
      type: str
endpoints:
  description: What became of asking each endpoint last.
  returned: always
  type: list
  elements: dict
  contains:
    endpoint:
      description: URL of the endpoint.
      type: str
    region:
      description: Region of the endpoint.
      type: str
    answered:
      description: Whether it answered; null where it was not asked.
      type: bool
    error:
      description: Why it did not, else empty.
      type: str
overridden:
  description: Safety rules that a change was made with an override of.
  returned: always
  type: list
  elements: str
waits:
  description: Times spent waiting, C(dns_ttl) for the DNS servers and C(safety_rule) for a rule's wait period.
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
  description: RV(controls), RV(updates), RV(endpoints), RV(overridden) and RV(resolvers), as the ledger keeps them.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.routing_control import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
