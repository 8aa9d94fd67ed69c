"""A process that hangs: alive for the kernel, and doing nothing."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from lab.catalogue import REGION_KINDS, REGIONS, SHARED_KINDS
from lab.components import Component, process_of
from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import Lab, write_json
from lab.processes import ProcessId, freeze_at_once

NAME = "freeze"


def component_of(subject: str) -> Component:
    """``us-east-1:postgres`` or, of what both regions share, ``witness``."""
    region, _, kind = subject.rpartition(":")
    return Component(kind, region or None)


def _freeze(lab: Lab, subject: str) -> str:
    """SIGSTOP to the whole family; the record of who they were is what heal goes by."""
    component = component_of(subject)
    process = process_of(lab, component)
    if process is None:
        raise LabError(f"Failed to freeze {subject}: it does not run. See: python -m lab status.")
    frozen = freeze_at_once([process])
    write_json(_record(lab, subject), [one.to_json() for one in frozen], 0o644)
    return f"{subject}: froze {len(frozen)} processes"


def _thaw(lab: Lab, subject: str) -> str:
    """SIGCONT to those that are left of exactly these processes."""
    path = _record(lab, subject)
    frozen = [ProcessId.from_json(one) for one in json.loads(path.read_text())]
    going = [one for one in frozen if one.send(signal.SIGCONT)]
    path.unlink()
    ended = len(frozen) - len(going)
    return f"{subject}: {len(going)} processes go on" + (f", {ended} had been ended meanwhile" if ended else "")


def _record(lab: Lab, subject: str) -> Path:
    return lab.directory / "run" / f"frozen-{subject.replace(':', '-')}.json"


FAULTS = {
    NAME: Fault(
        help="stop a component's processes with SIGSTOP at one instant; heal lets them go on",
        subjects=(*(f"{region}:{kind}" for region in REGIONS for kind in REGION_KINDS), *SHARED_KINDS),
        break_it=_freeze,
        heal_it=_thaw,
        hits=lambda component, subject: component == component_of(subject),
    ),
}
