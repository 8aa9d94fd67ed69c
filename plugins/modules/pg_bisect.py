#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_bisect
short_description: Find the last transaction before damage to a PostgreSQL database, by asking restored moments
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Restores from pgBackRest's repository into a scratch cluster, brings it from moment to moment, and asks O(probes) at
    each one, until two neighbouring transactions are left of which one is good and the next is bad.
  - Recovery goes forward only. A step forward is a restart of the scratch, a step back is another restore. So the steps
    are chosen by what both have cost so far.
  - Looks only. The live cluster is not asked and not touched, the scratch is removed at the end, and what a killed call
    of the same O(run) left is removed by the next one, which does not ask again what is known.
  - Damage that has begun is taken to stay. Where it went and came back, one of its beginnings is found.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Names the backups, the space that is needed and the leftovers. Restores nothing, asks no probe.
  diff_mode:
    support: full
    description: Shows leftovers of an earlier call that are removed.
options:
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
    description: Names of the configuration's repositories, in the order of their numbers.
    type: list
    elements: str
    default: []
  repository:
    description: Repository to restore from; the first that can be used when left out.
    type: str
  directory:
    description: Directory of the scratch clusters, of one's own, mode 0711 or stricter. It is made when it is absent.
    type: path
    required: true
  run:
    description: Name of this run. Another call with the same name continues it after a kill.
    type: str
    required: true
  probes:
    description: What is asked at each moment. A moment is good where the answers of all of them are.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What people call it.
        type: str
        required: true
      database:
        description: Database to ask.
        type: str
        default: postgres
      query:
        description: A query that returns one row with one column. It runs read only.
        type: str
        required: true
      expect:
        description: The value, as psql writes it, that is good; C(NULL) for a null.
        type: str
      minimum:
        description: The lowest number that is good.
        type: float
      maximum:
        description: The highest number that is good.
        type: float
      missing:
        description: As O(missing), for this probe.
        type: str
        choices: [bad, good]
  missing:
    description: What it means where a table, column, function, schema or database of a probe is not there.
    type: str
    choices: [bad, good]
    default: bad
  not_before:
    description:
      - A moment that is known to be good, an RFC 3339 time with its zone or a position in the WAL. It is asked, and the
        search begins there.
    type: str
  not_after:
    description: A moment, written as O(not_before), behind which nothing is looked at.
    type: str
  timeline:
    description: Timeline to follow, a number; V(latest) is the newest that has WAL in the repository.
    type: str
    default: latest
  superuser:
    description: Superuser of the restored cluster, who is asked over its Unix socket.
    type: str
    default: postgres
  bin_directory:
    description: Directory of PostgreSQL's programs, of the restored cluster's version. Found by itself as a rule.
    type: path
  processes:
    description: Processes that restore; as many as there are cores when left out.
    type: int
  max_probes:
    description: Moments that are asked at most.
    type: int
    default: 500
  statement_timeout:
    description: Seconds that one statement of a probe may take.
    type: float
    default: 600.0
  lock_timeout:
    description: Seconds that a probe waits for a lock.
    type: float
    default: 5.0
  query_timeout:
    description: Seconds that a repository may take to be listed.
    type: float
    default: 20.0
  max_age_hours:
    description: Age from which a leftover whose owner's fate cannot be told counts as one.
    type: float
    default: 24.0
  timeout:
    description: Seconds for everything. The search then ends with what it has narrowed down to.
    type: float
    default: 14400.0
  progress_file:
    description: File to which a line is appended for each moment.
    type: path
  owner:
    description: The process that owns the scratch. The action fills it in.
    type: dict
notes:
  - What takes effect without a commit, as the values of sequences do, cannot be found by it.
  - Runs on the database host, as root or as the owner of O(config).
seealso:
  - module: terragon.disaster_recovery.pg_backrest
  - module: terragon.disaster_recovery.pg_verify
"""

EXAMPLES = r"""
- name: When did the prices go wrong?
  terragon.disaster_recovery.pg_bisect:
    repositories: [us-east-1, us-west-2]
    directory: /var/lib/postgresql/scratch
    run: INC-7
    probes:
      - {name: no price below zero, database: shop, query: "SELECT count(*) FROM items WHERE price < 0", expect: "0"}
  register: moment

- name: Restore to just before
  terragon.disaster_recovery.pg_backrest:
    state: restored
    repositories: [us-east-1, us-west-2]
    repository: "{{ moment.repository }}"
    label: "{{ moment.label }}"
    directory: /var/lib/postgresql/scratch/INC-7/data
    target: "{{ moment.target }}"

- name: A table that is gone, between two moments
  terragon.disaster_recovery.pg_bisect:
    directory: /var/lib/postgresql/scratch
    run: INC-8
    probes:
      - {name: orders are there, database: shop, query: "SELECT count(*) FROM orders", minimum: 1}
    not_before: "2026-11-23T08:00:00Z"
    not_after: "2026-11-23T10:31:00Z"
"""

RETURN = r"""
outcome:
  description: V(passed) where RV(answer) is V(found) or V(good), V(failed) where it is V(bad), else V(unverified).
  returned: always
  type: str
answer:
  description: >-
    V(found), V(good) (the newest state is good), V(bad) (the oldest backup is bad already), V(narrowed) (a limit or
    missing WAL ended the search early), V(unverified) (a probe could not be asked, or check mode).
  returned: always
  type: str
problems:
  description: Reasons where RV(answer) is not V(found) or V(good).
  returned: always
  type: list
  elements: str
last_good:
  description:
    - The last transaction that is good, with C(lsn) (where its commit record begins), C(xid) (32 bits), C(time),
      C(timeline). C(xid) is null where no transaction committed shortly before the backup that is good.
  returned: always
  type: dict
first_bad:
  description: The first transaction that is bad, as RV(last_good). Null where there is none.
  returned: always
  type: dict
exact:
  description: Whether no transaction lies between RV(last_good) and RV(first_bad).
  returned: always
  type: bool
repository:
  description: Repository that was searched.
  returned: always
  type: str
label:
  description: Backup from which RV(target) is reached.
  returned: always
  type: str
target:
  description: Option O(terragon.disaster_recovery.pg_backrest#module:target) for a restore to just before the damage.
  returned: always
  type: dict
timeline:
  description: Timeline that was followed.
  returned: always
  type: int
candidates:
  description: Transactions that were looked at as possible beginnings.
  returned: always
  type: int
bases:
  description: Backups that were considered, with C(label), C(type), C(stopped), C(lsn_stop), C(bytes).
  returned: always
  type: list
  elements: dict
history:
  description:
    - Moments in the order in which they were asked, with C(lsn), C(xid), C(time), C(backup) (null for a transaction),
      C(verdict) (C(good) or C(bad)), C(reasons), C(known) (from a call that was killed), C(seconds).
  returned: always
  type: list
  elements: dict
needed_bytes:
  description: Bytes that are needed below O(directory).
  returned: always
  type: int
probes_asked:
  description: Moments that were asked.
  returned: always
  type: int
restores:
  description: Restores that were made.
  returned: always
  type: int
steps:
  description: Starts of the scratch.
  returned: always
  type: int
segments:
  description: WAL segments that were read to list the transactions.
  returned: always
  type: int
gap:
  description: Where WAL is missing, C(segment), C(lsn) up to which recovery gets, C(cause). Null where none was met.
  returned: always
  type: dict
removed:
  description: Leftovers of an earlier call that were removed, or would be.
  returned: always
  type: list
  elements: str
seconds:
  description: Seconds that all of it took.
  returned: always
  type: float
error_kind:
  description: C(WalGap), C(NoRoom), or what M(terragon.disaster_recovery.pg_backrest) names; null without an error.
  returned: always
  type: str
evidence:
  description: What the ledger keeps as proof.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.bisect import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
