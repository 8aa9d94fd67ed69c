"""A witness store or a region's store dies; the witness answers late."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from lab.catalogue import LEASE_BUCKET, REGIONS
from lab.components import Component, environment, process_of, recorded, start
from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import REPOSITORY, Lab, write_json
from lab.processes import ProcessId, kill_at_once, launch, terminate

#: kinds of component that keep leases or ledgers
STORES = ("witness",)
START_SECONDS = 60.0
#: a late store: it does nothing for so long, then works for so long, again and again
FROZEN_SECONDS, WORKING_SECONDS = 3.0, 0.5


def _component(subject: str) -> Component:
    """The witness by its name, a region's store by the region's."""
    return Component("store", subject) if subject in REGIONS else Component(subject, None)


def _kill(lab: Lab, subject: str) -> str:
    component = _component(subject)
    process = recorded(lab, component)
    killed = kill_at_once([process]) if process else []
    return f"{component}: killed {len(killed)} processes"


def _start(lab: Lab, subject: str) -> str:
    """Start it from its files, and wait until it answers."""
    from lab.stores import is_answering  # noqa: PLC0415 a second of imports; breaking does without
    from lab.waiting import until  # noqa: PLC0415

    component = _component(subject)
    start(lab, component)
    log = lab.log(component.kind, component.region)
    until(lambda: is_answering(lab, component, LEASE_BUCKET), f"{component} (log {log})", START_SECONDS)
    return f"{component}: started from its files, and answers"


def _make_late(lab: Lab, kind: str) -> str:
    process = process_of(lab, Component(kind, None))
    if process is None:
        raise LabError(f"Failed to make {kind} late: it does not run. See: python -m lab status.")
    argv = [lab.python, "-m", "lab.faults.stutter", json.dumps(process.to_json())]
    argv += [str(FROZEN_SECONDS), str(WORKING_SECONDS)]
    stutter = launch(argv, cwd=REPOSITORY, env=environment(lab), log=lab.log("stutter"))
    write_json(_record(lab, kind), stutter.to_json(), 0o644)
    return f"{kind}: answers up to {FROZEN_SECONDS:g} s late"


def _make_prompt(lab: Lab, kind: str) -> str:
    """End whoever makes it late, which lets the store go on as its last act, and make sure of that."""
    terminate([ProcessId.from_json(json.loads(_record(lab, kind).read_text()))], 5.0)
    _record(lab, kind).unlink()
    process = process_of(lab, Component(kind, None))
    if process is not None:
        process.send(signal.SIGCONT)
    return f"{kind}: answers at once"


def _record(lab: Lab, kind: str) -> Path:
    return lab.directory / "run" / f"late-{kind}.json"


FAULTS = {
    "witness": Fault(
        help="kill a witness store; heal starts it again from its files",
        subjects=STORES,
        break_it=_kill,
        heal_it=_start,
        hits=lambda component, kind: component == Component(kind, None),
    ),
    "store": Fault(
        help="kill a region's S3 store; heal starts it again from its files",
        subjects=REGIONS,
        break_it=_kill,
        heal_it=_start,
        hits=lambda component, region: component == Component("store", region),
    ),
    "ledger_late": Fault(
        help="let a witness store, and the ledgers in it, answer seconds late; heal makes it prompt again",
        subjects=STORES,
        break_it=_make_late,
        heal_it=_make_prompt,
    ),
}
