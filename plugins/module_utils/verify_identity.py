# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this is the cluster, and are these the databases, that were to be restored.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .verify_facts import Facts
from .verify_invariants import check_value
from .verify_pool import Pool
from .verify_rung import Rung


def check_identity(rung: Rung, pool: Pool, home: str, now: Facts, expected: t.Mapping[str, t.Any]) -> None:
    """Compare the system identifier (of a physical backup) and ask the databases who they are."""
    facts = expected.get("facts") or {}
    wanted = expected.get("system_identifier") or (expected.get("physical") and facts.get("system_identifier"))
    found = now["system_identifier"]
    if wanted and str(wanted) != found:
        rung.failed(
            f"the cluster has system identifier {found}, and {wanted} was expected: it is another cluster. "
            "Restore the backup of the right one."
        )
    for one in expected.get("identity") or []:
        check_value(rung, pool, home, {"name": "identity", **one})
