#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: recovery_point_prune
short_description: Remove recovery points that are past their retention, or hold one
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - V(pruned) removes, of each component and store, points whose verified seal is older than C(retention_days).
  - It never removes one of the C(minimum_points) newest complete points of a store, the newest point whose last proof
    passed, a point with a hold in any store, nor one whose seal it cannot verify.
  - It removes leftovers without a seal that nobody has written to for O(leftover_hours), and multipart uploads as old.
  - A seal goes first, then the rest, so that what is half removed is leftovers and never a point.
  - In a bucket with versions all versions and delete markers of a point go. A point within its retention whose seal was
    deleted by a marker stays, and is a finding. What a lock or a policy keeps is a finding, too.
  - Nothing is removed from a store whose clock differs from this machine's by more than O(max_skew_seconds), and
    nothing from any while one cannot be asked.
  - V(held) keeps a point whatever its age, V(released) ends that.
attributes:
  check_mode:
    support: full
    description: Looks at everything, and says exactly what would be removed.
  diff_mode:
    support: full
    description: Lists what is removed.
options:
  state:
    description: What to do.
    type: str
    choices: [pruned, held, released]
    default: pruned
  service:
    description: Service of the components that name none, or of the point to hold or release.
    type: str
  components:
    description: Components as M(terragon.disaster_recovery.recovery_point_info) takes them.
    type: list
    elements: dict
    default: []
  component:
    description: Component of the point to hold or release.
    type: str
  id:
    description: Identifier of the point to hold or release.
    type: str
  reason:
    description: Why the point is held. It is kept in the store, beside the point.
    type: str
  stores:
    description:
      - All stores that hold copies. While one cannot be asked, nothing is removed from any.
    type: list
    elements: dict
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
        description: AWS region that requests are signed for, and that the copy is listed under.
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
  public_keys:
    description: Public keys that seals and proofs are trusted by, as PEM or as names of files.
    type: list
    elements: str
    default: []
  leftover_hours:
    description: For how long leftovers are left to whoever may be at work on them.
    type: float
    default: 24.0
  max_skew_seconds:
    description: By how much this machine's clock may differ from a store's.
    type: float
    default: 60.0
  cache:
    description: As that of M(terragon.disaster_recovery.recovery_point_info).
    type: path
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
requirements:
  - boto3
  - cryptography
seealso:
  - module: terragon.disaster_recovery.recovery_point
  - module: terragon.disaster_recovery.recovery_point_info
"""

EXAMPLES = """
- name: Remove what is past its retention
  terragon.disaster_recovery.recovery_point_prune:
    components: "{{ dr_backups }}" # of the filter service_backups
    stores: "{{ dr_backup_stores }}"
    public_keys: "{{ dr_backup_public_keys }}"

- name: Keep a point for an investigation
  terragon.disaster_recovery.recovery_point_prune:
    state: held
    service: counterfactual-lab
    component: database-logical
    id: 20261123T101500Z-0123abcd
    reason: INC-7, evidence
    stores: "{{ dr_backup_stores }}"
"""

RETURN = """
state:
  description: What was asked for.
  returned: success
  type: str
removed:
  description:
    - What was removed, in check mode what would be, with C(service), C(component), C(id), C(store), C(why) (V(expired),
      V(leftovers), V(hidden) behind delete markers, V(unfinished_uploads)), C(objects) (versions and markers counted)
      and C(bytes).
  returned: success
  type: list
  elements: dict
stays:
  description:
    - What is past its retention, or was never sealed, and stays, with C(service), C(component), C(id), C(store) and
      C(why).
  returned: success
  type: list
  elements: dict
bytes:
  description: Size of what was removed.
  returned: success
  type: int
outcome:
  description: V(failed) with any failure, else V(unverified) where something could not be seen, else V(passed).
  returned: success
  type: str
problems:
  description: What is wrong, one line each.
  returned: success
  type: list
  elements: str
unverified:
  description: What could not be seen or done, one line each.
  returned: success
  type: list
  elements: str
findings:
  description:
    - As those of M(terragon.disaster_recovery.recovery_point_info), of what was looked at here, and C(removal_refused)
      and C(hidden_point).
  returned: success
  type: list
  elements: dict
stores:
  description: Stores that were asked; with V(held) and V(released), those that have the point.
  returned: success
  type: list
  elements: str
seconds:
  description: How long it took.
  returned: success
  type: float
evidence:
  description: What the ledger keeps.
  returned: success
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_prune import (
    SPECIFICATION,
    run,
)


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
