# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checksums of files and trees: by all cores, in constant memory, whatever the size of a file.

Files are read into one buffer a thread and not mapped: a mapped file that somebody truncates kills the process that
reads it, and its pages count as this process's memory.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import threading
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .checksums_model import ALGORITHMS, CHANGING, UNREADABLE, VANISHED, BadFile, FileSum, new_hasher
from .checksums_paths import to_bytes, written
from .checksums_pool import Pool, Stopped, cores
from .checksums_progress import TELL_SECONDS, Meter, Tell
from .checksums_tree import Entry, no_file, stamp_of, walk
from .errors import RecoveryError

__all__ = ["ALGORITHMS", "BadFile", "Examined", "FileSum", "examine_tree", "hash_file", "hash_tree"]

#: bytes; what fits the cores' caches is fastest
_BUFFER = 1 << 20
_local = threading.local()


class Known(t.Protocol):
    """Sums from an earlier run that was interrupted."""

    def get(self, entry: Entry) -> FileSum | None:
        """Return the sum of a file that has not changed since; None where that is not certain."""

    def put(self, entry: Entry, found: FileSum) -> None:
        """Remember the sum of a file."""


@dataclass
class Examined:
    """What a tree or prefix holds: sums in the order of paths, and what could not be summed."""

    files: list[FileSum]
    problems: list[BadFile]
    #: bytes that were read in this run, and files whose sums an earlier run had left
    hashed_bytes: int = 0
    kept_files: int = 0


def hash_file(
    path: str | os.PathLike[str],
    algorithm: str = "sha256",
    counted: t.Callable[[int], None] | None = None,
    stopping: threading.Event | None = None,
    threads: int = 1,
) -> FileSum:
    """Return the sum of one regular file; links are not followed.

    `counted` gets the bytes as they are hashed. A file that changes meanwhile is hashed once more. Raises BadFile
    where it cannot be read, changes again, or is no file; Stopped once `stopping` is set.
    """
    return _hash(os.fspath(path), to_bytes(path), algorithm, counted or _ignore, stopping or threading.Event(), threads)


def hash_tree(
    root: Path, algorithm: str = "sha256", workers: int | None = None, progress: Tell | None = None
) -> list[FileSum]:
    """Return the sums of all files below `root`, in the order of their paths' bytes.

    `progress` gets a line every few seconds, in the caller's thread. Raises RecoveryError naming what in the tree
    cannot be hashed: links, sockets, pipes, devices, files that cannot be read or that change meanwhile.
    """
    examined = examine_tree(root, algorithm, workers, progress)
    require_whole(f"tree {written(root)}", examined.problems)
    return examined.files


def require_whole(what: str, problems: t.Sequence[BadFile]) -> None:
    """Raise RecoveryError naming the first of the problems; `problems` of the error has all of them."""
    if problems:
        names = sorted(str(one) for one in problems)
        told = "; ".join(name.rstrip(".") for name in names[:5])
        more = f"; and {len(names) - 5} more" if len(names) > 5 else ""
        raise RecoveryError(f"Failed to hash {what}: {told}{more}.", problems=names)


def examine_tree(
    root: Path,
    algorithm: str = "sha256",
    workers: int | None = None,
    progress: Tell | None = None,
    known: Known | None = None,
    skip: t.Collection[Path] = (),
) -> Examined:
    """Return what is below `root`, but the files `skip`: sums, and problems in place of errors."""
    listing = walk(root, skip)
    new_hasher(algorithm)
    top = os.path.realpath(to_bytes(root))
    few = len(listing.entries) < cores()
    meter = Meter(written(root), sum(one.size for one in listing.entries), len(listing.entries), progress)

    def work(entry: Entry) -> FileSum:
        name = os.path.join(top, to_bytes(entry.path))
        return _hash(entry.path, name, algorithm, meter.add, pool.stopping, cores() if few else 1)

    pool: Pool[Entry, FileSum] = Pool(work, workers or cores())
    examined = gather(pool, listing.entries, meter, known)
    examined.problems += listing.problems
    return examined


def gather(
    pool: Pool[Entry, FileSum], entries: t.Iterable[Entry], meter: Meter, known: Known | None = None
) -> Examined:
    """Let the pool work on the entries, largest first, and collect what comes."""
    files: list[FileSum] = []
    problems: list[BadFile] = []
    todo: list[Entry] = []
    for entry in entries:
        kept = known.get(entry) if known else None
        if kept is None:
            todo.append(entry)
        else:
            files.append(kept)
            meter.keep(entry.size)
    kept_files = len(files)
    todo.sort(key=lambda one: one.size, reverse=True)
    for entry, found in pool.results(todo, meter.tell, TELL_SECONDS):
        meter.files += 1
        if isinstance(found, BadFile):
            problems.append(found)
        elif isinstance(found, RecoveryError):
            raise found
        else:
            files.append(found)
            if known:
                known.put(entry, found)
    files.sort(key=lambda one: to_bytes(one.path))
    return Examined(files, problems, meter.hashed, kept_files)


def _hash(
    path: str,
    name: bytes,
    algorithm: str,
    counted: t.Callable[[int], None],
    stopping: threading.Event,
    threads: int,
) -> FileSum:
    """Hash the file `name`, which is called `path`."""
    try:
        for _attempt in range(2):
            found = _once(path, name, new_hasher(algorithm, threads), counted, stopping)
            if found is not None:
                return found
    except FileNotFoundError as error:
        raise BadFile(path, VANISHED, "it vanished before it was read", "Run again.") from error
    except OSError as error:
        cause = f"it cannot be read ({error.strerror or error})"
        raise BadFile(path, UNREADABLE, cause, "Run as a user who may read it, and check the disk.") from error
    raise BadFile(path, CHANGING, "it changed twice while it was read", "Stop what writes to it, then run again.")


def _once(
    path: str, name: bytes, hasher: t.Any, counted: t.Callable[[int], None], stopping: threading.Event
) -> FileSum | None:
    """Hash it once; None when it changed meanwhile. Raises OSError and BadFile."""
    bad = no_file(path, os.lstat(name).st_mode)
    if bad is not None:  # opening a pipe would wait for a writer, opening a device may have effects
        raise bad
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        bad = no_file(path, before.st_mode)
        if bad is not None:
            raise bad
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        size, buffer = 0, _buffer()
        # No further than it was long: a file that grows as fast as it is read has no end.
        while size <= before.st_size and (count := os.readv(descriptor, [buffer])):
            if stopping.is_set():
                raise Stopped
            hasher.update(buffer[:count])
            size += count
            counted(count)
        if size == before.st_size and stamp_of(os.fstat(descriptor)) == stamp_of(before):
            return FileSum(path, size, hasher.hexdigest())
    finally:
        os.close(descriptor)
    counted(-size)
    return None


def _buffer() -> memoryview:
    """Return this thread's buffer."""
    found: memoryview | None = getattr(_local, "buffer", None)
    if found is None:
        found = _local.buffer = memoryview(bytearray(_BUFFER))
    return found


def _ignore(_count: int) -> None:
    """Count nothing."""
