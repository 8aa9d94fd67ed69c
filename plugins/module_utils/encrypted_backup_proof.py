# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove an encrypted backup: decrypt every file in memory and hold it against the index and its own name.

What is decrypted lives in memory, one item at a time; what comes out are names and reasons.

PRIVATE to the collection.
"""

from __future__ import annotations

import hmac
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .age_files import Identities, NotOpened
from .encrypted_backup_index import INDEX, SEALED, Entry, Index, digest
from .encrypted_backup_item import Item, parse
from .errors import RecoveryError, failed

#: Says what is wrong with an item's content, in words that hold nothing of it.
Examine = t.Callable[[Item], list[str]]


@dataclass
class Proof:
    """What was found. `entries` are all of the index; `sound` those of them that can be restored."""

    problems: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    sound: set[str] = field(default_factory=set)

    @property
    def outcome(self) -> str:
        """Return passed, failed or unverified."""
        return "failed" if self.problems else "unverified" if self.unverified else "passed"


class Backup:
    """An encrypted backup's directory, opened with an identity file."""

    def __init__(self, directory: Path, index: Index, identities: Identities, examine: Examine) -> None:
        self.directory = directory
        self.index = index
        self._identities = identities
        self._examine = examine

    @classmethod
    def open(cls, directory: Path, identities: Identities, examine: Examine) -> Backup:
        """Read the index. Raises RecoveryError where there is none."""
        index = Index.read(directory)
        if index is None:
            cause = "there is no index" if directory.is_dir() else "there is no such directory"
            remedy = f"Without {INDEX} it is no finished backup: take another recovery point, or back up again."
            raise RecoveryError(failed("read", f"the backup in {directory}", cause, remedy))
        return cls(directory, index, identities, examine)

    def prove(self) -> Proof:
        """Check the index, every file, and that there is nothing else."""
        proof = Proof(entries=self.index.entries)
        if not set(self._identities.recipients) & set(self.index.recipients):
            mine, theirs = (", ".join(one.recipients) for one in (self._identities, self.index))
            proof.problems.append(
                f"wrong identity: {self._identities.path} belongs to {mine}, the backup is encrypted to {theirs}"
            )
        proof.problems += self._problems_of_index()
        for entry in self.index.entries:
            problems = self.problems_of(entry)
            proof.problems += [f"{entry.path}: {problem}" for problem in problems]
            if not problems:
                proof.sound.add(entry.path)
        proof.problems += [f"{name}: extra: the index does not name it" for name in self._extra()]
        if not self.index.entries:
            proof.problems.append(f"{INDEX}: empty: nothing is backed up")
        return proof

    def problems_of(self, entry: Entry) -> list[str]:
        """Say what is wrong with one file, most telling first."""
        try:
            data = self._data(entry)
        except RecoveryError as error:
            return [str(error)]
        intact = digest(data) == entry.digest
        try:
            item = parse(self._identities.decrypt(data, entry.file))
        except NotOpened as error:
            return [_unopened(entry, data, intact, error)]
        except RecoveryError as error:
            return [f"changed: {error}"]
        return self._problems_of_item(entry, item, intact)

    def item(self, entry: Entry) -> Item:
        """Decrypt one item that problems_of() found nothing wrong with. Raises RecoveryError otherwise."""
        data = self._data(entry)
        if digest(data) != entry.digest:
            raise RecoveryError(f"{entry.path}: changed: it is not the file that was proven")
        item = parse(self._identities.decrypt(data, entry.file))
        if problems := self._problems_of_item(entry, item, True):
            raise RecoveryError(f"{entry.path}: {problems[0]}")
        return item

    def compare(self, live: t.Iterable[Item], proof: Proof, within: t.Callable[[Entry], bool]) -> None:
        """Add to the proof where the backup and what is live differ. What differs in a value is not said."""
        entries, seen = self.index.by_path(), set()
        for item in live:
            seen.add(item.path)
            if item.path not in entries:
                proof.problems.append(f"{item.path}: not backed up: it is live, and the index does not name it")
            elif item.path in proof.sound and not self._equals(entries[item.path], item):
                proof.problems.append(f"{item.path}: stale: what is live is not what was backed up")
        for path in sorted(set(filter(lambda one: within(entries[one]), entries)) - seen):
            proof.problems.append(f"{path}: stale: it is backed up, and is live no more")

    def _equals(self, entry: Entry, item: Item) -> bool:
        return hmac.compare_digest(self.item(entry).secret_bytes(), item.secret_bytes())

    def _data(self, entry: Entry) -> bytes:
        try:
            return (self.directory / entry.file).read_bytes()
        except FileNotFoundError:
            raise RecoveryError("missing: there is no such file") from None
        except OSError as error:
            raise RecoveryError(f"unreadable: {error.strerror}") from None

    def _problems_of_item(self, entry: Entry, item: Item, intact: bool) -> list[str]:
        if item.path != entry.path:
            return [f"swapped: the file holds {item.path}"]
        problems = [
            f"tampered index: {name} is not what the encrypted file says"
            for name in ("kind", "version", "facts")
            if getattr(item, name) != getattr(entry, name)
        ]
        if problems and not intact:
            return ["stale: the file holds another version than the one that the index names"]
        if not intact:
            problems.append("changed: it decrypts, and is not the file that the index names")
        return problems + self._examine(item)

    def _problems_of_index(self) -> list[str]:
        try:
            data = (self.directory / SEALED).read_bytes()
        except FileNotFoundError:
            return [f"{SEALED}: missing: nothing vouches for {INDEX}"]
        except OSError as error:
            return [f"{SEALED}: unreadable: {error.strerror}"]
        intact = digest(data) == self.index.sealed
        try:
            sealed = Index.parse(self._identities.decrypt(data, SEALED), SEALED)
        except NotOpened as error:
            return [f"{SEALED}: {'' if intact else 'changed: '}{error}"]
        except RecoveryError as error:
            return [f"{SEALED}: changed: {error}"]
        return _differences(self.index, sealed) or ([] if intact else [f"{SEALED}: changed: {INDEX} names another"])

    def _extra(self) -> list[str]:
        known = {entry.file for entry in self.index.entries} | {INDEX, SEALED}
        found = (path.relative_to(self.directory).as_posix() for path in self.directory.rglob("*") if not path.is_dir())
        return sorted(name for name in found if name not in known)


def _unopened(entry: Entry, data: bytes, intact: bool, error: NotOpened) -> str:
    if intact:
        return str(error)
    if len(data) < entry.size:
        return f"truncated: {len(data)} of {entry.size} bytes are there"
    return f"changed: its {len(data)} bytes are not those of the index, and do not decrypt"


def _differences(index: Index, sealed: Index) -> list[str]:
    """Name what somebody changed in index.json after it was written."""
    if index.body() == sealed.body():
        return []
    mine, theirs = index.by_path(), sealed.by_path()
    told = [f"tampered index: {path} was added" for path in sorted(set(mine) - set(theirs))]
    told += [f"tampered index: {path} was taken out" for path in sorted(set(theirs) - set(mine))]
    told += [
        f"tampered index: {path} was changed" for path in sorted(mine) if theirs.get(path, mine[path]) != mine[path]
    ]
    return told or ["tampered index: its time or its recipients were changed"]
