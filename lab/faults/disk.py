"""The disk under a region's PostgreSQL and guard takes no more bytes.

It is a limit of the kernel on the running processes (RLIMIT_FSIZE of 0), which anybody may set on their own. A write
to any file then fails with EFBIG where a full disk says ENOSPC. Both are one to PostgreSQL and to the guard: a write
that failed. It is harder than a full disk in that files cannot be written over, either.
"""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Iterable

from lab.account import credentials
from lab.catalogue import REGIONS
from lab.components import Component, process_of
from lab.conditions import FULL_DISK, ON_DISK
from lab.errors import LabError
from lab.faults.fault import Fault
from lab.layout import Lab
from lab.processes import ProcessId, family


def _fill(lab: Lab, region: str) -> str:
    limited = _limit(lab, _on_disk(lab, region), 0)
    if not limited:
        raise LabError(f"Failed to fill the disk of {region}: neither its PostgreSQL nor its guard runs.")
    return f"disk of {region} full: {len(limited)} processes can write no file"


def _empty(lab: Lab, region: str) -> str:
    """Make room again, and start what could not live without."""
    from lab.running import run_component  # noqa: PLC0415 needs the database driver; breaking does not

    healed = lab.with_fault(FULL_DISK, region, False)  # what is started from here on is not limited
    limited = _limit(healed, _on_disk(healed, region), resource.RLIM_INFINITY)
    dead = [one for one in _components(region) if process_of(healed, one) is None]
    for component in dead:
        run_component(healed, component)
    started = f"; started {', '.join(one.kind for one in dead)}" if dead else ""
    return f"disk of {region} has room: {len(limited)} processes can write again{started}"


def _limit(lab: Lab, roots: Iterable[ProcessId], size: int) -> list[ProcessId]:
    """Let the processes and their descendants, also those that are born meanwhile, write up to there; who they are."""
    done: dict[int, ProcessId] = {}
    starts = list(roots)
    while fresh := [one for one in family([*starts, *done.values()]) if one.pid not in done]:
        for one in fresh:
            done[one.pid] = one
            _limit_one(lab, one, size)
    return list(done.values())


def _limit_one(lab: Lab, process: ProcessId, size: int) -> None:
    """The soft limit only, which its owner may raise again. Root without CAP_SYS_RESOURCE has to become the owner."""
    try:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    except ProcessLookupError:
        return
    except PermissionError:
        told = "unlimited" if size == resource.RLIM_INFINITY else str(size)
        argv = ["prlimit", f"--pid={process.pid}", f"--fsize={told}:unlimited"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, **credentials(lab.account))
        if done.returncode != 0 and process.alive:
            raise LabError(f"Failed to limit process {process.pid}: {done.stderr.strip()}") from None


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
