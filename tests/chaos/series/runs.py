"""One run of a series: break, recover, heal, rebuild; and what came of it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.kill.run import Run, playbook
from tests.chaos.kill.world import World

#: what is done to the active region: the lab's fault, and what of the region it is done to
FAULTS = {
    "region": ("region", "{region}"),
    "partition": ("partition", "{region}"),
    "one_way_out": ("one_way_out", "{region}"),
    "one_way_in": ("one_way_in", "{region}"),
    "slow_link": ("slow_link", "{region}"),
    "lossy_link": ("lossy_link", "{region}"),
    "frozen_primary": ("freeze", "{region}:postgres"),
    "full_disk": ("full_disk", "{region}"),
}
#: nothing is broken: the services are moved on purpose
PLANNED = {"switchover": "region_switchover", "failback": "region_failback"}


@dataclass(frozen=True)
class Result:
    """What one run came to. Seconds, as the clients and the ledger have them."""

    number: int
    source: str
    seconds: float
    report: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Series:
    """Runs in one lab that is started once; one that goes wrong ends the series with the lab as it is."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._prefix = f"series-{uuid.uuid4().hex[:6]}"

    def run(self, what: str, number: int) -> Result:
        """Do it once."""
        began, source = time.monotonic(), self.world.lease["holder"]
        incident = f"{self._prefix}-{what.replace('_', '-')}-{number}"
        planned = PLANNED.get(what)
        runs = [self._play(planned, incident)] if planned else self._broken(what, source, incident)
        report = self.world.report(incident) or {}
        problems = [f"exit status {one.status}: {one.reason}" for one in runs if one.status != 0]
        problems += _judged(report, what in PLANNED)
        if problems:
            for count, one in enumerate(runs, 1):
                (self.world.scratch / f"{incident}.{count}.log").write_text(one.output, encoding="utf-8")
        return Result(number, source, time.monotonic() - began, report, problems)

    def _broken(self, what: str, source: str, incident: str) -> list[Run]:
        fault, subject = FAULTS[what]
        self.world.lab("break", fault, subject.format(region=source))
        # A slow region may still answer: the operator says that it is to be left all the same.
        runs = [self._play("region_failover", incident, dr_accept_healthy_source=source)]
        self.world.lab("heal", fault, subject.format(region=source))
        if runs[0].status == 0:
            runs.append(self._play("region_rebuild", f"{incident}-rebuild"))
        return runs

    def _play(self, name: str, incident: str, **more: Any) -> Run:
        return playbook(name, self.world.directory, self.world.scratch, {"dr_incident": incident, **more})


def _judged(report: dict[str, Any], planned: bool) -> list[str]:
    """What the clients and the observer hold against a run."""
    if not report:
        return ["there is no report"]
    found = [] if report["verdict"] == "passed" else [f"verdict {report['verdict']}"]
    if report["max_writable_primaries"] != 1:
        found.append(f"{report['max_writable_primaries']} writable primaries at once")
    lost, bound = report["lost_acknowledged_writes"], report["stated_loss_bound_seconds"]
    if lost and planned:
        found.append(f"{lost} acknowledged writes lost")
    if lost and (bound is None or report["rpo_seconds"] > bound):
        found.append(f"lost {report['rpo_seconds']} s of writes, stated were {bound} s")
    return found
