"""Every way to break the lab, and its way back: one file an idea, each with its FAULTS."""

from __future__ import annotations

from lab.components import Component
from lab.errors import LabError
from lab.faults import aws, clock, data, disk, network, processes, region, replay, witness
from lab.faults.fault import Fault
from lab.layout import Lab

FAULTS: dict[str, Fault] = {
    **region.FAULTS,
    **network.FAULTS,
    **processes.FAULTS,
    **disk.FAULTS,
    **clock.FAULTS,
    **replay.FAULTS,
    **data.FAULTS,
    **aws.FAULTS,
    **witness.FAULTS,
}


def break_lab(lab: Lab, name: str, subject: str) -> str:
    """Bring the fault about; what was done. Raises LabError for an unknown fault or subject, or one that cannot be."""
    fault = find(name, subject)
    if subject in lab.faults.get(name, []):
        return f"{name} {subject} is broken already"
    changed = lab.with_fault(name, subject, True)
    try:
        return fault.break_it(changed, subject)
    except LabError:
        changed.with_fault(name, subject, False)
        raise


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


def frozen(lab: Lab, component: Component) -> bool:
    """Whether a fault in force keeps the component from doing anything, alive as it is."""
    subjects = lab.faults.get(processes.NAME, [])
    return any(processes.component_of(one) == component for one in subjects)


def hit(lab: Lab, component: Component) -> bool:
    """Whether a fault in force is why the component is dead."""
    return any(FAULTS[name].hits(component, one) for name, subjects in lab.faults.items() for one in subjects)
