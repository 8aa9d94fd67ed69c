#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_scratch
short_description: Restore a backup into a PostgreSQL that nobody can reach, and remove it again, even after a crash
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - A scratch cluster is made to prove a backup by restoring it. It listens on a Unix socket in a directory of mode 0700
    only, archives nothing, follows no primary, runs no subscription's workers and takes no replication. What
    the restored cluster brings in settings is not read; the server itself is asked whether it is isolated.
  - Every scratch lies below one directory, as C(<run>-<8 hex>), with an C(owner.json) that names the run and its
    process. What outlives its run, for example after C(kill -9), is found and removed by O(state=swept).
  - The restore of a logical backup is judged by every message, not by the exit status. Each problem has its kind, its
    object and its remedy.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Says what would be made or removed; nothing is restored, so its RV(outcome) says nothing of a backup.
  diff_mode:
    support: full
    description: Shows the scratch directories that are made or removed.
options:
  state:
    description:
      - V(reserved) makes the directory and its empty RV(data_directory), for a restore such as pgBackRest's to fill.
      - V(present) has its server run. With O(logical) a new cluster gets that backup; otherwise what was restored
        into RV(data_directory) is started; otherwise it is a new, empty cluster.
      - V(absent) stops and removes the scratch of O(run) and O(name).
      - V(swept) removes the scratches of runs that have ended, and fails when one cannot be removed.
    type: str
    choices: [reserved, present, absent, swept]
    default: present
  directory:
    description:
      - Directory of all scratches. Nobody else may write there. The path of a Unix socket has at most 107 bytes, so
        this one has to be short.
    type: path
    required: true
  run:
    description: Identifier of the run that the scratch belongs to. Required unless O(state=swept).
    type: str
  name:
    description: What the scratch is for; a run has one scratch of a name.
    type: str
    default: database
  logical:
    description: A directory that M(terragon.disaster_recovery.pg_logical_backup) made.
    type: path
  database:
    description: Database that O(logical) has to be of. That of its facts when left out.
    type: str
  objective_seconds:
    description: How old, in seconds, the moment of O(logical) may be. Its age is not judged when left out.
    type: float
  analyze:
    description: Whether to collect the planner's statistics after restoring O(logical).
    type: bool
    default: false
  recovery:
    description:
      - How a restored data directory recovers. What the restore itself wrote, as pgBackRest does, when left out.
      - At a target recovery pauses, for both sides of the target to be looked at.
    type: dict
    suboptions:
      restore_command:
        description: Command that brings a WAL file, as PostgreSQL's setting of that name.
        type: str
      target_time:
        description: Time, with its zone.
        type: str
      target_lsn:
        description: Position in the WAL.
        type: str
      target_xid:
        description: Transaction.
        type: str
      target_name:
        description: Restore point.
        type: str
      target_immediate:
        description: Whether to end as soon as the backup is consistent.
        type: bool
        default: false
      timeline:
        description: Timeline to follow, V(latest) or V(current).
        type: str
      inclusive:
        description: Whether what is exactly at the target is recovered too; PostgreSQL's default is yes.
        type: bool
  promote:
    description: Whether to end recovery at its target. A second call with it promotes a scratch that has paused.
    type: bool
    default: false
  preload:
    description:
      - Libraries to load into a restored data directory's server; when left out, those of its own C(postgresql.conf)
        and C(postgresql.auto.conf).
      - What is not installed is left out, and so is what acts by itself, such as C(pg_cron); see RV(left_out).
    type: list
    elements: str
  superuser:
    description:
      - Superuser of a new cluster, and who is asked in a restored one. Of O(logical) its facts name it.
    type: str
    default: postgres
  user:
    description: Account that runs the server; V(postgres) for root, otherwise the account of the task.
    type: str
  port:
    description: Port number in the socket's name. Nothing listens on TCP.
    type: int
    default: 5432
  jobs:
    description: Tables to restore at once; as many as there are cores when left out.
    type: int
  needed_bytes:
    description:
      - Bytes that have to be free below O(directory) before anything is restored. Of O(logical) when left out, a
        quarter more than the database had.
    type: int
  memory_mb:
    description: Memory in MiB to size the server by; the machine's when left out.
    type: int
  bin_directory:
    description: Directory of PostgreSQL's programs; where distributions put them when left out.
    type: path
  max_age_hours:
    description: Hours after which a scratch is a leftover whose owner runs on another machine and cannot be asked.
    type: float
    default: 24.0
  timeout:
    description: Seconds that each of start, recovery and restore may take.
    type: float
    default: 21600.0
  owner:
    description:
      - The process that the scratch belongs to. The action plugin fills it with the run of C(ansible-playbook); a
        module by itself with its parent.
    type: dict
notes:
  - A server in recovery needs the C(max_wal_senders) and C(wal_level) of its primary, so a restored data directory
    keeps those; its C(pg_hba.conf) lets nobody replicate.
  - Foreign data wrappers in a backup may still ask other servers, for example when a materialized view over a foreign
    table is refreshed. Prove on a host that cannot reach them where that matters.
seealso:
  - module: terragon.disaster_recovery.pg_logical_backup
"""

EXAMPLES = r"""
- name: Remove what runs that have ended left behind
  terragon.disaster_recovery.pg_scratch:
    state: swept
    directory: /var/tmp/dr-scratch

- name: Restore the logical backup where nobody can reach it
  terragon.disaster_recovery.pg_scratch:
    directory: /var/tmp/dr-scratch
    run: "{{ dr_incident }}"
    logical: /var/lib/disaster-recovery/fetched/20261123T103000Z-1b2c3d4e/files
    database: counterfactual_lab
    objective_seconds: 3600
  register: scratch

- name: Take it away
  terragon.disaster_recovery.pg_scratch:
    state: absent
    directory: /var/tmp/dr-scratch
    run: "{{ dr_incident }}"

# A physical backup: reserve the place, restore into scratch.data_directory, then recover to a target.
- name: Recover to just before the mistake, and pause there
  terragon.disaster_recovery.pg_scratch:
    directory: /var/tmp/dr-scratch
    run: "{{ dr_incident }}"
    name: before
    recovery:
      restore_command: pgbackrest --stanza=main archive-get %f "%p"
      target_time: "2026-11-23 10:29:59+00"
"""

RETURN = r"""
state:
  description: The state that was asked for.
  returned: always
  type: str
run:
  description: The run.
  returned: always
  type: str
name:
  description: What the scratch is for.
  returned: always
  type: str
path:
  description: The scratch directory; null where there is none.
  returned: always
  type: str
data_directory:
  description: Its data directory.
  returned: always
  type: str
connection:
  description: The C(postgres) option that reaches its server and the database that was restored; null while none runs.
  returned: always
  type: dict
version:
  description: Version of its server.
  returned: always
  type: str
running:
  description: Whether its server runs.
  returned: always
  type: bool
in_recovery:
  description: Whether the server is in recovery, for example paused at its target.
  returned: always
  type: bool
settings:
  description: What the server itself says of its isolation.
  returned: always
  type: dict
left_out:
  description: Libraries that are not loaded, as C(library) and C(reason).
  returned: always
  type: list
  elements: dict
recovery:
  description:
    - How recovery ended, as C(in_recovery), C(paused), C(replay_lsn), C(replayed_at) (commit time of the last replayed
      transaction) and C(timeline). Null unless a data directory was restored.
  returned: always
  type: dict
restore:
  description:
    - What came of O(logical), as C(outcome), C(format), C(database), C(server_version), C(dump_version),
      C(tool_version), C(seconds), C(bytes), C(tables), C(roles), C(tablespaces) and C(problems). Null without one.
  returned: always
  type: dict
facts:
  description: Content of the backup's C(facts.json).
  returned: always
  type: dict
outcome:
  description:
    - V(failed) when a backup has a problem; V(unverified) when it could not be tried here, for example on a full disk
      or with programs that are older than the dump.
  returned: always
  type: str
problems:
  description: What is wrong, each with C(kind), C(object), C(message) and C(remedy).
  returned: always
  type: list
  elements: dict
removed:
  description: Scratch directories that were removed.
  returned: always
  type: list
  elements: str
kept:
  description: Scratch directories of runs that live.
  returned: always
  type: list
  elements: str
refused:
  description: What lies there and is nobody's scratch, as C(path) and C(reason). It is left alone.
  returned: always
  type: list
  elements: dict
leaks:
  description: Leftovers that could not be removed, as C(path) and C(reason); with one the task fails.
  returned: always
  type: list
  elements: dict
waits:
  description: How long start, replay and promotion took, as C(name), C(started), C(ended), C(seconds).
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
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.scratch import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
