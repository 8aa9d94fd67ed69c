# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directory that keeps what was saved: private, each file whole or not there, the manifest last.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import typing as t
from pathlib import Path

from .errors import RecoveryError, failed

MANIFEST = "manifest.json"
_IDENTITY = "identity.json"
_PIECE = 1 << 20


class Directory:
    """`<directory>/<incident>/<region>-<cluster>`, mode 0700; another divergence of that cluster gets one beside it."""

    def __init__(self, base: Path, name: str, identity: t.Mapping[str, t.Any]) -> None:
        self.identity = dict(identity)
        suffix = re.sub(r"[^0-9A-F]+", "-", f"{identity['timeline']}-{identity['fork_lsn']}")
        self.path = base / name
        if self._of(self.path) not in (None, self.identity):
            self.path = base / f"{name}-{suffix}"

    def manifest(self) -> dict[str, t.Any] | None:
        """Return the manifest of a run that was completed; None without one."""
        return _json(self.path / MANIFEST)

    def prepare(self) -> None:
        """Make the directory and say whose it is."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for path in (self.path, self.path / "rows", self.path / "wal"):
                path.mkdir(mode=0o700, exist_ok=True)
                path.chmod(0o700)
            self.write(_IDENTITY, self.identity)
        except OSError as error:
            raise self.trouble(error) from error

    def write(self, name: str, content: t.Mapping[str, t.Any]) -> Path:
        """Write one JSON file."""
        with self.open(name) as file:
            file.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
        return self.path / name

    @contextlib.contextmanager
    def open(self, name: str) -> t.Iterator[t.IO[bytes]]:
        """Open a file that takes its name only once it is complete and on disk."""
        path = self.path / name
        part = path.with_name(f"{path.name}.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise self.trouble(error) from error
        finally:
            part.unlink(missing_ok=True)

    def copy(self, source: Path) -> None:
        """Copy one WAL file."""
        with source.open("rb") as reading, self.open(f"wal/{source.name}") as writing:
            while piece := reading.read(_PIECE):
                writing.write(piece)

    def require_room(self, needed: int) -> None:
        """Raise RecoveryError when `needed` bytes do not fit."""
        about = os.statvfs(self.path)
        free = about.f_bavail * about.f_frsize
        if free < needed:
            cause = f"{needed >> 20} MiB of WAL do not fit, {free >> 20} MiB are free"
            raise RecoveryError(failed("save into", str(self.path), cause, "Make room, or give another directory."))

    def finish(self, manifest: dict[str, t.Any]) -> dict[str, t.Any]:
        """Hash all files, write the manifest, and return it."""
        files = {str(path.relative_to(self.path)): _hashed(path) for path in self._files()}
        complete = {**manifest, "bytes": sum(size for size, _sum in files.values())}
        complete["files"] = {name: {"bytes": size, "sha256": sum_} for name, (size, sum_) in sorted(files.items())}
        self.write(MANIFEST, complete)
        return complete

    def verify(self, manifest: t.Mapping[str, t.Any]) -> list[str]:
        """Return the names of files that are not as the manifest says."""
        wrong = []
        for name, said in manifest["files"].items():
            path = self.path / name
            if not path.is_file() or _hashed(path) != (said["bytes"], said["sha256"]):
                wrong.append(name)
        return wrong

    def trouble(self, error: OSError) -> RecoveryError:
        """Return the error of this directory for one of the operating system."""
        remedy = "Make room, or give a directory that this user can write to."
        return RecoveryError(failed("save into", str(self.path), error.strerror or error, remedy))

    def _files(self) -> t.Iterator[Path]:
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and path.name not in (MANIFEST, f"{MANIFEST}.part"):
                yield path

    @staticmethod
    def _of(path: Path) -> dict[str, t.Any] | None:
        return _json(path / _IDENTITY)


def file_name(*names: str) -> str:
    """Return a file's name for a database, schema and table: what is not plain in them is percent-encoded."""
    plain = [re.sub(r"[^A-Za-z0-9_-]", _percent, name) for name in names]
    joined = ".".join(plain)
    if len(joined) > 200:
        joined = f"{joined[:180]}~{hashlib.sha256(joined.encode()).hexdigest()[:16]}"
    return f"{joined}.jsonl"


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))


def _hashed(path: Path) -> tuple[int, str]:
    total, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            total.update(piece)
            size += len(piece)
    return size, total.hexdigest()


def _json(path: Path) -> dict[str, t.Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        remedy = "Move it aside, then run again."
        raise RecoveryError(failed("read", str(path), error, remedy)) from error
    return found if isinstance(found, dict) else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
