#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: recovery_point_info
short_description: List every recovery point, and what is overdue, missing or unproven
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Lists the points of all components in all stores, verifies their seals, and holds them against their objectives.
  - A store is listed once a component, in one call a thousand objects. Seals are read side by side, those of equal
    copies once, and with O(cache) only those that are new.
  - A copy is complete when its seal is signed by one of O(public_keys), is of this point, and the store has all files
    by name and size. Whether their content is right shows when the point is fetched; that is what proofs are for.
  - What could not be seen is V(unverified), never V(passed).
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: There is nothing to show.
options:
  service:
    description: Service of the components that name none.
    type: str
  components:
    description:
      - Components as P(terragon.disaster_recovery.service_backups#filter) returns them. Of each C(component),
        C(service), C(kind), C(every_seconds), C(retention_days), C(copies), C(prove_every_seconds) and
        C(minimum_points) are read; other keys are ignored.
    type: list
    elements: dict
    required: true
  stores:
    description:
      - Stores that hold the copies, at most one a region.
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
    required: true
  pgbackrest:
    description: What pgBackRest said of its repositories, one entry each.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Service or cluster that the repository is of.
        type: str
        required: true
      component:
        description: The component.
        type: str
        default: database
      repository:
        description: Name of the repository in messages.
        type: str
        required: true
      region:
        description: Region that it is in.
        type: str
        default: ''
      repository_key:
        description: Its number, where O(pgbackrest[].documents) are of several repositories.
        type: int
      documents:
        description: What C(pgbackrest info --output=json) printed, parsed.
        type: list
        elements: dict
        default: []
      archived_until:
        description:
          - Moment up to which WAL is in the repository, RFC 3339. Without it a backup counts as restoring only to its
            own end.
        type: str
      error:
        description: Why nothing could be learnt about it.
        type: str
  grace:
    description: Part of an interval by which a backup or a proof may be late, for the time that it takes itself.
    type: float
    default: 0.2
  leftover_hours:
    description: Age from which objects that were never sealed are a failure, and before which they are a notice.
    type: float
    default: 24.0
  max_skew_seconds:
    description: By how much this machine's clock may differ from a store's.
    type: float
    default: 60.0
  cache:
    description:
      - File in which verified seals are remembered. They are known again by their ETags, which change whenever an
        object is written.
    type: path
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
requirements:
  - boto3
  - cryptography
seealso:
  - module: terragon.disaster_recovery.recovery_point
  - module: terragon.disaster_recovery.recovery_point_prune
"""

EXAMPLES = """
- name: Look at all recovery points
  terragon.disaster_recovery.recovery_point_info:
    components: "{{ dr_backups }}" # of the filter service_backups
    stores: "{{ dr_backup_stores }}"
    public_keys: "{{ dr_backup_public_keys }}"
  register: recovery_points

- name: Show them
  ansible.builtin.debug:
    msg: "{{ recovery_points.table }}"
"""

RETURN = """
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
  description: What could not be seen, one line each.
  returned: success
  type: list
  elements: str
findings:
  description:
    - The same and notices, with C(level) (V(failed), V(unverified) or V(notice)), C(kind), C(service), C(component),
      C(id), C(store) and C(text).
    - Kinds are C(no_point), C(overdue_backup), C(too_few_copies), C(incomplete_copy), C(copies_differ),
      C(signature_invalid), C(manifest_unparsable), C(foreign_manifest), C(future_point), C(overdue_proof),
      C(never_proven), C(failed_proof), C(unverified_proof), C(proof_invalid), C(proof_unread), C(unreachable_store),
      C(clock_skew), C(leftovers), C(strangers) and C(not_observed).
  returned: success
  type: list
  elements: dict
components:
  description:
    - One entry a component, with its objectives, C(outcome), C(points), C(usable_points), C(bytes), C(newest) (an
      identifier), C(age_seconds) of the moment that the newest restores, C(window) (C(from), C(to)) over all,
      C(complete_in) (stores that have the newest), C(last_proof) and C(leftovers).
  returned: success
  type: list
  elements: dict
points:
  description:
    - Every point, newest first in each component, with C(service), C(component), C(kind), C(id), C(created), C(window),
      C(age_seconds), C(bytes), C(count), C(copies) (C(store), C(region), C(state), C(why)), C(usable), C(held) and
      C(proof) (C(time), C(run), C(outcome), C(signature_ok), C(why)).
    - A copy is V(complete), V(incomplete), V(untrusted), V(absent) or V(unreachable).
  returned: success
  type: list
  elements: dict
due:
  description:
    - Components that need a backup now, with C(service), C(component), C(kind), C(reason), C(age_seconds) and
      C(every_seconds). One is due when nine tenths of its interval have passed.
  returned: success
  type: list
  elements: dict
proof_due:
  description:
    - Components that need a proof now, with C(service), C(component), C(kind), C(id) of the point to prove, C(reason),
      C(last_proof) and C(prove_every_seconds).
  returned: success
  type: list
  elements: dict
calls:
  description: Number of requests that each store got.
  returned: success
  type: dict
seconds:
  description: How long it took.
  returned: success
  type: float
table:
  description: The components and what is wrong, drawn for people.
  returned: success
  type: str
evidence:
  description: What the ledger keeps.
  returned: success
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.recovery_points_info import (
    SPECIFICATION,
    run,
)


def main() -> None:
    """Run the service as a module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
