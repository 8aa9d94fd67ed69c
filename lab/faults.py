"""Every way to break the lab, and its way back. A new fault is one more entry in FAULTS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.catalogue import REGIONS
from lab.components import Component, recorded, region_components, start
from lab.errors import LabError
from lab.layout import Lab
from lab.processes import kill_at_once
from lab.shutdown import containers


@dataclass(frozen=True)
class Fault:
    """One way to break something; ``subjects`` are what it can be done to."""

    help: str
    subjects: tuple[str, ...]
    break_it: Callable[[Lab, str], str]
    heal_it: Callable[[Lab, str], str]
    #: whether a component is dead because of it
    hits: Callable[[Component, str], bool]


def break_lab(lab: Lab, name: str, subject: str) -> str:
    """Bring the fault about; what was done. Raises LabError for an unknown fault or subject."""
    fault = find(name, subject)
    if subject in lab.faults.get(name, []):
        return f"{name} {subject} is broken already"
    changed = lab.with_fault(name, subject, True)
    return fault.break_it(changed, subject)


def heal_lab(lab: Lab, name: str, subject: str) -> str:
    """Undo the fault; what was done. Raises LabError for an unknown fault or subject."""
    fault = find(name, subject)
    if subject not in lab.faults.get(name, []):
        return f"{name} {subject} is not broken"
    done = fault.heal_it(lab, subject)
    lab.with_fault(name, subject, False)
    return done


def find(name: str, subject: str) -> Fault:
    """The fault. Raises LabError naming what there is."""
    if name not in FAULTS:
        raise LabError(f"Failed to find fault {name}: there are {', '.join(sorted(FAULTS))}.")
    fault = FAULTS[name]
    if subject not in fault.subjects:
        raise LabError(f"Failed to apply {name} to {subject}: choose one of {', '.join(fault.subjects)}.")
    return fault


def hit(lab: Lab, component: Component) -> bool:
    """Whether a fault in force is why the component is dead."""
    return any(FAULTS[name].hits(component, one) for name, subjects in lab.faults.items() for one in subjects)


def _kill_region(lab: Lab, region: str) -> str:
    """Everything of the region dies in one instant, pods and guard included, as when its power fails."""
    roots = [process for one in region_components(lab, region) if (process := recorded(lab, one)) is not None]
    killed = kill_at_once([*roots, *containers(lab, region)])
    spared = ""
    if region in lab.kubeconfigs:
        spared = f"; its Kubernetes API ({lab.kubeconfigs[region]}) is none of the lab's processes and stays up"
    return f"region {region}: killed {len(killed)} processes{spared}"


def _restart_region(lab: Lab, region: str) -> str:
    """Power returns: every process starts again from what is on disk, and finds a world that went on."""
    from lab.running import run_component  # noqa: PLC0415 needs the database driver; breaking does not

    started = []
    for component in region_components(lab, region):
        if component.kind in ("postgres", "guard"):
            run_component(lab, component)
        else:
            start(lab, component)
        started.append(component.kind)
    return f"region {region}: started {', '.join(started)}"


FAULTS: dict[str, Fault] = {
    "region": Fault(
        help="kill every process of a region at once; heal starts them again",
        subjects=REGIONS,
        break_it=_kill_region,
        heal_it=_restart_region,
        hits=lambda component, region: component.region == region,
    ),
}
