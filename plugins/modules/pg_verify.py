#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_verify
short_description: Prove that a PostgreSQL cluster is whole, complete, right and fresh
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Climbs the upper rungs of the proof ladder on a cluster that runs, usually one that was restored into scratch; a
    serving cluster can be verified, too. Each rung answers V(passed), V(failed) or V(unverified), with reasons that
    name the object and the remedy. What could not be looked at is V(unverified), never V(passed).
  - Nothing is changed. All sessions are read only, every statement, every wait for a lock and the whole run have an
    end. The one exception is O(scratch=true), where missing extensions are added.
  - With O(capture=true) it returns the facts of a cluster instead, which a backup keeps in its manifest, and which
    O(expectations.facts) are compared with after its restore.
  - Works with PostgreSQL 14 and later, on a connection that no pooler stands in.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.postgres
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Looks, as always. Adds no extension; what would need one is V(unverified).
  diff_mode:
    support: none
    description: Nothing that anybody else would see is changed.
options:
  databases:
    description: Databases to verify; all that take connections when left out.
    type: list
    elements: str
  rungs:
    description:
      - Rungs to climb, always in this order. All of them when left out; V(isolated) only with O(scratch=true).
      - V(isolated) asks the server whether it can archive, be reached, follow or feed another server, or run jobs.
      - V(structure) reads every page of every relation, whose checksums the server verifies, and checks every table and
        B-tree index with amcheck, every row being looked up in every index; invalid indexes.
      - V(completeness) compares with the facts of the source, and looks for sequences behind their columns,
        constraints that are not valid, rows without their parent, collations of another version, views without
        data.
      - V(invariants) asks the plan's queries and counts rows.
      - V(freshness) looks for a row that is young enough, and at both sides of a moment that was to be recovered.
    type: list
    elements: str
    choices: [isolated, structure, completeness, invariants, freshness]
  expectations:
    description: What the cluster is expected to be, from the backup's manifest and from the plan.
    type: dict
    default: {}
    suboptions:
      facts:
        description:
          - RV(facts) of the source, taken before the backup began. Only the databases that are verified are compared.
          - How PostgreSQL words an expression may change when it is dumped and loaded. Definitions of indexes,
            triggers and C(CHECK) constraints are compared with O(expectations.physical) only; their names always are.
        type: dict
      physical:
        description: Whether the backup is a physical one, which keeps the system identifier and the timeline.
        type: bool
        default: false
      system_identifier:
        description: System identifier that the cluster has to have; that of the facts with O(expectations.physical).
        type: str
      identity:
        description: Queries that tell which database this is. A wrong answer fails V(completeness).
        type: list
        elements: dict
        suboptions:
          database:
            description: Database to ask; O(postgres.database) when left out.
            type: str
          query:
            description: A query that returns one row.
            type: str
            required: true
          expect:
            description: Its first column, as psql writes it.
            type: str
            required: true
      ignore:
        description:
          - Names that V(completeness) says nothing of, as file patterns, for example C(public.staging_*) or
            C(*public.staging_*) to mean its grants and constraints too. What was left out is in the details.
        type: list
        elements: str
        default: []
      page_checksums:
        description: Whether a cluster without page checksums leaves V(structure) unverified.
        type: str
        choices: [required, optional]
        default: required
      in_recovery:
        description: Whether the server is expected to be in recovery.
        type: bool
        default: false
      invariants:
        description: Queries of the plan, as in the service catalogue.
        type: list
        elements: dict
        suboptions:
          name:
            description: What holds.
            type: str
            required: true
          database:
            description: Database to ask; O(postgres.database) when left out.
            type: str
          query:
            description: A query that returns one row. It becomes a subquery, so it cannot be C(SHOW).
            type: str
            required: true
          expect:
            description: Its first column, as psql writes it, V(NULL) for null.
            type: str
            required: true
      row_counts:
        description: Bounds of how many rows a table has.
        type: list
        elements: dict
        suboptions:
          database:
            description: Database of the table.
            type: str
            required: true
          table:
            description: Name as SQL writes it, with its schema unless that is in the database's C(search_path).
            type: str
            required: true
          minimum:
            description: At least so many rows, or V(invariants) fails.
            type: int
          maximum:
            description: At most so many rows, or V(invariants) fails.
            type: int
          relative:
            description: >-
              How far the count may be from the one in the facts, as a share of it, V(0.05) for 5 %; beyond that
              V(completeness) fails.
            type: float
      as_of:
        description: >-
          Moment of the backup or of the recovery target (RFC 3339). When left out, that at which the facts were taken.
        type: str
      canaries:
        description: Tables that something writes into all the time.
        type: list
        elements: dict
        suboptions:
          database:
            description: Database of the table; O(postgres.database) when left out.
            type: str
          table:
            description: Name as SQL writes it.
            type: str
            required: true
          column:
            description: Column with the time of the row, as it is named, without quotes.
            type: str
            required: true
          max_age_seconds:
            description: How old the newest row may be at O(expectations.canaries[].as_of), seconds.
            type: float
            required: true
          as_of:
            description: As O(expectations.as_of), for this canary.
            type: str
      pitr:
        description:
          - Both sides of a moment that was to be recovered. Where either side cannot be shown V(freshness) is
            unverified, because a recovery that stopped early or late would look the same.
        type: list
        elements: dict
        suboptions:
          database:
            description: Database of the table; O(postgres.database) when left out.
            type: str
          table:
            description: Name as SQL writes it.
            type: str
            required: true
          key:
            description: Column that the rows are named by.
            type: str
            default: id
          present:
            description: Rows that were committed before the target.
            type: list
            elements: str
            default: []
          absent:
            description: Rows that the source committed after the target.
            type: list
            elements: str
            default: []
          column:
            description: Column with the time of the row. No row may be younger than the target.
            type: str
          target:
            description: The moment (RFC 3339), for O(expectations.pitr[].column).
            type: str
          before:
            description: Time of the source's last row until the target (RFC 3339). A row so young has to be there.
            type: str
          after:
            description: Time of the source's first row beyond the target (RFC 3339), which shows that there was one.
            type: str
  scratch:
    description:
      - Whether the cluster was made to be verified and is removed afterwards. Then V(isolated) is among the rungs,
        indexes are checked from parent to child pages, too, and amcheck and pageinspect are created where they are
        missing, in the schema C(dr_verify), provided that C(owner.json) of the scratch lies above the data directory
        that the server names.
    type: bool
    default: false
  capture:
    description: Return the facts of the cluster, and climb no rung.
    type: bool
    default: false
  count_bytes:
    description: Tables up to this size are counted for the facts; of larger ones the estimate is kept. Bytes.
    type: int
    default: 33554432
  statement_timeout:
    description: Seconds that one statement may take. Tables are checked 512 MB at a time, an index in one statement.
    type: float
    default: 600.0
  lock_timeout:
    description: Seconds that a statement waits for a lock.
    type: float
    default: 5.0
  timeout:
    description: Seconds that the whole run may take; what is not checked by then is V(unverified).
    type: float
    default: 14400.0
  jobs:
    description: How many sessions check at once; as many as this machine has cores when left out.
    type: int
  progress_file:
    description: File that a line is appended to every 5 seconds, and at the begin and end of each rung.
    type: path
notes:
  - The role needs C(EXECUTE) on the functions of amcheck and pageinspect (the latter demands a superuser), C(SELECT) on
    all tables and C(pg_monitor). What it may not see is V(unverified).
  - Pages that are in the server's memory are not read from disk again. A cluster that was just started has none there.
  - Rows that row security hides make a check V(unverified).
seealso:
  - module: terragon.disaster_recovery.health_probe
"""

EXAMPLES = r"""
- name: What the backup that is about to begin has to bring back
  terragon.disaster_recovery.pg_verify:
    postgres: {host: /var/run/postgresql, user: postgres}
    capture: true
  register: source

- name: Prove the cluster that was restored from it
  terragon.disaster_recovery.pg_verify:
    postgres: {host: /var/lib/terragon-dr/scratch/run-7-1f0c/socket, user: postgres}
    scratch: true
    expectations:
      facts: "{{ source.facts }}"
      physical: true
      invariants:
        - name: every write has its payload
          database: lab
          query: select count(*) from writes where payload is null
          expect: "0"
      row_counts:
        - {database: lab, table: public.writes, minimum: 1000, relative: 0.05}
      canaries:
        - {database: lab, table: public.writes, column: written_at, max_age_seconds: 900}
  register: proof
"""

RETURN = r"""
outcome:
  description: V(failed) if any rung failed, else V(unverified) if any is, else V(passed); so with O(capture=true).
  returned: always
  type: str
rungs:
  description: What each rung that was asked for found, in their order.
  returned: always
  type: list
  elements: dict
  contains:
    rung:
      description: Its name.
      type: str
    outcome:
      description: V(passed), V(failed) or V(unverified).
      type: str
    reasons:
      description: Why it did not pass, failures first; at most 100 of either kind.
      type: list
      elements: str
    started:
      description: When it began (RFC 3339, UTC).
      type: str
    seconds:
      description: Seconds that it took.
      type: float
    details:
      description: What else it saw.
      type: dict
problems:
  description: What failed, each reason after its rung.
  returned: always
  type: list
  elements: str
unverified:
  description: What could not be told, each reason after its rung.
  returned: always
  type: list
  elements: str
facts:
  description:
    - With O(capture=true) what the cluster is, JSON-safe, without passwords and rows. Null otherwise.
    - C(captured) is when, C(lsn), C(timeline) and C(system_identifier) where; C(roles), C(memberships), C(settings) and
      C(databases) what, each database with its encoding, collations, extensions, tables (bytes, rows), sequences,
      constraints, indexes, triggers, functions, policies, types, grants and the number of its large objects.
  returned: always
  type: dict
added_extensions:
  description: Extensions that were added to a scratch cluster (in check mode, would be), each after its database.
  returned: always
  type: list
  elements: str
seconds:
  description: Seconds that it took.
  returned: always
  type: float
evidence:
  description: What the ledger keeps as proof. No contents of rows.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.verify import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
