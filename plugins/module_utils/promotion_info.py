# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a promoted server has written since: the price of going back to the region that it took over from.

A standby counts no row changes, so the statistics of a promoted server are of its own writes alone.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import needs
from .clock import to_iso
from .connections import postgres_option, record_option
from .errors import RecoveryError, Unreachable
from .execution import Params, Result, Specification
from .postgres_state import ServerState
from .sql import Postgres, WriteRefused

SPECIFICATION = Specification(
    argument_spec={
        "region": {"type": "str", "required": True},
        "postgres": postgres_option(),
        "databases": {"type": "list", "elements": "str", "required": True},
        "record": record_option(),
    },
    needs=needs.all_of(needs.postgres("postgres"), needs.recorded()),
)

_PROMOTED = "SELECT modification, extract(epoch FROM now() - modification)::float8 FROM pg_ls_waldir() WHERE name = %s"

_WRITTEN = """
SELECT schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del
FROM pg_stat_user_tables
WHERE schemaname <> 'dr' AND n_tup_ins + n_tup_upd + n_tup_del > 0
ORDER BY schemaname, relname
"""


def run(params: Params, _check_mode: bool) -> Result:
    """Serve the module pg_promotion_info. It only looks. A server that does not answer is no error, it is unverified.

    Raises LoginFailed and SqlFailed, as Postgres.rows() does.
    """
    region = params["region"]
    state: ServerState | None = None
    promoted_at: str | None = None
    seconds: float | None = None
    tables: list[dict[str, t.Any]] = []
    unverified: list[str] = []
    with Postgres(params["postgres"], region) as server:
        try:
            state = ServerState.of(server)
            if not state.in_recovery:
                promoted_at, seconds = _promotion(server, state.timeline)
        except (Unreachable, WriteRefused) as error:
            unverified.append(f"what {region} has written: {error}")
    if state is not None and not state.in_recovery:
        for database in params["databases"]:
            try:
                tables += _tables({**params["postgres"], "database": database}, region, database)
            except RecoveryError as error:
                unverified.append(f"database {database}: {error}")
        if promoted_at is None:
            unverified.append(f"{region} has no history of its timeline {state.timeline}: it was never promoted")
    rows = sum(one[kind] for one in tables for kind in ("inserted", "updated", "deleted"))
    facts: dict[str, t.Any] = {
        "in_recovery": state.in_recovery if state else None,
        "timeline": state.timeline if state else None,
        "promoted_at": promoted_at,
        "seconds": seconds,
        "rows": rows,
        "tables": tables,
    }
    return {"changed": False, **facts, "unverified": unverified, "evidence": {"region": region, **facts}}


def _promotion(server: Postgres, timeline: int) -> tuple[str | None, float | None]:
    """Return when the server's timeline began, by its own clock, and how many seconds ago; None for the first one."""
    found = server.rows(_PROMOTED, (f"{timeline:08X}.history",))
    if not found:
        return None, None
    moment, seconds = found[0]
    return to_iso(moment), round(seconds, 3)


def _tables(options: t.Mapping[str, t.Any], region: str, database: str) -> list[dict[str, t.Any]]:
    with Postgres(options, region) as server:
        rows = server.rows(_WRITTEN)
    names = ("schema", "table", "inserted", "updated", "deleted")
    return [{"database": database, **dict(zip(names, row, strict=True))} for row in rows]
