#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: pg_fence
short_description: Make sure that a region's PostgreSQL accepts no more writes
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Takes the lease of a PostgreSQL cluster away from a region and gathers receipts that the region accepts no writes.
  - It needs nothing of the region that is fenced. That region's lease guard stops its database when it finds another
    holder, or when it cannot renew the lease before its time ends. The lease records when that time has certainly
    passed, by the witness's own clock, so that the wait outlives a crash of whoever waits.
  - Repeating a call that was interrupted goes on where it stood; a claim is made once.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.lease
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Predicts the claim, its receipts and the seconds to wait. Writes and waits for nothing.
  diff_mode:
    support: full
    description: Shows holder and epoch before and after.
options:
  state:
    description:
      - V(claimed) takes the lease for O(claimant) and does not wait.
      - V(fenced) takes it where needed, then waits for the guard's receipt or the end of the former holder's time.
      - V(observed) only looks, without waiting.
    type: str
    choices: [claimed, fenced, observed]
    default: fenced
  subject:
    description:
      - Region to fence. Required unless O(state=observed), where the former holder is taken when it is left out.
    type: str
  claimant:
    description: Region that takes the lease over. Required unless O(state=observed).
    type: str
  claimed_by:
    description: Who claims, for people who read the lease; the incident, for example.
    type: str
    default: ''
  assessed_epoch:
    description:
      - Epoch of the lease when the claim was decided, such as C(diff.before.epoch) of a call in check mode. The claim
        is refused where another region has taken the lease since, because what was decided may be wrong by now.
    type: int
  planned:
    description:
      - For a switchover, which loses nothing. The subject's guard stops its server in order, so that the standby gets
        all that was committed, and V(fenced) waits for the guard's own receipt, which says how far the server had
        written. Where O(postgres) is given, the server is asked for a checkpoint before the claim, which keeps the
        shutdown short; the role needs C(pg_checkpoint) for it.
    type: bool
    default: false
  postgres:
    description:
      - The subject's server, if it is to be asked for a write once it is fenced. A refusal is one more receipt,
        an accepted write is an error. The write goes to the table C(dr.probe).
    type: dict
    suboptions:
      host:
        description: Host name, address, or directory of the Unix socket.
        type: str
        required: true
      port:
        description: TCP port.
        type: int
        default: 5432
      database:
        description: Database to connect to.
        type: str
        default: postgres
      user:
        description: Role to connect as.
        type: str
        required: true
      passfile:
        description: File in the C(.pgpass) format that holds the password.
        type: path
      sslmode:
        description: As libpq's C(sslmode).
        type: str
        default: prefer
      connect_timeout:
        description: Seconds to wait for a connection.
        type: int
        default: 3
  wait_timeout:
    description:
      - Seconds to wait for a receipt with O(state=fenced).
        The lease's C(ttl_seconds) and C(clock_allowance_seconds) and 10 seconds when left out.
    type: float
notes:
  - A region that never held the lease has no guard that is known to obey it. It can be outwaited by nobody, so there
    is no receipt; RV(missing) says so.
seealso:
  - module: terragon.disaster_recovery.pg_promote
  - module: terragon.disaster_recovery.pg_heartbeat
"""

EXAMPLES = """
- name: Take the lease at once, wait later
  terragon.disaster_recovery.pg_fence:
    state: claimed
    lease: "{{ dr_clusters.main.lease }}"
    subject: us-east-1
    claimant: us-west-2
    claimed_by: INC-7

- name: Wait until us-east-1 certainly accepts no writes
  terragon.disaster_recovery.pg_fence:
    state: fenced
    lease:
      key: leases/main.json
      ttl_seconds: 30
      clock_allowance_seconds: 2
      stores:
        - {name: witness, bucket: terragon-dr-leases, region: eu-west-1}
    subject: us-east-1
    claimant: us-west-2
    claimed_by: INC-7
  register: fence

- name: Look which region holds the lease
  terragon.disaster_recovery.pg_fence:
    state: observed
    lease: "{{ dr_clusters.main.lease }}"
"""

RETURN = """
fenced:
  description: Whether a receipt proves that the subject accepts no writes. In check mode, whether one would.
  returned: always
  type: bool
holder:
  description: Region that holds the lease; null when none does.
  returned: always
  type: str
epoch:
  description: Epoch of the lease, the fencing token; null when there is no lease.
  returned: always
  type: int
claimed_by:
  description: Who claimed the lease for its holder, an incident for example; null when there is no lease.
  returned: always
  type: str
claimed_at:
  description:
    - When it was claimed (RFC 3339), by the witness's clock and a second or so late at most. The holder has written
      nothing before. Null in check mode, where there is no lease, and where a guard claimed it for itself.
  returned: always
  type: str
previous:
  description: Whom the holder took the lease from; null when it had no holder before.
  returned: always
  type: dict
  contains:
    holder:
      description: Region that held the lease before.
      type: str
    epoch:
      description: Epoch under which it held it.
      type: int
receipts:
  description: What proves, or supports, that the subject accepts no writes.
  returned: always
  type: list
  elements: dict
  contains:
    subject:
      description: Region that accepts no writes.
      type: str
    method:
      description:
        - V(lease_expired), V(guard_fenced) or V(lease_released), each of which is proof.
        - V(write_refused) supports another receipt, and proves nothing alone.
      type: str
    epoch:
      description: Epoch of the claim that the receipt belongs to.
      type: int
    certain_at:
      description: When it was certain, by the witness's clock; null if only that it was before the claim.
      type: str
    evidence:
      description: What was seen.
      type: dict
shutdown_lsn:
  description:
    - Where the shutdown checkpoint of the subject's server begins, the last that it wrote, for example V(0/5000028).
    - Null where no guard says that its server was stopped in order.
  returned: always
  type: str
missing:
  description: Why there is no proof; empty when there is.
  returned: always
  type: list
  elements: str
remaining_seconds:
  description: Seconds until the former holder has certainly stopped; 0 when it has, null when there is none.
  returned: always
  type: float
expires_at:
  description:
    - When the former holder has certainly stopped, by the witness's clock. While the subject holds the lease, when it
      would without another renewal. Null after a release.
  returned: always
  type: str
waits:
  description: The wait V(lease_expiry) with C(name), C(started), C(ended) (RFC 3339, UTC) and C(seconds).
  returned: always
  type: list
  elements: dict
evidence:
  description: What the ledger keeps as proof.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.fencing import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
