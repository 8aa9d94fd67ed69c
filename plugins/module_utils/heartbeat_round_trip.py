# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One row written on the primary and found on every standby: replication works, from end to end.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from .clock import Deadline, wait_until
from .concurrently import ask_all
from .errors import RecoveryError, Refused, TimedOut, Unreachable
from .heartbeat_servers import Answer, Server
from .sql import Postgres, WriteRefused

#: Seconds beyond the wait in which a standby that hangs must have been given up.
_GRACE = 10.0


class RoundTrip:
    """One proof. `result` is the module's return value `round_trip`."""

    def __init__(self, answers: t.Sequence[Answer], wait_timeout: float) -> None:
        """Find the primary. Raises Refused where there is none, or more than one."""
        primaries = [answer for answer in answers if answer.is_primary]
        if len(primaries) != 1:
            named = ", ".join(answer.server.region for answer in primaries) or "none"
            states = "; ".join(f"{answer.server.region}: {_shown(answer)}" for answer in answers)
            raise Refused(
                f"Failed to write a probe row: exactly one of the servers must be a primary, found {named}. "
                f"Name the primary and its standbys in servers. ({states})"
            )
        self.primary = primaries[0].server
        self.standbys = [answer.server for answer in answers if answer.server is not self.primary]
        self.wait_timeout = wait_timeout
        self.result: dict[str, t.Any] = {"region": self.primary.region, "token": None, "lsn": None, "standbys": []}

    def prove(self) -> None:
        """Write and wait. Raises TimedOut naming the standbys that did not show the row."""
        with self.primary.connect() as connection:
            token = connection.probe_write(self.primary.region)
            lsn = connection.row("SELECT pg_current_wal_lsn()")[0]
        self.result.update(token=token, lsn=lsn)
        began, deadline = time.monotonic(), Deadline(self.wait_timeout)
        calls = {server.region: lambda one=server: self._seen(one, token, deadline, began) for server in self.standbys}  # type: ignore[misc]
        seen = ask_all(calls, self.wait_timeout + _GRACE)
        self.result["standbys"] = [
            {"region": region, "seconds": None if isinstance(got, RecoveryError) else round(got, 3)}
            for region, got in seen.items()
        ]
        missing = [f"{region} ({got})" for region, got in seen.items() if isinstance(got, RecoveryError)]
        if missing:
            raise TimedOut(
                f"Failed to find the row of {self.primary.region} on every standby within {self.wait_timeout:g} s: "
                f"{'; '.join(missing)} Check replication from {self.primary.region}."
            )

    def _seen(self, server: Server, token: str, deadline: Deadline, began: float) -> float:
        """Return the seconds after which the standby shows the token; it may hang up meanwhile."""
        query = "SELECT 1 FROM dr.probe WHERE region = %s AND token = %s"

        def look(connection: Postgres) -> bool:
            try:
                return bool(connection.rows(query, (self.primary.region, token)))
            except (Unreachable, WriteRefused):
                if deadline.expired:
                    raise
                return False

        with server.connect() as connection:
            what = f"the row of {self.primary.region} on {server.region}"
            wait_until(lambda: look(connection), deadline.remaining, what, 0.02)
        return time.monotonic() - began


def _shown(answer: Answer) -> str:
    if answer.state is None:
        return answer.error or "not known"
    return "standby" if answer.state.in_recovery else "primary"
