"""A region's clock is minutes off, as after a start with a wrong time source."""

from __future__ import annotations

from lab import conditions
from lab.catalogue import REGIONS
from lab.components import Component, process_of, stop
from lab.conditions import CLOCK, CLOCKED, clock_subject
from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import Lab

SECONDS = (300, -300)
SUBJECTS = tuple(clock_subject(region, seconds) for region in REGIONS for seconds in SECONDS)


def _set_wrong(lab: Lab, subject: str) -> str:
    region = subject.rpartition(":")[0]
    others = [one for one in lab.faults.get(CLOCK, []) if one.startswith(f"{region}:") and one != subject]
    if others:
        raise LabError(f"Failed to set the clock of {region}: it is wrong already. Heal clock {others[0]} first.")
    conditions.library(lab)  # before anything is stopped for it
    return f"clock of {subject}: {_restart(lab, region)}"


def _set_right(lab: Lab, subject: str) -> str:
    region = subject.rpartition(":")[0]
    healed = lab.with_fault(CLOCK, subject, False)  # what is started from here on has the right time
    return f"clock of {region} is right again: {_restart(healed, region)}"


def _restart(lab: Lab, region: str) -> str:
    """The running processes of a region that look at its clock, ended in order and started again."""
    from lab.running import run_component  # noqa: PLC0415 needs the database driver

    running = [one for one in (Component(kind, region) for kind in CLOCKED) if process_of(lab, one) is not None]
    # The guard first: it stops its PostgreSQL, and must not start it again meanwhile.
    stop(lab, [one for one in running if one.kind == "guard"])
    stop(lab, [one for one in running if one.kind != "guard"])
    for component in running:
        run_component(lab, component)
    return f"restarted {', '.join(one.kind for one in running) or 'nothing, for nothing ran'}"


FAULTS = {
    CLOCK: Fault(
        help="restart a region's PostgreSQL and guard with a clock 300 s fast or slow; heal restarts them right",
        subjects=SUBJECTS,
        break_it=_set_wrong,
        heal_it=_set_right,
    ),
}
