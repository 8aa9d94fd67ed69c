#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backrest
short_description: Take, list, check, verify, expire and restore physical backups of PostgreSQL with pgBackRest
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Runs C(pgbackrest) on the database host with one configuration file and one stanza, as the owner of that file. Every
    repository is asked by itself, so that one that is away hides no other.
  - No secret is an option or an argument of a program. They are in the configuration, which
    M(terragon.disaster_recovery.pg_backrest_config) writes and which has to be readable by its owner alone.
  - A restore goes beside. The live data directory is refused, and so is a directory that is not empty.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description:
      - O(state=expired) asks pgBackRest for a dry run. O(state=checked) sends no WAL segment and is C(unverified).
  diff_mode:
    support: full
    description: Shows stanzas, numbers or labels of backups, or the directory, before and after.
options:
  state:
    description:
      - V(present) lists repositories, backups and the archive, and changes nothing.
      - V(created) brings the stanza about in every repository that has none.
      - V(checked) lets the server finish a WAL segment and waits until it is in every repository.
      - V(archived) hands in WAL that this server received as a standby and that the old primary had not archived.
        Without it nothing after that hole can be restored from a backup before it. On a standby it does nothing.
      - V(taken) takes a backup into every repository of O(copies), if it is due. On a standby it is refused.
      - V(verified) reads every file of every backup and every WAL segment, compares it with its checksum, and names
        WAL segments that are missing.
      - V(expired) removes what O(retention) does not keep.
      - V(restored) fills O(directory).
    type: str
    choices: [present, created, checked, archived, taken, verified, expired, restored]
    default: present
  config:
    description: Configuration file of pgBackRest, mode 0600, owned by the user that PostgreSQL runs as.
    type: path
    default: /etc/pgbackrest/pgbackrest.conf
  stanza:
    description: Stanza in it.
    type: str
    default: main
  program:
    description: The program, by name or path.
    type: str
    default: pgbackrest
  repositories:
    description:
      - Names of the configuration's repositories, in the order of their numbers. C(repo1) is another store in each
        region; a name is the same everywhere.
    type: list
    elements: str
    default: []
  copies:
    description:
      - Names of the repositories that O(state=taken), O(state=verified) and O(state=expired) work on; all when empty.
    type: list
    elements: str
    default: []
  postgres:
    description:
      - How to reach the server, which runs on this machine. The role has the grants of
        C(roles/postgresql_backup/files/schema.sql). The password comes from a libpq passfile that O(config)'s owner
        can read, and never appears here.
      - Required for V(created), V(checked), V(archived) and V(taken). Without it the archive's lag is C(unverified).
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
  rpo_seconds:
    description: How old the oldest WAL may be that a repository has not. Without it the lag is measured and not judged.
    type: float
  required:
    description: Whether V(checked), V(archived) and V(verified) fail the task when the outcome is not C(passed).
    type: bool
    default: true
  type:
    description:
      - Type of the backup to take. V(due) takes what O(schedule) asks for, each repository by its own backups; a
        backup with damaged pages counts as none.
    type: str
    choices: [due, full, diff, incr]
    default: due
  schedule:
    description:
      - Seconds from the start of one backup to the start of the next, by type. A stronger type counts for a weaker one.
        A type that is left out is never due by itself. A week, a day and an hour when all of it is left out.
    type: dict
    suboptions:
      full:
        description: Seconds between full backups.
        type: float
      diff:
        description: Seconds between backups of what changed since the full one.
        type: float
      incr:
        description: Seconds between backups of what changed since any.
        type: float
  retention:
    description: What is kept. Required for O(state=expired).
    type: dict
    suboptions:
      full_days:
        description: >-
          Days that full backups are kept, and what stands on them. The newest one that is older stays, too: the window
          of moments begins with it.
        type: float
        required: true
      diff_days:
        description: Days that differential backups are kept; as long as their full one when left out.
        type: float
      archive_days:
        description: Days that WAL is kept without a gap; as long as the backups when left out.
        type: float
      minimum_full:
        description: Full backups, without damaged pages, that stay whatever their age. At least 1.
        type: int
        default: 2
      keep:
        description:
          - Labels that stay, with all that is newer, for example the newest one that a restore has proved. A label that
            no repository has is refused.
        type: list
        elements: str
        default: []
  directory:
    description: Where to restore, absolute, absent or empty. Tablespaces go to C(<directory>.tablespaces).
    type: path
  repository:
    description: Repository to restore from; the first that can be used and has what is wanted when left out.
    type: str
  label:
    description: Backup to begin from; the newest that ended before O(target) when left out.
    type: str
  target:
    description:
      - Where the recovery of the restored cluster ends; all of the archive when left out. One of V(time), V(lsn),
        V(name), V(xid) and V(immediate).
      - A time or LSN before the end of the first backup is refused.
    type: dict
    suboptions:
      time:
        description: RFC 3339 time with its zone.
        type: str
      lsn:
        description: Position in the WAL.
        type: str
      name:
        description: Name of a restore point.
        type: str
      xid:
        description: Transaction.
        type: str
      immediate:
        description: As soon as the cluster is consistent.
        type: bool
        default: false
      timeline:
        description: Timeline to recover along, a number, V(current) or V(latest).
        type: str
      action:
        description: What the server does at the target.
        type: str
        choices: [pause, promote, shutdown]
        default: pause
      exclusive:
        description: Stop just before the target.
        type: bool
        default: false
  processes:
    description: Processes that restore; as many as there are cores when left out.
    type: int
  lock_timeout:
    description: Seconds to wait while another pgBackRest works on the stanza.
    type: float
    default: 60.0
  query_timeout:
    description: Seconds that a repository may take to be listed. One that is away is given up then.
    type: float
    default: 20.0
  timeout:
    description: Seconds that one backup, check, verification, expiry or restore may take.
    type: float
    default: 14400.0
notes:
  - A long backup or restore says every few seconds how far it is, when the task runs in the controller's process. Where
    it runs as a module, C(<log-path>/<stanza>-<command>.log) on the host says so.
  - An interrupted backup is listed nowhere. The next one begins it again.
  - One expiry of pgBackRest's own, after each backup, would know nothing of O(retention.keep);
    M(terragon.disaster_recovery.pg_backrest_config) turns it off.
seealso:
  - module: terragon.disaster_recovery.pg_backrest_config
  - name: pgBackRest
    description: Its own documentation.
    link: https://pgbackrest.org
"""

EXAMPLES = r"""
- name: List what can be restored, and how far the archive is behind
  terragon.disaster_recovery.pg_backrest:
    repositories: [us-east-1, us-west-2]
    postgres: {host: /var/run/postgresql, user: dr_backup}
    rpo_seconds: 900
  become: true
  become_user: postgres

- name: Take what is due, into both regions
  terragon.disaster_recovery.pg_backrest:
    state: taken
    repositories: [us-east-1, us-west-2]
    postgres: {host: /var/run/postgresql, user: dr_backup}
    schedule: {full: 604800, diff: 86400, incr: 900}

- name: Restore to a moment, from the other region's copy
  terragon.disaster_recovery.pg_backrest:
    state: restored
    repositories: [us-east-1, us-west-2]
    repository: us-west-2
    directory: /var/lib/postgresql/scratch/INC-7/data
    target: {time: "2026-11-23T10:31:00Z"}

- name: Say what would be removed
  terragon.disaster_recovery.pg_backrest:
    state: expired
    retention: {full_days: 30, minimum_full: 2, keep: [20261120-020000F]}
  check_mode: true
"""

RETURN = r"""
outcome:
  description: >-
    C(passed), C(failed) or C(unverified): of the repositories, their backups and, with O(rpo_seconds), the archive's
    age; with V(verified), of the files.
  returned: always
  type: str
problems:
  description: The reasons, where it is not C(passed).
  returned: always
  type: list
  elements: str
repositories:
  description:
    - One entry a repository, with C(name), C(number), C(outcome), C(reasons), C(error_kind), C(status_code) (its
      own; null where it could not be asked), C(said), C(cipher), C(system_identifier), C(postgres_version), C(locked),
      C(archives) and C(backups).
    - A backup has C(label), C(type), C(prior), C(reference), C(repository), C(started), C(stopped), C(seconds),
      C(lsn_start), C(lsn_stop), C(wal_start), C(wal_stop), C(bytes), C(bytes_changed), C(repository_bytes),
      C(repository_bytes_added), C(error) (pages with wrong checksums).
    - An archive has C(id), C(min), C(max) and, with V(present), C(timelines), a list of C(timeline), C(min), C(max).
    - C(info) is what C(pgbackrest info --output=json) says of this repository.
  returned: always
  type: list
  elements: dict
archive:
  description:
    - C(outcome), C(reasons), C(objective_seconds), C(seconds_behind), C(bytes_behind) (the worst repository's),
      C(repositories) with C(max), C(seconds_behind) and C(bytes_behind) of each, C(failing) (the last attempt of
      C(archive_command) failed), C(waiting) (segments not archived), C(wal_bytes) (bytes in C(pg_wal)),
      C(current_lsn), and the columns of C(pg_stat_archiver).
    - C(seconds_behind) is the time since the last segment that the repository has was complete, 0 if no WAL was written
      after it.
    - C(checked_seconds) is how long a fresh segment took to be in every repository, with V(checked).
  returned: always
  type: dict
archived:
  description: WAL segments that were handed in, or would be.
  returned: always
  type: list
  elements: str
due:
  description: What was to be taken, in check mode what would be, with C(repository), C(type) and C(reason).
  returned: always
  type: list
  elements: dict
taken:
  description: The backups that were taken, as in RV(repositories).
  returned: always
  type: list
  elements: dict
expired:
  description: Labels that were removed, or would be, by repository.
  returned: always
  type: dict
verified:
  description: One entry a repository with C(name), C(outcome), C(reasons), C(backups) and C(archives), with counts.
  returned: always
  type: list
  elements: dict
restored:
  description:
    - C(directory), C(label), C(repository), C(bytes), C(seconds), C(bytes_per_second), C(processes), C(recovery), the
      settings about recovery and archiving that the restored files hold. Null when nothing was restored.
  returned: always
  type: dict
error_kind:
  description: >-
    What went wrong, in one word: C(RepositoryUnreachable), C(RepositoryRefused), C(WrongCipherPass), C(StanzaMissing),
    C(OtherSystem), C(Locked), C(NoRoom), C(NewerServer), C(ServerUnreachable), C(SegmentMissing), C(NoBackup),
    C(Damaged), C(BackrestFailed), C(TimedOut), or null.
  returned: always
  type: str
seconds:
  description: Seconds that all of it took.
  returned: always
  type: float
evidence:
  description: What the ledger keeps as proof, without secrets.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.backrest import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
