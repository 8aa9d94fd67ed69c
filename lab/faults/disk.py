"""The disk under a region's PostgreSQL and guard takes no more bytes.

It is a limit of the kernel on the running processes (RLIMIT_FSIZE of 0), which anybody may set on their own. A write
to any file then fails with EFBIG where a full disk says ENOSPC. Both are one to PostgreSQL and to the guard: a write
that failed. It is harder than a full disk in that files cannot be written over, either.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable

from lab.catalogue import REGIONS
from lab.components import Component, process_of
from lab.conditions import FULL_DISK, ON_DISK
from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import Lab
from lab.processes import ProcessId, family


def _fill(lab: Lab, region: str) -> str:
    limited = _limit(_on_disk(lab, region), full=True)
    if not limited:
        raise LabError(f"Failed to fill the disk of {region}: neither its PostgreSQL nor its guard runs.")
    return f"disk of {region} full: {len(limited)} processes can write no file"


def _empty(lab: Lab, region: str) -> str:
    """Make room again, and start what could not live without."""
    from lab.running import run_component  # noqa: PLC0415 needs the database driver; breaking does not

    healed = lab.with_fault(FULL_DISK, region, False)  # what is started from here on is not limited
    limited = _limit(_on_disk(healed, region), full=False)
    dead = [one for one in _components(region) if process_of(healed, one) is None]
    for component in dead:
        run_component(healed, component)
    started = f"; started {', '.join(one.kind for one in dead)}" if dead else ""
    return f"disk of {region} has room: {len(limited)} processes can write again{started}"


def _limit(roots: Iterable[ProcessId], full: bool) -> list[ProcessId]:
    """Limit the processes and their descendants, also those that are born meanwhile; who they are."""
    done: dict[int, ProcessId] = {}
    starts = list(roots)
    while fresh := [one for one in family([*starts, *done.values()]) if one.pid not in done]:
        for one in fresh:
            done[one.pid] = one
            with contextlib.suppress(ProcessLookupError):
                _, hard = resource.prlimit(one.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (0 if full else hard, hard))
    return list(done.values())


def _on_disk(lab: Lab, region: str) -> list[ProcessId]:
    return [process for one in _components(region) if (process := process_of(lab, one)) is not None]


def _components(region: str) -> list[Component]:
    return [Component(kind, region) for kind in ON_DISK]


FAULTS = {
    FULL_DISK: Fault(
        help="let a region's PostgreSQL and guard write no file any more; heal starts again what died of it",
        subjects=REGIONS,
        break_it=_fill,
        heal_it=_empty,
        hits=lambda component, region: component in _components(region),
    ),
}
