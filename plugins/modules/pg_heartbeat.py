#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_heartbeat
short_description: See how far each region's PostgreSQL is, which accept writes, and what a failover loses at most
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Asks the PostgreSQL of several regions at the same time, and never longer than their connections allow, even where
    a server is frozen.
  - Whether a server accepts writes is found out by a committed write into the table C(dr.probe), never by what the
    server says of itself.
  - The bound of the loss is counted by the witness's clock. The lease guard writes heartbeats into the primary, each
    with a time that the witness's clock had certainly reached. Everything committed before the time of a heartbeat that
    the target has replayed is on the target. Nothing is committed in the old region after its lease has ended, or its
    guard has fenced it. The bound is the time in between, and never less than the true loss. Neither the clocks of the
    servers nor their own opinion of their lag count.
  - Needs the role C(dr_operator) and the tables that the role P(terragon.disaster_recovery.lease_guard#role) creates.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
requirements:
  - psycopg2 >= 2.9
attributes:
  check_mode:
    support: full
    description: Looks, and writes nothing. RV(servers[].accepts_writes) of a primary is then not known.
  diff_mode:
    support: none
    description: Changes nothing but rows of C(dr.probe), which only this collection reads.
options:
  state:
    description:
      - V(observed) looks.
      - V(written) also writes one row on the only primary of O(servers) and waits until all the others have replayed
        it, which proves replication from end to end.
    type: str
    choices: [observed, written]
    default: observed
  servers:
    description: The PostgreSQL servers of one cluster, one a region.
    type: list
    elements: dict
    required: true
    suboptions:
      region:
        description: Name of the region, as the lease's holders are named.
        type: str
        required: true
      postgres:
        description: How to reach the server. The password comes from a libpq passfile and never appears here.
        type: dict
        required: true
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
            description: Database to connect to. The one that has the schema C(dr).
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
      probe_write:
        description: Whether to try a write.
        type: bool
        default: false
  lease:
    description: The lease that lets one region's PostgreSQL accept writes, and the witness stores that keep it.
    type: dict
    suboptions:
      key:
        description: Key of the lease object, the same in every store.
        type: str
        required: true
      ttl_seconds:
        description: Seconds a renewal lasts. The guard fences its database before they end.
        type: float
        default: 30.0
      clock_allowance_seconds:
        description: Seconds added to the TTL before a silent holder counts as stopped, for clocks of other rates.
        type: float
        default: 2.0
      stores:
        description: One witness store in no region that can fail over, or three of which a majority decides.
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
  target:
    description:
      - Region of O(servers) that would take over, or has. Asks for RV(loss_bound), and needs O(lease).
    type: str
  wait_timeout:
    description: Seconds to wait until the row is replayed everywhere, with O(state=written).
    type: float
    default: 30.0
"""

EXAMPLES = r"""
- name: What would a failover lose
  terragon.disaster_recovery.pg_heartbeat:
    servers:
      - region: us-west-2
        postgres: {host: postgres.us-west-2.internal, user: dr_operator, passfile: ~/.config/terragon-dr/pgpass}
    lease: "{{ dr_clusters.main.lease }}"
    target: us-west-2
  register: database

- name: Show it
  ansible.builtin.debug:
    msg: "{{ database.loss_bound.seconds }} s at most: {{ database.loss_bound.basis }}"

- name: Which regions accept writes
  terragon.disaster_recovery.pg_heartbeat:
    servers:
      - region: us-east-1
        postgres: {host: postgres.us-east-1.internal, user: dr_operator, passfile: ~/.config/terragon-dr/pgpass}
        probe_write: true
      - region: us-west-2
        postgres: {host: postgres.us-west-2.internal, user: dr_operator, passfile: ~/.config/terragon-dr/pgpass}
        probe_write: true
  register: primaries
  failed_when: primaries.writable_regions | length > 1

- name: Prove that replication works
  terragon.disaster_recovery.pg_heartbeat:
    state: written
    servers:
      - region: us-east-1
        postgres: {host: postgres.us-east-1.internal, user: dr_operator, passfile: ~/.config/terragon-dr/pgpass}
      - region: us-west-2
        postgres: {host: postgres.us-west-2.internal, user: dr_operator, passfile: ~/.config/terragon-dr/pgpass}
    wait_timeout: 10
"""

RETURN = r"""
servers:
  description: What each server answered, in the order of O(servers). What is not known is null.
  returned: always
  type: list
  elements: dict
  contains:
    region:
      description: Name of the region.
      type: str
    address:
      description: Host and port.
      type: str
    reachable:
      description: Whether it let us in and answered. A fenced server does not.
      type: bool
    in_recovery:
      description: Whether it is a standby.
      type: bool
    accepts_writes:
      description: Whether it committed a write. Null when none was tried, or when nothing follows from what went wrong.
      type: bool
    timeline:
      description: The timeline that it is on.
      type: int
    system_identifier:
      description: Identifier of the cluster, the same for a primary and its standbys.
      type: str
    lsn:
      description: Last position written. Null for a standby.
      type: str
    receive_lsn:
      description: Last position received. Null for a primary.
      type: str
    replay_lsn:
      description: Last position replayed. Kept by a promoted server until it restarts.
      type: str
    replay_paused:
      description: Whether somebody has paused the replay.
      type: bool
    heartbeat:
      description: The newest heartbeat that it has.
      type: dict
      contains:
        region:
          description: Region whose guard wrote it.
          type: str
        epoch:
          description: Epoch of the lease under which it was written.
          type: int
        sequence:
          description: Its number.
          type: int
        written_at:
          description: Time in RFC 3339 that the witness's clock had reached when it was written, or passed.
          type: str
        lsn:
          description: Position of the WAL at that time.
          type: str
    error:
      description: Why it is not reachable, or refused the write.
      type: str
writable_regions:
  description: Regions that committed a write.
  returned: always
  type: list
  elements: str
loss_bound:
  description: What is lost at most when O(target) takes over. Null without O(target).
  returned: always
  type: dict
  contains:
    seconds:
      description: Upper bound in seconds, rounded up to a millisecond. Null when it is not known.
      type: float
    from:
      description: Time of the witness's clock, in RFC 3339. Everything committed before is on the target.
      type: str
    until:
      description: Time of the witness's clock, in RFC 3339. Nothing is committed in the old region later.
      type: str
    predicted:
      description: True until the target holds the lease. Then it says what a claim now would come to.
      type: bool
    basis:
      description: What the two times come from, or why the bound is not known.
      type: str
round_trip:
  description: The proof of O(state=written), null otherwise.
  returned: always
  type: dict
  contains:
    region:
      description: Region of the primary.
      type: str
    token:
      description: What was written. Null in check mode.
      type: str
    lsn:
      description: Position of the WAL after the write.
      type: str
    standbys:
      description: Region and C(seconds) until it showed the row. Null when it did not.
      type: list
      elements: dict
problems:
  description: What is wrong, one line each.
  returned: always
  type: list
  elements: str
unverified:
  description: What could not be told, one line each.
  returned: always
  type: list
  elements: str
waits:
  description: The wait C(replication) of O(state=written). Times are RFC 3339 in UTC, durations seconds.
  returned: always
  type: list
  elements: dict
evidence:
  description: The bound of the loss, and of each server what it is and how far.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.heartbeat import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
