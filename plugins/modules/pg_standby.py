#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: pg_standby
short_description: Make a PostgreSQL server that was primary a standby of the present primary
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Runs on the database host of a region that returns. Its server is stopped (fenced, shut down, crashed), or is a
    standby that follows nobody any more. Afterwards its data directory is that of a standby of O(source).
  - V(follow) copies nothing, V(rewind) takes back what the server wrote after O(source) had left it (C(pg_rewind)),
    V(copy) makes a new data directory beside the old one (C(pg_basebackup)), swaps the two and keeps the old one.
  - Does not start the server. It starts as a standby afterwards, and never as a primary in between.
  - What the region calls its own at the top of the data directory stays (configuration, C(pg_hba.conf), certificates,
    logs).
  - WAL that O(source) never had holds writes that were perhaps acknowledged. Without O(divergence_saved) or
    O(acceptance) such a server is not touched.
  - Killed at any point and called again it goes on, or begins anew. A small journal beside the data directory says how
    far it came.
  - Runs as root or as the owner of the data directory; PostgreSQL's programs always run as the owner.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.postgres
  - terragon.disaster_recovery.connections.record
requirements:
  - psycopg2
  - PostgreSQL's server programs of the cluster's version, C(pg_rewind), C(pg_waldump) and C(pg_basebackup) among them
attributes:
  check_mode:
    support: full
    description:
      - Refuses what would be refused and predicts the method, reading only. What still has to be saved or typed then
        stands in C(evidence.needs).
      - Whether C(pg_rewind) finds all WAL that it needs is tried by a real call; where it does not, V(auto) copies.
  diff_mode:
    support: full
    description: Shows the state of the cluster and whom it follows, before and after.
options:
  state:
    description:
      - V(present) makes the data directory that of a standby.
      - V(streaming) waits until the server, which somebody has started, streams and has replayed all that O(source) had
        written when the wait began.
      - V(observed) only looks, and says what V(present) would do.
    type: str
    choices: [observed, present, streaming]
    default: present
  data_directory:
    description: Data directory of the server.
    type: path
    required: true
  hba_file:
    description: The server's C(pg_hba.conf). It rejects everybody while the server is being rebuilt.
    type: path
    required: true
  bin_directory:
    description: Directory of PostgreSQL's programs. Found by the cluster's version when left out.
    type: path
  source:
    description:
      - How the server reaches the primary, and this module too. The role replicates, and is a member of C(dr_rewind),
        which the schema of the role lease_guard makes. The owner of the data directory can read the passfile.
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
  region:
    description: Region of the server. The source knows the standby by this C(application_name).
    type: str
    required: true
  source_region:
    description: Region of O(source). Needed with O(lease).
    type: str
  slot:
    description: Physical replication slot on O(source); made where it is missing or has lost its WAL.
    type: str
    required: true
  conninfo:
    description: Further parameters of C(primary_conninfo), for example C(sslrootcert). No password.
    type: dict
    default: {}
  method:
    description: V(auto) takes the first that can do of V(follow), V(rewind) and V(copy).
    type: str
    choices: [auto, follow, rewind, copy]
    default: auto
  incident:
    description: Incident that this is part of. Files that are kept are named after it.
    type: str
    required: true
  keep_directory:
    description:
      - Where the old data directory and the log are kept, on the same file system as the data directory. The directory
        above the data directory when left out.
    type: path
  divergence_saved:
    description:
      - Manifest that M(terragon.disaster_recovery.pg_divergence) wrote of this cluster's divergent writes. It has to be
        of the same system, fork and end.
    type: path
  acceptance:
    description: The text C(discard the divergent writes of <region>), typed by whoever answers for the loss.
    type: str
  lease:
    description:
      - Lease of the cluster. When given, O(source_region) has to hold it.
      - The lease that lets one region's PostgreSQL accept writes, and the witness stores that keep it.
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
  wait_timeout:
    description: Seconds that the server may take to stop, or with O(state=streaming) to catch up.
    type: int
    default: 300
  program_timeout:
    description: Seconds that C(pg_rewind), C(pg_basebackup) or a crash recovery may take.
    type: int
    default: 14400
seealso:
  - module: terragon.disaster_recovery.pg_divergence
  - module: terragon.disaster_recovery.pg_fence
"""

EXAMPLES = """
- name: Make the returned region's PostgreSQL a standby
  terragon.disaster_recovery.pg_standby:
    data_directory: /var/lib/postgresql/15/main
    hba_file: /etc/postgresql/15/main/pg_hba.conf
    postgres:
      host: /var/run/postgresql
      user: dr_guard
      passfile: /etc/lease-guard/pgpass
    source:
      host: postgres.us-west-2.example.com
      user: replicator
      passfile: /var/lib/postgresql/replication.pgpass
      sslmode: verify-full
    region: us-east-1
    source_region: us-west-2
    slot: us_east_1
    incident: INC-7
    lease: "{{ dr_clusters.main.lease }}"
    divergence_saved: /var/lib/postgresql/divergence/INC-7/manifest.json
  become: true
  become_user: postgres
"""

RETURN = """
region:
  description: Region of the server.
  returned: always
  type: str
method:
  description:
    - What was done, or in check mode would be. V(follow), V(rewind) or V(copy).
    - Null when there was nothing to do.
  returned: always
  type: str
reason:
  description: Why this method.
  returned: always
  type: str
running:
  description: Whether the server runs. After a change it does not, and is to be started.
  returned: always
  type: bool
streaming:
  description: Whether it receives WAL from the source's present timeline, over the slot.
  returned: always
  type: bool
diverged:
  description:
    - Whether the server had WAL that the source never had. What cannot be known counts as if it had.
    - Null when it streams, where nobody asked.
  returned: always
  type: bool
fork:
  description: Position where the source left the server's history; where it did not, up to where it has written.
  returned: always
  type: str
end:
  description: Position where the server's own WAL ended.
  returned: always
  type: str
timeline:
  description: Timeline of the server before.
  returned: always
  type: int
source_timeline:
  description: Timeline of the source.
  returned: always
  type: int
source_lsn:
  description: Position of the source's WAL when it was asked.
  returned: always
  type: str
system_identifier:
  description: PostgreSQL's system identifier of the cluster.
  returned: always
  type: str
slot:
  description: The replication slot on the source.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    created:
      description: Whether it was made.
      type: bool
slots_removed:
  description: Replication slots of the server's own, of its time as a primary, that were removed.
  returned: always
  type: list
  elements: str
kept:
  description: Old data directories that are kept, of earlier incidents too. Remove them once the commit window ended.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The directory.
      type: str
    bytes:
      description: Its size in bytes.
      type: int
log:
  description: File with what PostgreSQL's programs said, their progress among it; null when none ran.
  returned: always
  type: str
bytes_copied:
  description: Bytes that were copied from the source.
  returned: always
  type: int
lag_bytes:
  description: With O(state=streaming), bytes of WAL that the server is behind the source. Null otherwise.
  returned: always
  type: int
seconds:
  description: Seconds that all of it took.
  returned: always
  type: float
waits:
  description: The wait V(standby_catch_up) with C(name), C(started), C(ended) (RFC 3339, UTC) and C(seconds).
  returned: always
  type: list
  elements: dict
evidence:
  description:
    - What the ledger keeps as proof. C(divergence) says what allowed divergent writes to be left behind.
    - C(needs) says in check mode what a real call would be refused for, such as a manifest that was not written yet.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.standby import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
