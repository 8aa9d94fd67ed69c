# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes scratch directories with what runs in them; finds those of runs that have ended.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import shutil
import typing as t
from dataclasses import dataclass, field

from .errors import RecoveryError, failed
from .guard_postmaster import Postmaster
from .logical_process import end_programs
from .scratch_owner import OWNER_FILE, Foreign, Scratch, ScratchRoot

#: programs that a killed run may have left at work in a scratch directory
_PROGRAMS = ("initdb", "pg_restore", "pgbackrest", "pg_basebackup", "pg_combinebackup", "pg_amcheck", "psql")
_STOP_SECONDS = 10.0


@dataclass
class Swept:
    """What was found below the scratch directory. Paths; `refused` and `leaks` with their reasons."""

    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    leaks: list[dict[str, str]] = field(default_factory=list)


def stop(scratch: Scratch) -> str:
    """Stop the server of a scratch, and say how it ended. Only processes in its own data directory are touched."""
    return Postmaster(scratch.data).stop(_STOP_SECONDS)


def remove(scratch: Scratch) -> None:
    """End what runs in a scratch directory, and remove it. Raises Foreign, and RecoveryError when it stays.

    owner.json goes last, so that a run that is killed here leaves what the next one recognises.
    """
    if scratch.is_remnant:
        _remove_remnant(scratch)
        return
    scratch.owner()
    _remedy = "End what holds it, then run the same command again."
    try:
        end_programs(_PROGRAMS, scratch.path)
        stop(scratch)
        _remove_content(scratch)
        (scratch.path / OWNER_FILE).unlink()
        _remove_remnant(scratch)
    except OSError as error:
        cause = f"{error.strerror} ({error.filename})"
        raise RecoveryError(failed("remove", f"the scratch {scratch.path}", cause, _remedy)) from error
    except RecoveryError as error:
        raise RecoveryError(failed("remove", f"the scratch {scratch.path}", error, _remedy)) from error


def _remove_content(scratch: Scratch) -> None:
    for entry in list(os.scandir(scratch.path)):
        if entry.name == OWNER_FILE:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)  # follows no link
        else:
            os.unlink(entry.path)


def _remove_remnant(scratch: Scratch) -> None:
    for name in os.listdir(scratch.path):
        (scratch.path / name).unlink()
    scratch.path.rmdir()


def sweep(root: ScratchRoot, max_age_hours: float, check_mode: bool, tell: t.Callable[[str], None]) -> Swept:
    """Remove the scratches of runs that have ended. What is not ours is named and left alone."""
    found = Swept()
    for path in root.entries():
        scratch = Scratch(path)
        try:
            if not scratch.is_remnant and not scratch.owner().is_dead(max_age_hours):
                found.kept.append(str(path))
                continue
            if not check_mode:
                tell(f"removing the leftover {path}")
                remove(scratch)
            found.removed.append(str(path))
        except Foreign as foreign:
            found.refused.append({"path": str(path), "reason": str(foreign)})
        except RecoveryError as error:
            found.leaks.append({"path": str(path), "reason": str(error)})
    return found
