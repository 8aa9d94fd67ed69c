"""A region loses its power, and gets it back."""

from __future__ import annotations

from lab.catalogue import REGIONS
from lab.components import REGION_MARK, recorded, region_components, region_mark, start
from lab.faults.fault import Fault
from lab.layout import Lab
from lab.processes import kill_at_once, marked
from lab.shutdown import containers


def _kill_region(lab: Lab, region: str) -> str:
    """Everything of the region dies in one instant, pods and guard included, as when its power fails."""
    roots = [process for one in region_components(lab, region) if (process := recorded(lab, one)) is not None]
    alone = marked(REGION_MARK, region_mark(lab, region))  # what pushes WAL has left its parent
    killed = kill_at_once([*roots, *containers(lab, region), *alone])
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


FAULTS = {
    "region": Fault(
        help="kill every process of a region at once; heal starts them again",
        subjects=REGIONS,
        break_it=_kill_region,
        heal_it=_restart_region,
        hits=lambda component, region: component.region == region,
    ),
}
