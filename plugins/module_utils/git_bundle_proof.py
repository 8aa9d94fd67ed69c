# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove a bundle as it would be used: verified where nothing else is, cloned, checked and compared ref by ref.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import typing as t
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import RecoveryError, TimedOut, failed
from .git_bundle_repository import Git, head_of, refs_of

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Facts:
    """What a bundle holds, as the file beside it says. `size` in bytes, `digest` SHA-256 of the bundle."""

    created: str
    repository: str
    object_format: str
    head: dict[str, str]
    refs: dict[str, str]
    objects: int
    size: int
    digest: str

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        return json.dumps({"version": 1, **asdict(self)}, indent=1, sort_keys=True).encode() + b"\n"

    @classmethod
    def read(cls, path: Path) -> Facts:
        """Read the file. Raises RecoveryError."""
        remedy = "Take another recovery point, or make the bundle again."
        try:
            read = json.loads(path.read_bytes())
            version = read.pop("version")
            facts = cls(**read)
        except FileNotFoundError:
            raise RecoveryError(failed("read", str(path), "there is no such file", remedy)) from None
        except OSError as error:
            raise RecoveryError(failed("read", str(path), error.strerror or error, remedy)) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecoveryError(failed("read", str(path), f"it is no bundle's facts ({error})", remedy)) from error
        if version != 1 or not facts.refs:
            raise RecoveryError(failed("read", str(path), "its version or its refs are none", remedy))
        return facts


def size_and_digest(path: Path) -> tuple[int, str]:
    """Return a file's bytes and SHA-256, in constant memory."""
    total, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            total += len(block)
            digest.update(block)
    return total, digest.hexdigest()


def clone(bundle: Path, object_format: str, scratch: Path, timeout: float) -> Git:
    """Restore a bundle into a bare repository below `scratch`, and check every object. Raises RecoveryError."""
    scratch = Path(tempfile.mkdtemp(dir=scratch))
    empty = scratch / "empty"
    Git(scratch, timeout).line("init", "-q", "--bare", f"--object-format={object_format}", str(empty))
    # In a repository without objects: what the bundle needs and does not have is not found by chance.
    Git(empty, timeout).line("bundle", "verify", str(bundle))
    Git(scratch, timeout).line("clone", "-q", "--mirror", "--", str(bundle), str(scratch / "clone"))
    restored = Git(scratch / "clone", timeout)
    restored.line("fsck", "--full", "--no-dangling", "--no-progress")
    return restored


def count_objects(git: Git) -> int:
    """Return how many objects a repository holds."""
    found = dict(line.split(": ", 1) for line in git.lines("count-objects", "-v"))
    return int(found["count"]) + int(found["in-pack"])


def prove(bundle: Path, facts: Facts, scratch: Path, timeout: float) -> tuple[list[str], Git | None]:
    """Return what is wrong with a bundle, and its clone if there is one. Raises TimedOut: nothing is known then."""
    try:
        size, digest = size_and_digest(bundle)
    except FileNotFoundError:
        return ["missing: there is no bundle"], None
    except OSError as error:
        return [f"unreadable: {error.strerror}"], None
    problems = []
    if size < facts.size:
        problems.append(f"truncated: {size} of {facts.size} bytes are there")
    elif digest != facts.digest:
        problems.append(f"changed: its {size} bytes are not those that were written")
    try:
        restored = clone(bundle, facts.object_format, scratch, timeout)
        problems += differences(facts.refs, refs_of(restored), "the bundle")
        head, objects = head_of(restored), count_objects(restored)
    except TimedOut:
        raise
    except RecoveryError as error:
        return [*problems, _named(str(error))], None
    if head["object"] != facts.head["object"]:
        problems.append(f"HEAD: {head['object'] or 'nothing'} in place of {facts.head['object'] or 'nothing'}")
    if objects != facts.objects:
        problems.append(f"objects: {objects} in place of {facts.objects}")
    return problems, restored


def differences(wanted: t.Mapping[str, str], found: t.Mapping[str, str], where: str) -> list[str]:
    """Name every ref that is missing, extra or different."""
    told = [f"missing ref: {name} is not in {where}" for name in sorted(set(wanted) - set(found))]
    told += [f"extra ref: {name} is in {where}" for name in sorted(set(found) - set(wanted))]
    both = sorted(set(wanted) & set(found))
    return told + [
        f"different ref: {name} is {found[name]} in {where}, not {wanted[name]}"
        for name in both
        if wanted[name] != found[name]
    ]


def _named(words: str) -> str:
    if "prerequisite" in words:
        return f"prerequisite missing: it is no whole bundle: {words}"
    return f"not restorable: {words}"
