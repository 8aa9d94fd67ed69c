# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write items into a directory as age files, beside what is there already; nothing but ciphertext reaches the disk.

Each file is written beside its place and renamed; the index comes last. A run that is killed leaves an index that does
not fit its files, which a proof finds and the next run puts right.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .age_files import Recipients
from .clock import to_iso, utc_now
from .encrypted_backup_index import INDEX, SEALED, Entry, Index, digest
from .encrypted_backup_item import Item
from .errors import RecoveryError, Refused, failed

#: What may stand first in a path. Only below these is anything ever removed.
SOURCES = ("kubernetes", "secretsmanager", "ssm", "files")
_TEMPORARY = ".writing"


@dataclass
class Written:
    """What a run did, or in check mode would do; paths of items."""

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    index_written: bool = False

    @property
    def changed(self) -> bool:
        """True where anything on disk changed."""
        return bool(self.added or self.updated or self.removed or self.index_written)


def write(
    directory: Path, items: t.Iterable[Item], recipients: Recipients, kinds: t.Container[str], check_mode: bool
) -> Written:
    """Make the directory hold exactly `items`, one in memory at a time. Raises RecoveryError.

    An item whose version, facts and file are those of the index is left alone; other recipients rewrite all. A
    directory that holds items of other kinds than `kinds` is another backup's, and is refused.
    """
    before = _index_before(directory)
    if before and (others := sorted({entry.kind for entry in before.entries if entry.kind not in kinds})):
        cause = f"it holds another backup, of {', '.join(others)}"
        raise Refused(failed("write", f"the backup in {directory}", cause, "Name another directory."))
    if check_mode:
        return _write(directory, items, recipients, True)
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(directory):
            return _write(directory, items, recipients, False)
    except OSError as error:
        raise RecoveryError(failed("write", f"the backup in {directory}", error, "Make room, or allow it.")) from error


def _write(directory: Path, items: t.Iterable[Item], recipients: Recipients, check_mode: bool) -> Written:
    before = _index_before(directory)
    known = before.by_path() if before and before.recipients == recipients.names else {}
    present = set(before.by_path()) if before else set()
    done = Written()
    seen: set[str] = set()
    for item in items:
        if item.path in seen:
            raise Refused(failed("back up", item.path, "two sources give it the same name", "Rename one of them."))
        seen.add(item.path)
        old = known.get(item.path)
        if old and _same(old, item) and _holds(directory, old):
            done.unchanged.append(item.path)
            done.entries.append(old)
            continue
        (done.updated if item.path in present else done.added).append(item.path)
        data = recipients.encrypt(item.envelope())
        done.entries.append(Entry.of(item, data))
        if not check_mode:
            _put(directory / f"{item.path}.age", data)
    done.entries.sort(key=lambda entry: entry.path)
    kept = {entry.path for entry in done.entries}
    done.removed = sorted(present - kept)
    _seal(directory, before, recipients, done, check_mode)
    if not check_mode:
        _remove_others(directory, kept)
    return done


def _index_before(directory: Path) -> Index | None:
    """Return the index there is. One that cannot be read counts as none: everything is written anew."""
    with contextlib.suppress(RecoveryError):
        return Index.read(directory)
    return None


def _same(entry: Entry, item: Item) -> bool:
    return (entry.kind, entry.version, entry.facts) == (item.kind, item.version, item.facts)


def _seal(directory: Path, before: Index | None, recipients: Recipients, done: Written, check_mode: bool) -> None:
    """Write index.age, then index.json, unless both are there and say the same."""
    same = before is not None and (before.entries, before.recipients) == (done.entries, recipients.names)
    if same and before is not None and _digest_of(directory / SEALED) == before.sealed:
        return
    done.index_written = True
    if check_mode:
        return
    index = Index(to_iso(utc_now()), recipients.names, done.entries)
    data = recipients.encrypt(index.body())
    _put(directory / SEALED, data)
    _put(directory / INDEX, Index(index.created, index.recipients, index.entries, digest(data)).to_bytes())


def _holds(directory: Path, entry: Entry) -> bool:
    return _digest_of(directory / entry.file) == entry.digest


def _digest_of(path: Path) -> str:
    with contextlib.suppress(OSError):
        return digest(path.read_bytes())
    return ""


def _put(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(path.name + _TEMPORARY)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove_others(directory: Path, kept: set[str]) -> None:
    """Remove age files of items that are no more, and what an interrupted run left. Other files stay."""
    for source in SOURCES:
        for path in (directory / source).rglob("*"):
            name = path.relative_to(directory).as_posix()
            ours = name.endswith((".age", ".age" + _TEMPORARY))
            if ours and name.removesuffix(".age") not in kept and not path.is_dir():
                path.unlink()
    for name in (SEALED, INDEX):
        (directory / (name + _TEMPORARY)).unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(directory: Path) -> t.Iterator[None]:
    """Hold the directory against another run."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cause = "another run is writing there"
            raise Refused(failed("write", f"the backup in {directory}", cause, "Let it finish.")) from None
        yield
    finally:
        os.close(handle)
