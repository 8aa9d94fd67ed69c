#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: pg_quarantine
short_description: Set a damaged PostgreSQL cluster aside, look at it read only, and exchange it for a recovered one
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Runs on the database host. The damaged cluster is renamed to C(<data directory>.damaged-<incident>), where it stays
    until the incident is committed. The recovered one takes its place by a rename, too. Nothing is ever overwritten.
  - What stands at which path is the state, so a call that was killed is simply made again.
  - Nothing is started but, with O(state=opened), a server of the damaged cluster that is in recovery and so cannot
    write. It listens on a socket that only its owner reaches, and archives nothing.
  - Runs as root or as the owner of the data directory; PostgreSQL's programs always run as the owner.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
requirements:
  - PostgreSQL's server programs of the cluster's version
attributes:
  check_mode:
    support: full
    description: Refuses what would be refused and says what would stand in the place; looks only.
  diff_mode:
    support: full
    description: Shows what stands in the place, before and after, as RV(stage).
options:
  state:
    description:
      - V(observed) only looks.
      - V(aside) sets the stopped cluster aside. A data directory that is gone is remembered as such.
      - V(opened) starts what was set aside, to be read. V(closed) stops it and takes away what it needed.
      - V(placed) puts O(recovered) in the place, with the configuration of the cluster that was there. It archives, and
        lets in, what that one did; start it with the host's own means.
      - V(returned) takes the recovered cluster out again, keeps it, and puts the damaged one back.
      - V(removed) deletes what is kept, when a server runs in the data directory.
    type: str
    choices: [observed, aside, opened, closed, placed, returned, removed]
    default: observed
  data_directory:
    description: Data directory of the cluster. It has to be a directory below a mount, not the mount itself.
    type: path
    required: true
  incident:
    description: Identifier of the incident; a part of the names of what is kept.
    type: str
    required: true
  keep_directory:
    description: Where what is kept goes, on the same file system; the directory above O(data_directory) when left out.
    type: path
  directory:
    description:
      - Directory for the socket and the log of V(opened). The path of a Unix socket has at most 107 bytes, so this one
        has to be short.
    type: path
  recovered:
    description: Data directory of the recovered cluster, promoted and stopped in order, on the same file system.
    type: path
  settings:
    description:
      - Settings for C(postgresql.auto.conf) of the recovered cluster. Needed where nothing is left of the damaged one
        and its backup was taken in another region, such as C(listen_addresses).
    type: dict
    default: {}
  hba_file:
    description: The server's C(pg_hba.conf). The recovered cluster's is closed, and opened by the lease guard.
    type: path
  holder:
    description: Who has to hold O(lease). No region, so that no region's guard opens a server meanwhile.
    type: str
  superuser:
    description: Who is asked in the damaged cluster.
    type: str
    default: postgres
  port:
    description: Port number in the socket's name. Nothing listens on TCP.
    type: int
    default: 5432
  memory_mb:
    description: Memory in MiB to size the server of V(opened) by; the machine's when left out.
    type: int
  bin_directory:
    description: Directory of PostgreSQL's programs; where distributions put them when left out.
    type: path
  lease:
    description: The lease of the cluster. With it nothing is moved unless O(holder) holds it.
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
    description: Seconds that a server may take to start or to stop.
    type: int
    default: 300
seealso:
  - module: terragon.disaster_recovery.pg_fence
  - module: terragon.disaster_recovery.pg_backrest
  - module: terragon.disaster_recovery.pg_verify
"""

EXAMPLES = """
- name: Set the damaged cluster aside
  terragon.disaster_recovery.pg_quarantine:
    state: aside
    data_directory: /var/lib/postgresql/15/main
    incident: INC-7
    lease: "{{ dr_clusters.main.lease }}"
    holder: recovery-INC-7
  become: true
  become_user: postgres

- name: Look at it
  terragon.disaster_recovery.pg_quarantine:
    state: opened
    data_directory: /var/lib/postgresql/15/main
    incident: INC-7
    directory: /var/lib/postgresql/q
  register: damaged

- name: Put the recovered cluster in its place
  terragon.disaster_recovery.pg_quarantine:
    state: placed
    data_directory: /var/lib/postgresql/15/main
    hba_file: /var/lib/postgresql/15/main/pg_hba.conf
    recovered: /var/lib/postgresql/recovery/INC-7-1b2c3d4e/data
    incident: INC-7
    lease: "{{ dr_clusters.main.lease }}"
    holder: recovery-INC-7
"""

RETURN = """
stage:
  description:
    - What stands in the place, in check mode what would. V(untouched), V(lost) (nothing, and nothing was set aside),
      V(aside), V(placed), V(returning) (a return was interrupted), V(returned).
  returned: always
  type: str
data_directory:
  description: The data directory, without links.
  returned: always
  type: str
kept:
  description: The directory that is kept beside it; null without one.
  returned: always
  type: str
kept_bytes:
  description: Its size in bytes; null without one.
  returned: always
  type: int
control:
  description: What C(pg_controldata) says of the cluster in the place, or C(error).
  returned: always
  type: dict
kept_control:
  description: The same of the one that is kept.
  returned: always
  type: dict
connection:
  description: With O(state=opened) the option C(postgres) that reaches it; null otherwise.
  returned: always
  type: dict
read_only:
  description: With O(state=opened) that the server was asked and cannot write; null otherwise.
  returned: always
  type: bool
own_files:
  description: Names of the files that V(placed) took over from the damaged cluster, or kept of the backup's.
  returned: always
  type: list
  elements: str
removed:
  description: Paths that V(removed) deleted.
  returned: always
  type: list
  elements: str
seconds:
  description: Seconds that all of it took.
  returned: always
  type: float
waits:
  description: The wait V(quarantine_start) with C(name), C(started), C(ended) (RFC 3339, UTC) and C(seconds).
  returned: always
  type: list
  elements: dict
evidence:
  description: What the ledger keeps as proof.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.quarantine import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
