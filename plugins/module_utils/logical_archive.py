# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kind of dump something is, of which database, and who wrote it: from its first bytes.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import RecoveryError, failed

_MAGIC = b"PGDMP"
_REMEDY = "Fetch another copy, or use another recovery point."
#: the last words of a plain dump; without them it was cut
TRAILER = b"-- PostgreSQL database dump complete"
_PLAIN_HEAD = b"-- PostgreSQL database dump"
#: archive formats of PostgreSQL 9.6 up to the newest one that is known
_OLDEST, _COMPRESSION_BYTE = (1, 12), (1, 15)


@dataclass(frozen=True)
class Archive:
    """One dump. `database` and the versions are None where a plain dump does not say them."""

    path: Path
    format: str
    database: str | None
    server_version: str | None
    dump_version: str | None

    @property
    def dump_major(self) -> int | None:
        """Major version of the pg_dump that wrote it."""
        found = re.match(r"\d+", self.dump_version or "")
        return int(found[0]) if found else None


def recognise(path: Path) -> Archive:
    """Return what kind of dump is at `path`: directory, custom or plain. Raises RecoveryError naming what is wrong."""
    head = path / "toc.dat" if path.is_dir() else path
    try:
        with head.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise RecoveryError(failed("read", f"the dump {path}", f"{error.strerror} ({head.name})", _REMEDY)) from error
    if start.startswith(_MAGIC):
        return _header(path, "directory" if path.is_dir() else "custom", start)
    if not path.is_dir() and _PLAIN_HEAD in start[:200]:
        return _plain(path, start)
    raise RecoveryError(failed("read", f"the dump {path}", f"{head.name} does not begin as a dump does", _REMEDY))


def _plain(path: Path, start: bytes) -> Archive:
    text = start.decode("utf-8", "replace")
    server = re.search(r"^-- Dumped from database version (.+)$", text, re.M)
    tool = re.search(r"^-- Dumped by pg_dump version (.+)$", text, re.M)
    return Archive(path, "plain", None, server[1] if server else None, tool[1] if tool else None)


def _header(path: Path, kind: str, start: bytes) -> Archive:
    try:
        reader = _Reader(start, len(_MAGIC))
        version = reader.byte(), reader.byte()
        reader.byte()  # revision
        reader.int_bytes = reader.byte()
        reader.byte()  # bytes of an offset
        reader.byte()  # format, which the path has told
        if version < _OLDEST:
            raise ValueError(f"archive version {version[0]}.{version[1]}")
        if version >= _COMPRESSION_BYTE:
            reader.byte()
        else:
            reader.int()
        for _part in range(7):  # the time it was made, as struct tm
            reader.int()
        return Archive(path, kind, reader.text(), reader.text(), reader.text())
    except (IndexError, ValueError) as error:
        raise RecoveryError(failed("read", f"the dump {path}", f"its header is damaged ({error})", _REMEDY)) from None


class _Reader:
    """Numbers and texts as pg_dump writes them: sign byte, then little-endian bytes; a text after its length."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self.int_bytes = 4

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def int(self) -> t.Any:
        negative = self.byte()
        value = sum(self.byte() << (8 * place) for place in range(self.int_bytes))
        return -value if negative else value

    def text(self) -> str:
        length = self.int()
        if not 0 <= length <= 1024 or self._at + length > len(self._data):
            raise ValueError(f"a text of {length} bytes")
        self._at += length
        return self._data[self._at - length : self._at].decode("utf-8", "surrogateescape")


def is_complete_plain(path: Path) -> bool:
    """Return whether a plain dump ends as one does: a load of one that was cut may succeed without an error."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 512))
        return TRAILER in file.read()
