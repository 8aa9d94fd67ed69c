"""Under what conditions a component starts while a fault is in force: with a wrong clock, or on a full disk."""

from __future__ import annotations

import contextlib
import importlib.util
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from lab.errors import LabError
from lab.layout import Lab

#: names of the faults that change how a component starts
CLOCK, FULL_DISK = "clock", "full_disk"
#: what of a region has the region's wrong clock, and what stands on its full disk
CLOCKED = ("postgres", "guard")
ON_DISK = ("postgres", "guard")

LIBRARY = "libfaketime.so.1"
INSTALL = "Install it: pip install libfaketime, or apt install faketime."


def clock_subject(region: str, seconds: int) -> str:
    """How a wrong clock is written on the command line: us-east-1:+300."""
    return f"{region}:{seconds:+d}"


def clock(lab: Lab, kind: str, region: str | None) -> dict[str, str]:
    """What the environment of a component says of its clock; nothing where the clock is right.

    Only the time of day is wrong. The monotonic clocks run on, as they do where a clock is set wrong.
    """
    if kind not in CLOCKED:
        return {}
    for subject in lab.faults.get(CLOCK, []):
        wrong, _, seconds = subject.rpartition(":")
        if wrong == region:
            return {
                "LD_PRELOAD": str(library(lab)),
                "FAKETIME": f"{seconds}s",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_RESET": "1",
            }
    return {}


def library(lab: Lab) -> Path:
    """The lab's copy of libfaketime, which PostgreSQL's user can read too. Raises LabError where there is none."""
    copy = lab.data / "lib" / LIBRARY
    if not copy.exists():
        copy.parent.mkdir(exist_ok=True)
        copy.parent.chmod(0o755)
        shutil.copyfile(installed_library(), copy)
        copy.chmod(0o755)
    return copy


def installed_library() -> Path:
    """libfaketime as Python or the distribution installed it. Raises LabError where neither did."""
    spec = importlib.util.find_spec("libfaketime")
    places = [Path(place) for place in (spec.submodule_search_locations or [] if spec else [])]
    found = [path for place in places for path in place.rglob(LIBRARY)]
    found += sorted(Path("/usr/lib").glob(f"*/faketime/{LIBRARY}"))
    if not found:
        raise LabError(f"Failed to set a clock wrong: there is no {LIBRARY}. {INSTALL}")
    return found[0]


@contextlib.contextmanager
def disk(lab: Lab, kind: str, region: str | None) -> Iterator[None]:
    """What is started in this block may write no file where the region's disk is full."""
    if kind not in ON_DISK or region not in lab.faults.get(FULL_DISK, []):
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
