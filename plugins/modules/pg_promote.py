#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: pg_promote
short_description: Promote a PostgreSQL standby that holds its cluster's lease
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Promotes a standby, then waits until it has left recovery and committed a write.
  - Refuses unless O(region) holds the lease and a receipt of M(terragon.disaster_recovery.pg_fence), of the claim that
    stands now, proves that O(subject) accepts no writes. The module asks the witness again; what it is given is not
    believed alone. Without a receipt only a typed O(acceptance) that names the loss lets it go on.
  - Connects as a role that is no superuser and was granted C(EXECUTE) on C(pg_promote), which the schema of the role
    lease_guard does for C(dr_operator).
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.postgres
  - terragon.disaster_recovery.connections.lease
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Refuses what would be refused and predicts the promotion; orders nothing.
  diff_mode:
    support: full
    description: Shows whether the server is in recovery, before and after.
options:
  region:
    description: Region of the server to promote.
    type: str
    required: true
  subject:
    description: Region that was primary, and is fenced.
    type: str
    required: true
  receipts:
    description: The receipts that M(terragon.disaster_recovery.pg_fence) returned.
    type: list
    elements: dict
    default: []
  acceptance:
    description:
      - The text C(promote <region> without a fence receipt, losing up to <N> s), typed by whoever answers for the loss.
        Only asked for, and only accepted, where no receipt proves the fence. C(<N>) is O(loss_bound_seconds) at least.
      - Where O(loss_bound_seconds) is not known, it has to end in C(losing an unknown amount) instead.
    type: str
  loss_bound_seconds:
    description: The loss bound that M(terragon.disaster_recovery.pg_heartbeat) stated, in seconds.
    type: float
  planned:
    description:
      - For a switchover, which loses nothing. The standby has to have replayed O(shutdown_lsn) before it is promoted;
        an O(acceptance) is of no use.
    type: bool
    default: false
  shutdown_lsn:
    description:
      - Position of the old primary's shutdown checkpoint, as M(terragon.disaster_recovery.pg_fence) returned it.
    type: str
  wait_timeout:
    description: Seconds that the promotion and the first write may take, and that the replay may take before.
    type: int
    default: 60
seealso:
  - module: terragon.disaster_recovery.pg_fence
  - module: terragon.disaster_recovery.pg_heartbeat
"""

EXAMPLES = """
- name: Promote the target's database
  terragon.disaster_recovery.pg_promote:
    postgres:
      host: postgres.us-west-2.example.com
      user: dr_operator
      passfile: ~/.pgpass
    region: us-west-2
    subject: us-east-1
    lease: "{{ dr_clusters.main.lease }}"
    receipts: "{{ fence.receipts }}"
    loss_bound_seconds: "{{ heartbeat.loss_bound.seconds }}"
"""

RETURN = """
promoted:
  description: Whether the server is a primary now, or in check mode would be. Null where that is not known.
  returned: always
  type: bool
region:
  description: Region of the server.
  returned: always
  type: str
timeline:
  description: Timeline of the server, after the promotion where there was one. In check mode the present one.
  returned: always
  type: int
system_identifier:
  description: PostgreSQL's system identifier of the cluster.
  returned: always
  type: str
lsn:
  description: Position in the WAL, replayed by a standby, written by a primary.
  returned: always
  type: str
promoted_at:
  description: When the first write was committed, by the controller's clock (RFC 3339, UTC); null without a promotion.
  returned: always
  type: str
seconds:
  description: Seconds from the order to the first committed write; null if nothing was promoted.
  returned: always
  type: float
accepted_without_receipt:
  description: Whether it went on by acceptance instead of a receipt.
  returned: always
  type: bool
receipts:
  description: The receipts that the promotion rests on, as M(terragon.disaster_recovery.pg_fence) returns them.
  returned: always
  type: list
  elements: dict
waits:
  description: The waits V(replay) and V(promotion) with C(name), C(started), C(ended) (RFC 3339, UTC) and C(seconds).
  returned: always
  type: list
  elements: dict
evidence:
  description: What the ledger keeps as proof, the acceptance among it.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.promotion import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
