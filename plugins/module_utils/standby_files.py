# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a data directory that are its region's own: configuration, certificates, logs.

pg_rewind and pg_basebackup bring the source's in their place, so they are set aside first and put back after.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path

from .errors import RecoveryError, failed

#: what is PostgreSQL's own state; everything else at the top of a data directory was put there by somebody
_STATE_FILES = ("PG_VERSION", "backup_manifest", "current_logfiles", "promote", "postgresql.auto.conf.tmp")
_STATE_PATTERNS = ("postmaster.*", "backup_label*", "tablespace_map*", "*.signal")
_STATE_DIRECTORIES = ("base", "global", "pg_*")
#: moved rather than copied: they may be large, and nothing depends on them
LOGS = ("log", "pg_log")


def own_entries(data: Path) -> list[str]:
    """Return the names of what is not PostgreSQL's own state, sorted."""
    return sorted(entry.name for entry in os.scandir(data) if not _is_state(entry))


def _is_state(entry: os.DirEntry[str]) -> bool:
    """Judge by name and kind: pg_hba.conf is configuration, pg_wal is state, be it a link to another disk or not."""
    if entry.is_dir():
        return entry.name not in LOGS and any(fnmatch(entry.name, one) for one in _STATE_DIRECTORIES)
    return entry.name in _STATE_FILES or any(fnmatch(entry.name, one) for one in _STATE_PATTERNS)


def set_aside(data: Path, saved: Path) -> None:
    """Copy the region's own files into a new directory `saved`; a copy that was begun before is made anew."""
    remove(saved)
    like = os.stat(data)
    saved.mkdir(mode=0o700)
    os.chown(saved, like.st_uid, like.st_gid)
    for name in own_entries(data):
        if name not in LOGS:
            _copy(data / name, saved / name)
    sync(saved)


def take_out(data: Path, saved: Path) -> None:
    """Take what was set aside out of the data directory: pg_rewind would have to replace it, and may not be able to."""
    for name in own_entries(data):
        if name in LOGS:
            (data / name).rename(saved / name)
        else:
            remove(data / name)


def _put_logs_back(saved: Path, data: Path) -> None:
    """Give the data directory the logs that were moved away, in place of the source's."""
    for name in LOGS:
        if (saved / name).is_dir():
            remove(data / name)
            (saved / name).rename(data / name)


def put_back(saved: Path, data: Path) -> list[str]:
    """Give the data directory the files that were set aside in place of the source's; return their names."""
    _put_logs_back(saved, data)
    names = sorted(os.listdir(saved))
    for name in own_entries(data):
        if name not in names and name not in LOGS:
            remove(data / name)
    for name in names:
        if not (data / name).is_dir() or (data / name).is_symlink():
            _copy(saved / name, data / f"{name}.dr-new")
            (data / f"{name}.dr-new").replace(data / name)
        else:
            remove(data / name)
            _copy(saved / name, data / name)
    return names


def remove(path: Path) -> None:
    """Remove what is ours, a file or a directory with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_empty(path: Path, uid: int, gid: int) -> None:
    """Make a directory for a program to fill that runs as its owner, who may not be allowed to make one there."""
    path.mkdir(mode=0o700)
    os.chown(path, uid, gid)


def size(path: Path) -> int:
    """Return the bytes of a directory's files; what goes away meanwhile does not count."""
    total = 0
    for directory, _directories, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except FileNotFoundError:
                continue
    return total


def sync(directory: Path) -> None:
    """Make a directory's entries durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def move(source: Path, target: Path) -> None:
    """Rename durably; both are of one filesystem. Raises RecoveryError, and never replaces anything."""
    try:
        if target.exists():
            raise FileExistsError(17, f"{target} exists")
        source.rename(target)
    except OSError as error:
        remedy = "See to the permissions of the directory above, then run the same command again."
        raise RecoveryError(failed("rename", f"{source} to {target}", error.strerror, remedy)) from error
    sync(target.parent)


def _copy(source: Path, target: Path) -> None:
    """Copy with owner, mode, times and links, as cp does it."""
    remove(target)
    done = subprocess.run(
        ["cp", "-a", "--", str(source), str(target)], capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise RecoveryError(failed("copy", f"{source} to {target}", done.stderr))
