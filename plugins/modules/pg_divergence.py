#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_divergence
short_description: Save the committed writes that an old primary has and the new one has not
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Finds every write that an old primary committed after the new primary's history left its own, until its fence,
    and saves it, before the old primary is rebuilt as a standby and the writes are gone.
  - Runs on the database host, on a cluster that is stopped, whether in order or not. It never listens. The WAL is
    read with C(pg_waldump); rows are read in PostgreSQL's single-user mode, in read-only transactions, where nobody
    can connect. Before that a cluster that crashed is brought to a clean end, as C(pg_rewind) would do.
  - A transaction that began before the fork and committed after it is divergent as a whole, and is found as a whole.
  - Whatever cannot be read is counted as C(unresolved) and has its line in the files, with its place and its
    transaction.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Counts as O(state=observed) does, and says whether anything is to be saved.
  diff_mode:
    support: full
    description: Shows whether the divergent writes are saved, before and after.
options:
  state:
    description:
      - V(observed) counts from the WAL and starts nothing; tables are named as the new primary names them.
      - V(saved) writes rows, WAL and manifest. Where they are saved already, they are verified and nothing is written.
    type: str
    choices: [observed, saved]
    default: saved
  data_directory:
    description: Data directory of the old primary.
    type: path
    required: true
  bin_directory:
    description: Directory of PostgreSQL's programs; where the distribution puts them when left out.
    type: path
  source:
    description:
      - How to reach the new primary; rows that were deleted or overwritten on the old primary are looked up there. The
        role needs C(REPLICATION), for the timelines, and C(SELECT) on the tables, for example by C(pg_read_all_data).
      - The password comes from a libpq passfile and never appears here.
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
  source_databases:
    description: Connection options (suboptions of O(source)) that differ for one database, by its name.
    type: dict
    default: {}
  directory:
    description:
      - Where to save. The files come to C(<directory>/<incident>/<region>-<cluster>), mode 0700. They hold customers'
        data. A later divergence of the same cluster in the same incident gets a directory beside it.
    type: path
    required: true
  incident:
    description: Identifier of the incident or drill.
    type: str
    required: true
  region:
    description: Region of the old primary.
    type: str
    required: true
  cluster:
    description: Name of the cluster.
    type: str
    required: true
  timeout:
    description: Seconds that crash recovery, or one answer of a server, may take.
    type: float
    default: 600.0
notes:
  - Every line of C(rows/<database>.<schema>.<table>.jsonl) is one JSON object. C(operation) is V(insert), V(update) or
    V(delete), or V(written) for a row of which only that can be told, because the table was rewritten or the
    transaction's beginning is no longer in the WAL (after C(ALTER TABLE) rewrote a table these are all rows of it).
    C(row) is the row as the old primary has it, C(previous) as it was at the fork. C(xid) is the transaction or
    subtransaction in 64 bits, C(committed_at) its commit by the old primary's clock, C(ctid) the row's place (of a
    deleted row, where it was). C(updates) counts how often it was updated; the last version is the one that is kept.
  - An update that moves a row to another partition is a delete in one and an insert in the other, as PostgreSQL does
    it.
  - C(jsonb_populate_record) reads C(row) back exactly. A type that is not built in, and an array that does not begin
    at 1, is kept as the text that PostgreSQL writes for it. C(json_nulls) names columns that hold JSON's null and not
    SQL's.
  - C(TRUNCATE), C(DROP) and other DDL is reported, not undone; rows that it removed are on the new primary.
    Sequences are reported with the value that crash recovery leaves, up to 32 ahead of the last one used. Unlogged
    tables have no WAL and were on no standby; they are named. Large objects are the rows of
    C(pg_catalog.pg_largeobject).
  - C(wal/) has the divergent WAL itself, so that nothing depends on how it was read.
  - The file names encode what is not a letter, digit, dash or underscore in a name as C(%XX).
seealso:
  - module: terragon.disaster_recovery.pg_fence
  - module: terragon.disaster_recovery.pg_promote
"""

EXAMPLES = r"""
- name: Save what only the returned region's old primary has
  terragon.disaster_recovery.pg_divergence:
    data_directory: /var/lib/postgresql/15/main
    source:
      host: postgres.us-west-2.example.com
      user: dr_rebuild
      passfile: ~/.pgpass
    directory: /var/lib/disaster-recovery/divergence
    incident: INC-7
    region: us-east-1
    cluster: main
  become: true
  become_user: postgres

# Bringing the rows of one table back, after looking at them, on the new primary:
#
#   CREATE TEMPORARY TABLE divergent (line jsonb);
#   \copy divergent FROM 'rows/app.public.orders.jsonl' WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')
#   INSERT INTO public.orders
#   SELECT r.* FROM divergent, jsonb_populate_record(NULL::public.orders, line -> 'row') AS r
#   WHERE line ->> 'operation' = 'insert'
#   ON CONFLICT DO NOTHING;
"""

RETURN = r"""
diverged:
  description: Whether the old primary has writes that the new one has not.
  returned: always
  type: bool
fork_lsn:
  description: Where the new primary's history left the old one's; null where it did not.
  returned: always
  type: str
end_lsn:
  description: Where the old primary's WAL ended when it was read (for what was saved earlier, then).
  returned: always
  type: str
transactions:
  description: Committed transactions after the fork, without those of ANALYZE alone.
  returned: always
  type: int
tables:
  description:
    - One entry a table, with C(database), C(schema), C(table), the counts C(inserted), C(updated), C(deleted),
      C(written), C(unresolved) (content not available, of any of these), C(previous_missing) (updates without the row
      before), C(gone_again) (rows inserted and removed again within the divergence) and C(updates) (how often rows
      were updated).
    - C(file) is relative to the manifest's directory. C(key) names the primary key's columns, C(partition_of) the
      root. C(dropped) says that the old primary dropped the table later.
    - With O(state=observed) and in check mode there are counts from the WAL only, by file of a table; C(unresolved)
      is null.
  returned: always
  type: list
  elements: dict
others:
  description:
    - What is no row of a table. C(kind) is V(ddl), V(created_table), V(truncated_table), V(rewritten_table),
      V(dropped_table), V(sequence), V(materialized_view), V(unlogged), V(prepared) (a prepared transaction that was
      not finished), V(dropped_database), V(lost_storage) (changes of a table that is gone and cannot be named) or
      V(wal_before_the_fork_gone) (deletes of these transactions before that position are unknown).
  returned: always
  type: list
  elements: dict
totals:
  description: The sums of the tables' counts.
  returned: always
  type: dict
manifest:
  description: File that lists what was saved, with the SHA-256 of every file; null when there is nothing to save.
  returned: always
  type: str
bytes:
  description: Bytes saved.
  returned: always
  type: int
seconds:
  description: Seconds that it took.
  returned: always
  type: float
evidence:
  description: What the ledger keeps as proof. Names, counts and paths, no contents of rows.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.divergence import SPECIFICATION, run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
