# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An order to promote that is worth nothing once its lease may be another's.

Between the look at the lease and the moment at which the server acts, whoever orders may be frozen and the order
may be late, and another region may take the lease and serve. So the lease is renewed just before, from when on
any other claimant has to wait for its end, and the order carries a deadline within that time by the server's own clock.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt

from .clock import Deadline
from .errors import Refused
from .lease import Lease, LeaseLost
from .sql import Postgres

_ORDER = "SELECT CASE WHEN clock_timestamp() < %s THEN pg_promote(true, %s) END"


def order_promotion(server: Postgres, lease: Lease, region: str, seconds: int) -> bool | None:
    """Order it and wait up to `seconds` for its end. False when it did not end; None when it came too late to count.

    Raises Refused where `region` does not hold the lease any more, Unreachable and SqlFailed as Postgres.rows() does.
    """
    before = server.row("SELECT clock_timestamp()")[0]
    ttl = _renew(lease, region, Deadline(seconds))
    done: bool | None = server.row(_ORDER, (before + dt.timedelta(seconds=ttl / 2), seconds), seconds + 1.0)[0]
    return done


def _renew(lease: Lease, region: str, deadline: Deadline) -> float:
    """Renew the region's lease and return its time to live in seconds; its guard may renew it at the same time."""
    while True:
        view = lease.read()
        if view.record is None or not view.held_by(region):
            holder = view.record.holder if view.record and not view.record.released else "nobody"
            raise Refused(
                f"Failed to promote {region}: it has lost lease {lease.key} meanwhile, {holder} holds it. Find out who "
                "claimed it (pg_fence, state observed) before anything else."
            )
        try:
            lease.renew(view)
            return view.record.ttl_seconds
        except LeaseLost:
            if deadline.expired:
                raise
            deadline.rest(0.05)
