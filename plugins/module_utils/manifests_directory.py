# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A directory of manifests: written beside and put in place as a whole, read with what its index promises.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import json
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

from .errors import RecoveryError, Refused, failed
from .manifests_model import Identity, Manifest
from .manifests_yaml import load_all

#: What was asked for and what is there; written last. The same state of a cluster gives the same bytes.
INDEX = "export.json"
_SUFFIXES = (".yaml", ".yml", ".json")


@contextlib.contextmanager
def staged(target: Path) -> t.Iterator[Path]:
    """Give a new directory of mode 0700 beside `target`, for as long as the block lasts, to nobody else meanwhile.

    What killed runs left is removed, and what they had moved away comes back. Raises Refused while another one writes.
    """
    parent = target.parent
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(target):
            _mend(target)
            stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.new-", dir=parent))
            try:
                yield stage
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    except OSError as error:
        remedy = "Name a directory whose parent can be written to, with room."
        raise RecoveryError(failed("write", f"manifests to {target}", error, remedy)) from error


@contextlib.contextmanager
def _alone(target: Path) -> t.Iterator[None]:
    with open(target.parent / f".{target.name}.lock", "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                failed("write", f"manifests to {target}", "another export writes there", "Wait until it has ended.")
            ) from None
        yield


def _mend(target: Path) -> None:
    """Undo what a run that was killed left half-way."""
    for old in sorted(target.parent.glob(f".{_literal(target.name)}.old-*")):
        if not target.exists() and (old / "was").exists():
            (old / "was").rename(target)
        shutil.rmtree(old, ignore_errors=True)
    for leftover in target.parent.glob(f".{_literal(target.name)}.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _literal(name: str) -> str:
    return "".join(f"[{one}]" if one in "*?[" else one for one in name)


def require_own(target: Path) -> None:
    """Raise Refused where a directory holds anything but an export: it would be replaced."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise Refused(failed("write", f"manifests to {target}", "it is no directory", "Name a directory."))
    if target.is_dir() and any(target.iterdir()) and not (target / INDEX).is_file():
        remedy = "Name a new directory, or empty this one."
        raise Refused(failed("write", f"manifests to {target}", f"it holds other files, and no {INDEX}", remedy))


def put_in_place(stage: Path, target: Path) -> None:
    """Make `stage` the target at once; the former one goes when the new one stands."""
    _sync(stage)
    if not target.exists():
        stage.rename(target)
        _sync_directory(target.parent)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old-", dir=target.parent))
    target.rename(old / "was")
    stage.rename(target)
    _sync_directory(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def write(stage: Path, path: str, data: bytes) -> None:
    """Write one file below a stage, mode 0600."""
    file = stage / path
    for directory in reversed(file.relative_to(stage).parents[:-1]):
        (stage / directory).mkdir(exist_ok=True, mode=0o700)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as out:
        out.write(data)


def write_index(stage: Path, facts: t.Mapping[str, t.Any]) -> None:
    """Write the index: canonical, without a time and without the cluster's name."""
    write(stage, INDEX, json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n")


def files_of(root: Path) -> list[str]:
    """Return the files below a directory, relative, sorted; links are no files here."""
    if not root.is_dir():
        return []
    found = (Path(where, name) for where, _dirs, names in os.walk(root) for name in names)
    return sorted(str(file.relative_to(root)) for file in found if file.is_file() and not file.is_symlink())


def changes(stage: Path, target: Path) -> dict[str, str]:
    """Return what is different in `stage`: path -> added, changed or removed."""
    new, old = set(files_of(stage)), set(files_of(target))
    found = dict.fromkeys(new - old, "added") | dict.fromkeys(old - new, "removed")
    same = (path for path in new & old if filecmp.cmp(stage / path, target / path, shallow=False))
    return dict(sorted((found | dict.fromkeys((new & old) - set(same), "changed")).items()))


class Directory:
    """Manifests read from a directory: an export, or files that somebody wrote."""

    def __init__(self, root: Path) -> None:
        """Read all files. Raises RecoveryError where there is nothing to read, or more than one thing is one object."""
        self.root = root
        self.manifests: list[Manifest] = []
        self.problems: list[str] = []
        self.unverified: list[str] = []
        if not root.is_dir():
            remedy = "Name a directory with manifests: an export, or what a recovery point holds."
            raise RecoveryError(failed("read", f"manifests in {root}", "no such directory", remedy))
        files = files_of(root)
        self._read_index(set(files))
        for path in files:
            if path.endswith(_SUFFIXES) and path != INDEX:
                self._read(path)
        self._check_twice()
        if not self.manifests and not self.problems:
            raise RecoveryError(failed("read", f"manifests in {root}", "there is no manifest", "Name another one."))

    def _read(self, path: str) -> None:
        try:
            objects = load_all((self.root / path).read_bytes(), path)
        except (RecoveryError, OSError) as error:
            self.problems.append(str(error))
            return
        self.manifests += [Manifest(Identity.of(one), one, path) for one in objects]

    def _read_index(self, files: set[str]) -> None:
        """What an export says it holds has to be there; what it could not hold is told again."""
        if INDEX not in files:
            return
        remedy = f"Take the file from the recovery point, or remove it from {INDEX} as well."
        try:
            index = json.loads((self.root / INDEX).read_bytes())
            missing = sorted(set(index["files"]) - files)
            self.unverified += [f"not in the export: {one}" for one in index.get("unverified") or []]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.problems.append(failed("read", f"{INDEX} in {self.root}", f"{type(error).__name__}: {error}"))
            return
        self.problems += [failed("read", f"manifest {one}", "the file is missing", remedy) for one in missing]

    def _check_twice(self) -> None:
        seen: dict[Identity, str] = {}
        for one in self.manifests:
            if one.identity in seen:
                cause = f"it stands in {seen[one.identity]} and in {one.path}"
                self.problems.append(failed("read", str(one.identity), cause, "Remove one of them."))
            seen[one.identity] = one.path


def _sync(stage: Path) -> None:
    for path in files_of(stage):
        descriptor = os.open(stage / path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for where, _dirs, _names in os.walk(stage):
        _sync_directory(Path(where))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
