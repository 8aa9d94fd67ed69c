# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far each region's PostgreSQL is, which of them accept writes, and what a failover loses at most.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from . import needs
from .clock import Wait
from .concurrently import ask_all
from .connections import lease_option, postgres_option, record_option
from .errors import RecoveryError, Refused
from .execution import Params, Result, Specification
from .heartbeat_bound import LeaseNow, Target, loss_bound, unknown
from .heartbeat_round_trip import RoundTrip
from .heartbeat_servers import Answer, Server, ask
from .lease import Lease, LeaseView


def _servers(options: t.Mapping[str, t.Any]) -> list[needs.Need]:
    """Declare the servers; one that does not answer is part of what is observed, unless it is the target."""
    why = "its silence is part of what is observed"
    return [
        needs.Need(
            "PostgreSQL",
            needs.DATA,
            f"servers[{number}].postgres",
            one["postgres"],
            tolerated=why if options["state"] == "observed" and one["region"] != options.get("target") else "",
        )
        for number, one in enumerate(options["servers"])
    ]


SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["observed", "written"], "default": "observed"},
        "servers": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "region": {"type": "str", "required": True},
                "postgres": postgres_option(),
                "probe_write": {"type": "bool", "default": False},
            },
        },
        "lease": lease_option(required=False),
        "target": {"type": "str"},
        "wait_timeout": {"type": "float", "default": 30.0},
        "record": record_option(),
    },
    required_by={"target": ["lease"]},
    needs=needs.all_of(_servers, needs.lease(), needs.recorded()),
)


def run(params: Params, check_mode: bool) -> Result:
    """Observe, and prove a round trip where asked. Raises Refused, LoginFailed, TimedOut."""
    look = Look(params, check_mode)
    look.observe()
    for answer in look.answers:
        if answer.login is not None:
            answer.login.facts = look.result()
            raise answer.login
    if params["state"] == "written":
        look.round_trip()
    return look.result()


class Look:
    """One look at all servers and the lease."""

    def __init__(self, params: Params, check_mode: bool) -> None:
        self.check_mode = check_mode
        self.wait_timeout = float(params["wait_timeout"])
        self.target: str | None = params.get("target")
        self.lease_options: dict[str, t.Any] | None = params.get("lease")
        self.servers = [
            Server(one["region"], one["postgres"], bool(one.get("probe_write"))) for one in params["servers"]
        ]
        self.answers: list[Answer] = []
        self.bound: dict[str, t.Any] | None = None
        self.trip: dict[str, t.Any] | None = None
        self.waits: list[dict[str, t.Any]] = []
        self._unverified: list[str] = []
        regions = [server.region for server in self.servers]
        doubled = sorted({region for region in regions if regions.count(region) > 1})
        if doubled:
            raise Refused(f"Failed to observe the servers: {', '.join(doubled)} stands in servers more than once.")
        if self.target is not None and self.target not in regions:
            raise Refused(
                f"Failed to bound the loss: the target {self.target} is not among the servers "
                f"({', '.join(regions) or 'none'}). Add it to servers."
            )

    def observe(self) -> None:
        """Ask everybody at once."""
        calls: dict[str, t.Callable[[], t.Any]] = {
            server.region: lambda one=server: ask(one, self.check_mode)  # type: ignore[misc]
            for server in self.servers
        }
        lease_call = "the witness stores"
        lease = Lease.from_options(self.lease_options) if self.lease_options and self.target else None
        if lease is not None:
            calls[lease_call] = lambda: (lease.read(), time.monotonic())
        # Each has limits of its own; this one holds where a name server or a proxy between hangs.
        slowest = max((float(server.options.get("connect_timeout") or 3) for server in self.servers), default=3.0)
        found = ask_all(calls, 3 * slowest + 10)
        for server in self.servers:
            got = found[server.region]
            self.answers.append(got if isinstance(got, Answer) else Answer(server, error=str(got)))
        if lease is not None:
            self._bind(lease, found[lease_call])

    def _bind(self, lease: Lease, got: tuple[LeaseView, float] | RecoveryError) -> None:
        options = self.lease_options or {}
        if isinstance(got, RecoveryError):
            self.bound = unknown(str(got))
        else:
            view, read_at = got
            ttl, allowance = float(options["ttl_seconds"]), float(options["clock_allowance_seconds"])
            answer = next(one for one in self.answers if one.server.region == self.target)
            why = answer.error or " ".join(answer.unverified) if not answer.heartbeats else None
            target = Target(answer.server.region, answer.state, answer.heartbeats, why or None)
            self.bound = loss_bound(target, LeaseNow(lease, view, read_at, ttl, allowance))
        if self.bound["seconds"] is None:
            self._unverified.append(f"The bound of the loss is not known: {self.bound['basis']}")

    def round_trip(self) -> None:
        """Prove that a row goes from the primary to all others."""
        try:
            trip = RoundTrip(self.answers, self.wait_timeout)
            self.trip = trip.result
            if self.check_mode:
                self._unverified.append("In check mode no row is written.")
                return
            wait = Wait("replication")
            try:
                with wait:
                    trip.prove()
            finally:
                self.waits = [wait.as_dict()]
        except RecoveryError as error:
            error.facts = {**self.result(), **error.facts}
            raise

    def result(self) -> Result:
        """The module's return values."""
        servers = [answer.as_dict() for answer in self.answers]
        summary = ("region", "address", "reachable", "in_recovery", "accepts_writes", "timeline", "replay_lsn")
        evidence: dict[str, t.Any] = {
            "servers": [{**{key: one[key] for key in summary}, "heartbeat": one["heartbeat"]} for one in servers],
            "writable_regions": self._writable(),
        }
        if self.bound is not None:
            evidence.update(loss_bound=self.bound, target=self.target)
        if self.trip is not None:
            evidence["round_trip"] = self.trip
        return {
            "changed": False,
            "servers": servers,
            "writable_regions": self._writable(),
            "loss_bound": self.bound,
            "round_trip": self.trip,
            "problems": self._problems(),
            "unverified": [line for answer in self.answers for line in answer.unverified] + self._unverified,
            "waits": self.waits,
            "evidence": evidence,
        }

    def _writable(self) -> list[str]:
        return [answer.server.region for answer in self.answers if answer.accepts_writes]

    def _problems(self) -> list[str]:
        found = []
        writable = self._writable()
        primaries = [answer.server.region for answer in self.answers if answer.is_primary]
        if len(writable) > 1:
            found.append(f"{' and '.join(writable)} accept writes at the same time. Fence all but one.")
        elif len(primaries) > 1:
            found.append(f"{' and '.join(primaries)} are out of recovery at the same time.")
        systems = {answer.state.system_identifier for answer in self.answers if answer.state}
        if len(systems) > 1:
            found.append(f"The servers are of different clusters: system identifiers {', '.join(sorted(systems))}.")
        for answer in self.answers:
            if answer.state is not None and answer.state.replay_paused:
                found.append(f"{answer.server.region}: replay is paused. Resume it with pg_wal_replay_resume().")
        return found
