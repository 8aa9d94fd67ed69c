#!/usr/bin/python
# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
module: pg_promotion_info
short_description: Tell what a PostgreSQL server has written since it was promoted
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - Says when a server was promoted and which tables it has changed since, by rows inserted, updated and deleted.
    This is what a way back to the region that it took over from would leave behind.
  - A standby counts no changes, so what the server's statistics hold is its own. A crash of the server resets them; the
    time since the promotion stays true.
extends_documentation_fragment:
  - terragon.disaster_recovery.connections.postgres
  - terragon.disaster_recovery.connections.record
attributes:
  check_mode:
    support: full
    description: Looks, as always. Changes nothing.
  diff_mode:
    support: none
    description: Nothing is changed.
options:
  region:
    description: Region of the server.
    type: str
    required: true
  databases:
    description: Databases whose tables are looked at.
    type: list
    elements: str
    required: true
seealso:
  - module: terragon.disaster_recovery.pg_promote
  - module: terragon.disaster_recovery.pg_heartbeat
"""

EXAMPLES = """
- name: What would going back to us-east-1 leave behind
  terragon.disaster_recovery.pg_promotion_info:
    region: us-west-2
    postgres: {host: postgres.us-west-2.internal, user: dr_operator, passfile: ~/.config/terragon-dr/pgpass}
    databases: [counterfactual_lab]
"""

RETURN = """
in_recovery:
  description: Whether the server is a standby, which has written nothing itself. Null where it does not answer.
  returned: always
  type: bool
timeline:
  description: The timeline that it is on. Null where it does not answer.
  returned: always
  type: int
promoted_at:
  description: When its timeline began, by its own clock (RFC 3339, UTC). Null for a server that never was promoted.
  returned: always
  type: str
seconds:
  description: Seconds since then. Null where RV(promoted_at) is.
  returned: always
  type: float
rows:
  description: Rows inserted, updated and deleted in all tables, together.
  returned: always
  type: int
tables:
  description: The tables that were changed.
  returned: always
  type: list
  elements: dict
  contains:
    database:
      description: Name of the database.
      type: str
    schema:
      description: Name of the schema.
      type: str
    table:
      description: Name of the table.
      type: str
    inserted:
      description: Rows inserted.
      type: int
    updated:
      description: Rows updated.
      type: int
    deleted:
      description: Rows deleted.
      type: int
unverified:
  description: What could not be told, one line each.
  returned: always
  type: list
  elements: str
evidence:
  description: What the ledger keeps as proof. No contents of rows.
  returned: always
  type: dict
"""

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.execution import run_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.promotion_info import SPECIFICATION, run


def main() -> None:
    """Run the module."""
    run_module(SPECIFICATION, run)


if __name__ == "__main__":
    main()
