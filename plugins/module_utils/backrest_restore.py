# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restoring beside: into an empty directory, from a chosen repository, to a moment, with archiving off.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from pathlib import Path

from .backrest_command import Backrest, Progress, Repository, Tell
from .backrest_errors import NoRoom
from .backrest_info import Facts, sound
from .clock import from_iso
from .errors import Refused, failed
from .guard_postmaster import Postmaster

_SETTING = re.compile(r"^(\w+)\s*=\s*'(.*)'\s*(?:#.*)?$")
_ABOUT_RECOVERY = ("restore_command", "archive_mode", "archive_command")
_LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}")
#: a restored cluster needs room to replay
_SPARE_BYTES = 64 * 1024 * 1024


def target_options(target: Facts | None) -> list[str]:
    """Return pgBackRest's options for a recovery target. Raises Refused for one that nobody could mean.

    A time has to name its zone; PostgreSQL would take the server's.
    """
    if not target:
        return ["--type=default"]
    given = {name: target[name] for name in ("time", "lsn", "name", "xid") if target.get(name)}
    if target.get("immediate"):
        given["immediate"] = True
    if len(given) != 1:
        cause = f"it names {', '.join(given) or 'nothing'}"
        raise Refused(failed("restore to", "a target", cause, "Give one of time, lsn, name, xid, immediate."))
    ((kind, value),) = given.items()
    options = [f"--type={kind}", f"--target-action={target.get('action') or 'pause'}"]
    if kind == "time":
        value = _moment(value).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    if kind == "lsn" and not _LSN.fullmatch(str(value)):
        raise Refused(
            failed("restore to", f"LSN {value}", "it is no position", "Write it as PostgreSQL does: 0/3000000.")
        )
    options += [] if kind == "immediate" else [f"--target={value}"]
    options += ["--target-exclusive"] if target.get("exclusive") else []
    return options + ([f"--target-timeline={target['timeline']}"] if target.get("timeline") else [])


def _moment(text: str) -> dt.datetime:
    try:
        moment = from_iso(str(text))
    except ValueError as error:
        remedy = "Write it as 2026-11-23T10:31:00Z."
        raise Refused(failed("restore to", f"time {text}", error, remedy)) from None
    return moment.astimezone(dt.UTC)


def choose(entry: Facts, label: str | None, target: Facts | None) -> Facts:
    """Return the backup to begin from: the one that is named, else the newest that ended before the target.

    pgBackRest would take the newest for a time that is before every backup; then recovery could not reach the target.
    """
    backups = sound(entry)
    what = f"repository {entry['name']}"
    if label:
        for one in entry["backups"]:
            if one["label"] == label:
                return one
        labels = ", ".join(one["label"] for one in backups) or "none"
        raise Refused(failed("find", f"backup {label} in {what}", f"it has {labels}", "Name one of these."))
    if not backups:
        raise Refused(failed("restore from", what, "it holds no sound backup", "Name another repository."))
    if target and target.get("time"):
        moment = _moment(target["time"])
        backups = [one for one in backups if from_iso(one["stopped"]) <= moment]
    elif target and target.get("lsn"):
        backups = [one for one in backups if _number(one["lsn_stop"]) <= _number(target["lsn"])]
    if not backups:
        first = sound(entry)[0]
        cause = f"its first backup ended at {first['stopped']}, {first['lsn_stop']}"
        raise Refused(failed("restore from", what, cause, "Choose a later target, or another repository."))
    return backups[-1]


def _number(lsn: str | None) -> int:
    high, _slash, low = (lsn or "0/0").partition("/")
    return (int(high, 16) << 32) + int(low or "0", 16)


def require_beside(backrest: Backrest, directory: Path) -> None:
    """Raise Refused unless the directory is empty or absent, absolute, and neither in nor above the live cluster."""
    if not directory.is_absolute():
        raise Refused(failed("restore into", str(directory), "it is relative", "Give an absolute path."))
    place, live = Path(os.path.realpath(directory)), Path(os.path.realpath(backrest.pg_path))
    if place == live or live in place.parents or place in live.parents:
        remedy = "A restore goes beside: give an empty directory elsewhere."
        raise Refused(failed("restore into", str(directory), f"{live} is the live data directory", remedy))
    if Postmaster(place).pid() is not None:
        raise Refused(failed("restore into", str(directory), "a server runs in it", "Give an empty directory."))
    if directory.is_dir() and any(directory.iterdir()):
        raise Refused(failed("restore into", str(directory), "it is not empty", "Give an empty directory."))
    if directory.exists() and not directory.is_dir():
        raise Refused(failed("restore into", str(directory), "it is no directory", "Give an empty directory."))


def require_room(directory: Path, needed: int) -> None:
    """Raise NoRoom where the file system has not so many bytes free."""
    place = next(one for one in (directory, *directory.parents) if one.exists())
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    if free < needed + _SPARE_BYTES:
        cause = f"{needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free"
        raise NoRoom(failed("restore into", str(directory), cause, "Make room."), error_kind="NoRoom")


def restore(
    backrest: Backrest, repository: Repository, backup: Facts, directory: Path, target: Facts | None,
    processes: int, timeout: float, tell: Tell | None, delta: bool = False,
) -> Facts:  # fmt: skip
    """Fill the directory. Raises RecoveryError; what is in the directory then is no cluster: pg_control comes last.

    With `delta` it holds an earlier restore: files whose size and time are still the backup's stay as they are.
    """
    options = [*target_options(target), *(["--delta", "--force"] if delta else [])]
    if not directory.exists():
        directory.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(directory, backrest.uid, backrest.gid)
    directory.chmod(0o700)
    progress = Progress(f"pg_backrest restore from {repository.name}", backup["bytes"], tell)
    started = time.monotonic()
    backrest.run(
        "restore", f"backup {backup['label']} from {repository} into {directory}", "restore", repository.option,
        f"--set={backup['label']}", f"--pg1-path={directory}", f"--tablespace-map-all={directory}.tablespaces",
        "--archive-mode=off", f"--process-max={processes}", *options, timeout=timeout, watch=progress,
    )  # fmt: skip
    seconds = time.monotonic() - started
    return {
        "directory": str(directory),
        "label": backup["label"],
        "repository": repository.name,
        "bytes": backup["bytes"],
        "seconds": round(seconds, 3),
        "bytes_per_second": round(backup["bytes"] / seconds) if seconds else None,
        "processes": processes,
        "recovery": _recovery(directory),
    }


def _recovery(directory: Path) -> dict[str, str]:
    """Return the settings about recovery as the restored files have them: the last of each name counts."""
    found: dict[str, str] = {}
    for line in (directory / "postgresql.auto.conf").read_text(encoding="utf-8", errors="replace").splitlines():
        match = _SETTING.match(line.strip())
        if match and (match[1] in _ABOUT_RECOVERY or match[1].startswith("recovery_target")):
            found[match[1]] = match[2]
    return found
