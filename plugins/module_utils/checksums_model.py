# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hashing is about: algorithms, the sum of a file, and files that cannot be summed.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

from .checksums_paths import written
from .errors import RecoveryError, failed, require

try:
    import blake3 as _blake3

    blake3: t.Any = _blake3
except ImportError:  # new_hasher() names the missing library
    blake3 = None

#: each makes 64 hexadecimal digits
ALGORITHMS = ("sha256", "blake3")

CHANGING, UNREADABLE, LINK, SPECIAL, VANISHED, NAME = "changing", "unreadable", "link", "special", "vanished", "name"


@dataclass(frozen=True)
class FileSum:
    """What a file or object holds: `path` in its tree (surrogateescape), `size` in bytes, `digest` in hex."""

    path: str
    size: int
    digest: str
    #: version of the object that was read, in a bucket that keeps versions
    version_id: str | None = None

    def as_dict(self) -> dict[str, t.Any]:
        """Return it as a manifest holds it; the path as it is written down."""
        version = {} if self.version_id is None else {"version_id": self.version_id}
        return {"path": written(self.path), "size": self.size, "digest": self.digest, **version}


class BadFile(RecoveryError):
    """A file that could not be summed; `kind` is one of the constants of this module."""

    def __init__(self, path: str, kind: str, cause: str, remedy: str = "", directory: bool = False) -> None:
        super().__init__(failed("hash", written(path), cause, remedy))
        self.path = path
        self.kind = kind
        self.directory = directory

    def covers(self, path: str) -> bool:
        """Return whether nothing is known about `path` because of this."""
        return path == self.path or (self.directory and (not self.path or path.startswith(f"{self.path}/")))


def new_hasher(algorithm: str, threads: int = 1) -> t.Any:
    """Return a fresh hash object. Raises RecoveryError for an unknown algorithm and where its library is missing."""
    if algorithm == "sha256":
        return hashlib.sha256()
    if algorithm == "blake3":
        require(blake3, "blake3")
        return blake3.blake3(max_threads=threads)
    raise RecoveryError(failed("hash with", algorithm, "it is not known", f"Use one of {', '.join(ALGORITHMS)}."))
