# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a database host's PostgreSQL is now, running or stopped, and what would make it a standby of the source.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .errors import RecoveryError, Refused, Unreachable, failed
from .postgres_cluster import Cluster
from .sql import Postgres, WriteRefused
from .standby_plan import Comparison, Planner
from .standby_server import Standby
from .standby_settings import StandbySettings
from .standby_source import Primary, Source

try:
    from psycopg2 import Error
    from psycopg2.extensions import parse_dsn
except ImportError:  # sql.py names the missing library
    pass

#: what decides whom a running standby follows, of all that primary_conninfo may say
_DECISIVE = ("host", "port", "user", "application_name")


@dataclass(frozen=True)
class Examination:
    """What was found. `method` is None when there is nothing to do."""

    method: str | None
    reason: str
    running: bool
    #: what the running server says
    standby: Standby | None = None
    #: beside the source; None for a standby that streams from it
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Examiner:
    """Looks at one cluster, and changes nothing."""

    source: Source
    primary: Primary
    server: Postgres
    settings: StandbySettings
    method: str

    def look(self, cluster: Cluster) -> Examination:
        """Return what it is and what it needs. Raises Refused where it must not be touched."""
        running = cluster.running
        if running and cluster.postmaster.is_primary:
            remedy = "Fence it first (pg_fence); its lease guard stops it."
            raise Refused(failed("make", f"{self.server.name} a standby", "it runs as a primary", remedy))
        standby = self._ask(cluster) if running else None
        if standby and standby.streams_from(self.source.options, self.settings.slot, self.primary):
            return Examination(None, "it streams from the source", running, standby)
        comparison = Comparison.of(cluster, self.primary, self.source)
        planner = Planner(self.source, self.primary, self.method)
        if self._is_set(cluster, running, standby) and not planner.against_follow(comparison):
            return Examination(None, "it is a standby of the source", running, standby, comparison)
        method, reason = planner.choose(comparison)
        return Examination(method, reason, running, standby, comparison)

    def _ask(self, cluster: Cluster) -> Standby | None:
        """Return what the running server says; None while it takes no connections."""
        try:
            standby = Standby.of(self.server)
        except (Unreachable, WriteRefused):
            return None
        system = cluster.control().system_identifier
        if standby.system_identifier != system:
            remedy = "Correct data_directory or the option postgres: they belong to two servers."
            cause = f"it is system {standby.system_identifier}, and the files are of system {system}"
            raise Refused(failed("make", f"{self.server.name} a standby", cause, remedy))
        if not standby.in_recovery:
            remedy = "Fence it first (pg_fence); its lease guard stops it."
            raise Refused(failed("make", f"{self.server.name} a standby", "it accepts writes", remedy))
        return standby

    def _is_set(self, cluster: Cluster, running: bool, standby: Standby | None) -> bool:
        if not running or standby is None:
            return self.settings.stand_in(cluster.data)
        wanted, slot = self.settings.wanted["primary_conninfo"], standby.slot_name
        return slot == self.settings.slot and _decisive(standby.conninfo) == _decisive(wanted)


def _decisive(connection: str) -> dict[str, t.Any]:
    try:
        said = parse_dsn(connection) if connection else {}
    except Error as error:
        raise RecoveryError(failed("read", "primary_conninfo", error)) from error
    return {name: str(said.get(name, "5432" if name == "port" else "")) for name in _DECISIVE}
