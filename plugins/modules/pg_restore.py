#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore a dump into a serving PostgreSQL, beside the live database, and judge it by every message
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Restores a plain, custom, directory or tar dump, told apart by content, into a new database of a server that serves.
    The live database is not touched; what has proven good is swapped in later.
  - Looks first. A dump that was cut, a file of it or a role, an extension, a tablespace that is missing, a server
    or a program that is too old, a full disk and a name that may not be used are told before anything is created.
  - Every message of the restore is judged, not the exit status. With any problem the task fails, and the database that
    it created is dropped, so that nothing half restored is taken for good.
  - The database's comment says of which dump it is and whether the restore has ended. The same command after a crash
    drops its own half restored database and begins again; after an end it changes nothing.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.postgres
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Looks at everything, refuses what would be refused, and says what would be created.
  diff_mode:
    support: full
    description: Shows the database that is created.
options:
  src:
    description:
      - The dump, a file or a directory where this task runs; or a directory that
        M(terragon.disaster_recovery.pg_logical_backup) made, whose roles and counted rows are then used, too.
    type: path
    required: true
  database:
    description:
      - Name of the new database, created from C(template0) with the encoding, locale, owner, settings and grants of the
        dump's, as far as the dump tells them; of a plain dump it is the encoding only.
      - One that exists has to be empty. V(template0), V(template1), V(postgres) and the database that the dump is of
        are refused when they exist.
      - The session that works is in O(postgres.database), which has to be another one.
    type: str
    required: true
  into_existing:
    description:
      - The name of O(database) again, to restore into one that exists and is not empty. All of it is one transaction
        then, so that a failure leaves the database as it was.
    type: str
  tables:
    description:
      - Tables to restore, as C(schema.table), without quotes; everything when left out. Not of a plain dump.
      - Partitions and children come with them, and so do their sequences, defaults, constraints, indexes, triggers,
        policies, grants, and the views and materialized views that need no other tables; see RV(left_out).
      - Sequences are set to at least what their columns hold, foreign keys validated, materialized views refreshed.
    type: list
    elements: str
  jobs:
    description:
      - Sessions that restore at once; as many as this machine has cores when left out. A plain or tar dump, a custom
        one that was written to a pipe, and a database that exists take one.
    type: int
  globals:
    description:
      - File that C(pg_dumpall --globals-only) wrote. Roles in it that the server has not are created, with their
        settings and memberships. Roles that exist are not altered; tablespaces are not made.
    type: path
  no_tablespaces:
    description: Whether everything goes into the server's default tablespace. Not of a plain dump.
    type: bool
    default: false
  analyze:
    description: Whether to collect the planner's statistics.
    type: bool
    default: true
  needed_bytes:
    description:
      - Bytes that have to be free where the server's data directory is. Of a logical backup, a quarter more than the
        database had when left out. Where it cannot be seen RV(space) says so, and the restore begins.
    type: int
  keep_failed:
    description: Whether to leave a database whose restore failed, for a look at it. It stays marked as failed.
    type: bool
    default: false
  bin_directory:
    description: Directory of PostgreSQL's client programs; where distributions put them when left out.
    type: path
  timeout:
    description: Seconds that the restore may take.
    type: float
    default: 21600.0
  progress_file:
    description: File that a line is appended to every 5 seconds, with tables, bytes, rate and time left.
    type: path
notes:
  - Subscriptions are left out of an archive. A plain dump whose subscriptions would begin to pull is refused.
  - Needs a role with C(CREATEDB) that is a member of the owners in the dump; a superuser where the dump has extensions
    that only superusers create, or event triggers.
  - lz4 and zstd have no checksums. What was altered in such an archive shows only where rows were counted, in a
    logical backup, or by the checksums of its recovery point.
seealso:
  - module: terragon.disaster_recovery.pg_logical_backup
  - module: terragon.disaster_recovery.pg_scratch
  - module: terragon.disaster_recovery.pg_verify
"""

EXAMPLES = r"""
- name: Restore the newest logical backup beside the live database
  terragon.disaster_recovery.pg_restore:
    postgres: {host: /var/run/postgresql, user: postgres}
    src: /var/lib/disaster-recovery/fetched/20261123T103000Z-1b2c3d4e/files
    database: counterfactual_lab_restored
    progress_file: /var/log/disaster-recovery/restore.log
  register: restored

- name: Rescue one table
  terragon.disaster_recovery.pg_restore:
    postgres: {host: /var/run/postgresql, user: postgres}
    src: /backup/lab.dump
    database: rescue
    tables: [public.experiments]
"""

RETURN = r"""
outcome:
  description: >-
    V(passed); V(failed) when the dump or what it needs has a problem; V(unverified) when nothing was tried, as in check
    mode, after a refusal, or on a full disk.
  returned: always
  type: str
problems:
  description: What is wrong, each with C(kind), C(object), C(message) and C(remedy).
  returned: always
  type: list
  elements: dict
src:
  description: The dump.
  returned: always
  type: str
source:
  description: What tells the dump and what was asked of it from others. Proves nothing of its content.
  returned: always
  type: str
format:
  description: V(plain), V(custom), V(directory) or V(tar).
  returned: always
  type: str
database:
  description: The new database.
  returned: always
  type: str
dumped:
  description: The database that the dump is of, where it says so.
  returned: always
  type: str
connection:
  description: The C(postgres) option that reaches the new database.
  returned: always
  type: dict
server_version:
  description: Version of the server.
  returned: always
  type: str
dump_server_version:
  description: Version of the server that was dumped.
  returned: always
  type: str
dump_version:
  description: Version of the C(pg_dump) that wrote it.
  returned: always
  type: str
tool_version:
  description: Version of the C(pg_restore) or C(psql) that restores it.
  returned: always
  type: str
jobs:
  description: Sessions that restore at once.
  returned: always
  type: int
created:
  description: Whether the database was created (in check mode, would be).
  returned: always
  type: bool
left_behind:
  description: Whether a failed restore's database is still there, with O(keep_failed) or because it cannot be dropped.
  returned: always
  type: bool
bytes:
  description: Size of the restored database in bytes.
  returned: always
  type: int
tables:
  description:
    - Restored tables, as C(table), C(rows), C(exact) (or estimated), C(bytes), and C(seconds) and C(bytes_per_second)
      of loading its rows, null where they are not known.
  returned: always
  type: list
  elements: dict
definitions_only:
  description: Tables without rows that the chosen ones are defined by.
  returned: always
  type: list
  elements: str
left_out:
  description: What hangs on the chosen tables and needs others, as C(object), C(kind) and C(reason).
  returned: always
  type: list
  elements: dict
roles:
  description: Roles that were created.
  returned: always
  type: list
  elements: str
subscriptions:
  description: Subscriptions in the dump. Those of an archive are left out; those of a plain dump are not enabled.
  returned: always
  type: list
  elements: str
sequences:
  description: Sequences that were set further, as C(sequence), C(was), C(set_to) and C(column).
  returned: always
  type: list
  elements: dict
validated:
  description: Foreign keys that were not valid in the dump and are now.
  returned: always
  type: list
  elements: str
foreign_keys:
  description: Number of foreign keys that are valid.
  returned: always
  type: int
refreshed:
  description: Materialized views that were empty in the dump and were refreshed.
  returned: always
  type: list
  elements: str
space:
  description: What is known of the disk, as C(outcome), C(needed_bytes), C(free_bytes) and C(reason).
  returned: always
  type: dict
waits:
  description: How long the restore took, as C(name), C(started), C(ended), C(seconds).
  returned: always
  type: list
  elements: dict
seconds:
  description: Seconds that it took.
  returned: always
  type: float
evidence:
  description: What the ledger keeps as proof.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.restore import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
