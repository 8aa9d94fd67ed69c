# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a stopped cluster needs to become a standby of the source: nothing, to follow, to be rewound, to be copied.

PRIVATE to the collection.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import RecoveryError, Refused, failed
from .postgres_cluster import Cluster, ControlData
from .postgres_state import lsn_number
from .standby_source import Primary, Source
from .standby_timelines import fork_of, local_history, lsn_text, own_timeline, segment_on, wal_end


@dataclass(frozen=True)
class Comparison:
    """The cluster beside the source. Positions are as PostgreSQL writes them; None is what cannot be known."""

    control: ControlData
    #: the cluster's own timeline
    timeline: int
    #: where the source left the cluster's history; where it has not, up to where the source has written
    fork: str | None
    #: where the cluster's own WAL ends
    end: str | None
    #: whether the cluster holds WAL that the source never had; what is not known counts as if it did
    diverged: bool
    #: why the comparison could not be completed
    trouble: str = ""

    @classmethod
    def of(cls, cluster: Cluster, primary: Primary, source: Source) -> Comparison:
        """Compare, reading only. Raises Refused for a cluster of another system."""
        control = cluster.control()
        if control.system_identifier != primary.system_identifier:
            raise Refused(
                f"Failed to make {cluster.data} a standby: it is system {control.system_identifier}, the source is "
                f"system {primary.system_identifier}: they were never one cluster. Correct source or data_directory."
            )
        timeline = own_timeline(cluster, control)
        try:
            fork = fork_of(local_history(cluster, timeline), primary.history)
            end = wal_end(cluster)
        except (RecoveryError, ValueError) as error:
            return cls(control, timeline, None, None, True, str(error).rstrip("."))
        if fork is None and not control.in_recovery and not (cluster.data / "standby.signal").exists():
            trouble = f"both were primaries on timeline {timeline}, so nobody can tell where they parted"
            return cls(control, timeline, None, end, True, trouble)
        # the source's position is asked for after ours was read, since it moves on
        limit = lsn_number(source.lsn()) if fork is None else fork
        return cls(control, timeline, lsn_text(limit), end, lsn_number(end) > limit)


class Planner:
    """Chooses the method. `method` is what was asked for: auto, follow, rewind or copy."""

    def __init__(self, source: Source, primary: Primary, method: str) -> None:
        self.source = source
        self.primary = primary
        self.method = method

    def choose(self, found: Comparison) -> tuple[str, str]:
        """Return the method and why. Raises Refused where the one that was asked for cannot do."""
        against = {"follow": self.against_follow(found), "rewind": self._against_rewind(found), "copy": ""}
        if self.method != "auto":
            if against[self.method]:
                remedy = "Give another method, or auto."
                raise Refused(failed(self.method, self.source.name, against[self.method], remedy))
            return self.method, "asked for"
        for method, trouble in against.items():
            if not trouble:
                reasons = [against[better] for better in ("follow", "rewind") if against[better]]
                return method, "; ".join(reasons) or f"its WAL ends at {found.end}, at or before {found.fork}"
        raise RuntimeError("a copy is always possible")

    def against_follow(self, found: Comparison) -> str:
        """Return why the cluster cannot go on where its own WAL ends; empty when it can."""
        if found.diverged or found.end is None:
            told = f"its WAL goes on to {found.end}, past {found.fork} where the source left it"
            return found.trouble or told
        segment = segment_on(self.primary.history, lsn_number(found.end), found.control.segment_size)
        return "" if self.source.has_segment(segment) else f"the source has no WAL file {segment} any more"

    def _against_rewind(self, found: Comparison) -> str:
        control = found.control
        if not found.diverged:
            return "it has not diverged, so that there is nothing to rewind"
        if found.trouble or found.fork is None:
            return found.trouble
        if not (control.checksums or control.wal_log_hints):
            return "it has neither data checksums nor wal_log_hints, so that pg_rewind cannot work"
        if found.timeline == self.primary.timeline:
            return f"both are on timeline {found.timeline}, where pg_rewind has nothing to compare"
        if control.in_recovery and not control.clean:
            return "it is a standby that was not stopped in order"
        return ""
