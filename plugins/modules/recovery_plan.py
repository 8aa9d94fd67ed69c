#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: recovery_plan
short_description: Bind an approval to a plan and to the state that it rests on
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Computes the hash of a plan, which is the incident, a digest of the steps, and a digest of every section of the
    observed state. An approval is that text. Whoever approved it approved these steps in this state.
  - Fails where an approval is O(required) and none was given, where it was given for another incident, and where the
    steps or the state have changed since. Then it names the sections and, where the ledger has the approved plan,
    what changed.
  - A run that goes on with its own incident after an interruption may give the approval that it began with. What it has
    changed itself is no drift, which the ledger tells by an effect recorded after the acceptance.
  - Changes nothing.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: The same, but a missing approval is no failure. The preview shows what there is to approve.
  diff_mode:
    support: full
    description: Shows the approved plan and the present one, where the ledger has the approved one.
options:
  incident:
    description: Identifier of the incident.
    type: str
    required: true
  kind:
    description: What the plan is for. An approval of a failover is none of a failback.
    type: str
    required: true
    choices: [failover, switchover, failback, commit, rollback]
  regions:
    description: The two regions.
    type: dict
    required: true
    suboptions:
      source:
        description: Region that serves, or served.
        type: str
        required: true
      target:
        description: Region that is to serve.
        type: str
        required: true
  steps:
    description: What is going to be done, in order. See the filter P(terragon.disaster_recovery.plan_steps#filter).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What is done, such as V(promote).
        type: str
        required: true
      object:
        description: To what.
        type: str
        required: true
      from:
        description: What it is before.
        type: str
        default: ''
      to:
        description: What it is after.
        type: str
        default: ''
  observed:
    description:
      - What was observed, by section. Whatever differs between two looks voids an approval, so nothing belongs in it
        that changes by itself, such as positions in the WAL, times and latencies. Nor does a secret.
        See the filter P(terragon.disaster_recovery.plan_observed#filter).
    type: dict
    required: true
  approval:
    description: The hash that was approved. Checked even where none is required.
    type: str
    default: ''
  required:
    description: Whether an approval is required.
    type: bool
    default: false
seealso:
  - plugin: terragon.disaster_recovery.plan_observed
    plugin_type: filter
  - plugin: terragon.disaster_recovery.plan_steps
    plugin_type: filter
"""

EXAMPLES = """
- name: Go on only with the plan that was approved
  terragon.disaster_recovery.recovery_plan:
    incident: INC-7
    kind: failover
    regions: {source: us-east-1, target: us-west-2}
    steps:
      - {name: promote, object: cluster main, from: us-east-1, to: us-west-2}
    observed:
      leases:
        - {name: main, holder: us-east-1, epoch: 3}
    approval: "{{ dr_approval | default('') }}"
    required: true
"""

RETURN = """
plan_hash:
  description: The text that approves this plan.
  returned: always
  type: str
  sample: INC-7:1b4f0e985197.60303ae22b99.fd61a03af4f7
sections:
  description: Digest of every section by its name, V(steps) first.
  returned: always
  type: dict
required:
  description: Whether an approval is required.
  returned: always
  type: bool
approved:
  description: Whether the given approval holds. False where none was given.
  returned: always
  type: bool
resumed:
  description: Whether it holds because the run that it was given to is under way.
  returned: always
  type: bool
drifted:
  description: Names of the sections that are not what was approved; V(sections) where the plans have not the same ones.
  returned: always
  type: list
  elements: str
evidence:
  description: What the ledger keeps, which is the plan itself, its hash, and the approval that was given.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.plan import SPECIFICATION, run


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
