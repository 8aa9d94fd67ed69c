# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What files there are in a local tree. Links, sockets, pipes and devices are named, never opened.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import stat
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .checksums_model import LINK, SPECIAL, UNREADABLE, VANISHED, BadFile
from .checksums_paths import to_bytes, to_text, written
from .errors import Refused, failed

Stamp = tuple[t.Any, ...]

_SPECIAL = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


class Entry(t.NamedTuple):
    """A file that is to be hashed; `stamp` changes whenever its content may have changed."""

    path: str
    size: int
    stamp: Stamp


@dataclass
class Listing:
    """The files of a tree, and what there is in it that cannot be hashed."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[BadFile] = field(default_factory=list)


def stamp_of(about: os.stat_result) -> Stamp:
    """Return what tells that a file was written to: the change time too, which no program can set back."""
    return (about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, about.st_dev)


def walk(root: Path, skip: t.Collection[Path] = ()) -> Listing:
    """Return what is below `root`, without the files `skip`. Raises Refused where it is no directory."""
    if not root.is_dir():
        cause = "it is no directory" if root.exists() else "there is no such directory"
        raise Refused(failed("hash", f"tree {root}", cause, "Name the directory that holds the files."))
    top = os.path.realpath(to_bytes(root))
    left_out = {os.path.realpath(to_bytes(path)) for path in skip}
    found, directories = Listing(), [b""]
    while directories:
        below = directories.pop()
        try:
            with os.scandir(os.path.join(top, below)) as entries:
                for entry in entries:
                    if entry.path not in left_out:
                        _take(entry, top, below, found, directories)
        except OSError as error:
            found.problems.append(_unreadable(to_text(below.rstrip(b"/")), error, directory=True))
    return found


def no_file(path: str, mode: int) -> BadFile | None:
    """Return why what has this mode is not hashed; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISLNK(mode):
        return _link(path, "")
    cause = f"it is {_SPECIAL.get(stat.S_IFMT(mode), 'no regular file')}"
    return BadFile(path, SPECIAL, cause, "Keep it out of the tree.")


def _link(path: str, whither: str) -> BadFile:
    remedy = "Put the file itself in its place, or keep links out of the tree."
    return BadFile(path, LINK, f"it is a symbolic link{whither}", remedy)


def _take(entry: os.DirEntry[bytes], top: bytes, below: bytes, found: Listing, directories: list[bytes]) -> None:
    name = below + entry.name
    path = to_text(name)
    try:
        if entry.is_dir(follow_symlinks=False):
            directories.append(name + b"/")
            return
        about = entry.stat(follow_symlinks=False)
        bad = no_file(path, about.st_mode)
        if bad is not None and bad.kind == LINK:
            where = "inside" if os.path.realpath(entry.path).startswith(top + b"/") else "out of"
            bad = _link(path, f" to {written(to_text(os.readlink(entry.path)))} ({where} the tree)")
    except OSError as error:
        found.problems.append(_unreadable(path, error))
        return
    if bad is not None:
        found.problems.append(bad)
    else:
        found.entries.append(Entry(path, about.st_size, stamp_of(about)))


def _unreadable(path: str, error: OSError, directory: bool = False) -> BadFile:
    if isinstance(error, FileNotFoundError):
        return BadFile(path, VANISHED, "it vanished while the tree was read", "Run again.", directory)
    cause = f"it cannot be read ({error.strerror or error})"
    return BadFile(path, UNREADABLE, cause, "Run as a user who may read it.", directory)
