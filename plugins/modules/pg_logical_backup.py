#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_logical_backup
short_description: Take a database into a directory, with its roles and with facts to prove a restore by
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Dumps one database with C(pg_dump) in directory format, by several jobs, as of one snapshot; the cluster's roles,
    memberships and tablespaces with C(pg_dumpall), without any password; and the facts of the same snapshot.
  - The directory then becomes a sealed recovery point through M(terragon.disaster_recovery.recovery_point). By itself
    it proves nothing; C(pg_restore --list) accepts truncated dumps, and one flipped bit of a zstd or lz4 dump decodes
    without an error. The seal's checksums and a restore are the proof.
  - While it runs, C(.partial) stands in the directory and says how far it is. What failed or was killed keeps it and is
    never taken for a backup; the same command begins anew in the same directory.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.postgres
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Checks directory, server, versions and privileges and writes nothing. What a dump would tell is null.
  diff_mode:
    support: full
    description: Shows what would be backed up, and where to.
options:
  directory:
    description:
      - Where to back up to. A new or an empty directory of one's own, or one of an unfinished run. It gets mode 0700.
      - C(dump/) is what C(pg_dump) wrote, C(globals.sql) what C(pg_dumpall) wrote, C(facts.json) the facts.
    type: path
    required: true
  source:
    description: What the server has to be. A standby keeps the load off the primary, and is as old as its replay.
    type: str
    choices: [any, primary, standby]
    default: any
  jobs:
    description: Tables to dump at once; as many as there are cores when left out.
    type: int
  compression:
    description:
      - V(auto) is the best that this C(pg_dump) can write, of V(zstd), V(lz4) and V(gzip) in that order. Before version
        16 that is V(gzip), with its fastest level.
    type: str
    choices: [auto, zstd, lz4, gzip, none]
    default: auto
  bin_directory:
    description:
      - Directory of PostgreSQL's client programs. When left out, those of the server's version are looked for where
        distributions put them and in E(PATH), then those of the next newer one.
    type: path
  lock_timeout:
    description: Seconds to wait for a table that somebody holds locked.
    type: float
    default: 60.0
  timeout:
    description: Seconds that the dump may take.
    type: float
    default: 21600.0
notes:
  - The role needs C(pg_read_all_data), and C(BYPASSRLS) where tables have row-level security.
  - On a standby a query that conflicts with replay is cancelled; C(hot_standby_feedback) prevents it.
  - Roles and tablespaces belong to no snapshot. They are read right after the snapshot is taken.
seealso:
  - module: terragon.disaster_recovery.pg_scratch
"""

EXAMPLES = r"""
- name: Take the database from the standby
  terragon.disaster_recovery.pg_logical_backup:
    postgres:
      host: postgres.us-west-2.example.com
      database: counterfactual_lab
      user: dr_backup
      passfile: ~/.pgpass
    source: standby
    directory: /var/lib/disaster-recovery/logical/20261123T103000Z
"""

RETURN = r"""
directory:
  description: The directory that holds the backup.
  returned: always
  type: str
database:
  description: Name of the database.
  returned: always
  type: str
source:
  description: Whether the server is a V(primary) or a V(standby).
  returned: always
  type: str
system_identifier:
  description: The cluster's own number.
  returned: always
  type: str
server_version:
  description: Version of the server.
  returned: always
  type: str
pg_dump_version:
  description: Version of the program that dumps.
  returned: always
  type: str
compression:
  description: Compression of the dump.
  returned: always
  type: str
jobs:
  description: Tables dumped at once.
  returned: always
  type: int
moment:
  description:
    - Time up to which the backup has everything, by the primary's clock. Of a standby, the last commit that it
      had replayed, or the primary's last word when it had replayed past it. Null where neither is known, and in check
      mode.
  returned: always
  type: str
lsn:
  description: Position in the WAL just before the snapshot; null in check mode.
  returned: always
  type: str
tables:
  description: Tables in the database.
  returned: always
  type: int
database_bytes:
  description: Size of the database on the server, in bytes.
  returned: always
  type: int
bytes:
  description: Size of the backup in bytes; null in check mode.
  returned: always
  type: int
files:
  description: Files of the backup; null in check mode.
  returned: always
  type: int
facts:
  description: Content of C(facts.json); empty in check mode.
  returned: always
  type: dict
seconds:
  description: Seconds that it took.
  returned: always
  type: float
waits:
  description: How long the dump took, as C(name), C(started), C(ended), C(seconds).
  returned: always
  type: list
  elements: dict
evidence:
  description: What the ledger keeps as proof.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.logical_backup import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
