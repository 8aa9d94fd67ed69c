# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kind of dump something is, of which database, and who wrote it: from its first bytes.

PRIVATE to the collection.
"""

from __future__ import annotations

import mmap
import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import RecoveryError, failed

MAGIC = b"PGDMP"
#: a tar archive begins with the header of its first member, toc.dat
TAR_BLOCK = 512
_PACKED = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz"}
_REMEDY = "Fetch another copy, or use another recovery point."
#: the last words of a plain dump; without them it was cut
TRAILER = b"-- PostgreSQL database dump complete"
_PLAIN_HEAD = b"-- PostgreSQL database dump"
#: archive formats of PostgreSQL 9.6 up to the newest one that is known
_OLDEST, _COMPRESSION_BYTE = (1, 12), (1, 15)
_OFFSET_SET = 2


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
    """Return what a dump is: directory, custom, tar or plain. Raises RecoveryError naming what is wrong."""
    head = path / "toc.dat" if path.is_dir() else path
    try:
        with head.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise RecoveryError(failed("read", f"the dump {path}", f"{error.strerror} ({head.name})", _REMEDY)) from error
    if start.startswith(MAGIC):
        return _header(path, "directory" if path.is_dir() else "custom", start)
    if not path.is_dir() and start[TAR_BLOCK:].startswith(MAGIC):
        return _header(path, "tar", start[TAR_BLOCK:])
    if not path.is_dir() and _PLAIN_HEAD in start[:200]:
        return _plain(path, start)
    packed = next((program for magic, program in _PACKED.items() if start.startswith(magic)), None)
    if packed:
        raise RecoveryError(failed("read", f"the dump {path}", "it is compressed as a whole", f"Unpack it: {packed}."))
    raise RecoveryError(failed("read", f"the dump {path}", f"{head.name} does not begin as a dump does", _REMEDY))


def _plain(path: Path, start: bytes) -> Archive:
    text = start.decode("utf-8", "replace")
    server = re.search(r"^-- Dumped from database version (.+)$", text, re.M)
    tool = re.search(r"^-- Dumped by pg_dump version (.+)$", text, re.M)
    return Archive(path, "plain", None, server[1] if server else None, tool[1] if tool else None)


def _header(path: Path, kind: str, start: bytes) -> Archive:
    try:
        reader = Fields(start)
        read_head(reader)
        return Archive(path, kind, reader.text(), reader.text(), reader.text())
    except (IndexError, ValueError) as error:
        raise RecoveryError(failed("read", f"the dump {path}", f"its header is damaged ({error})", _REMEDY)) from None


class Fields:
    """Numbers and texts as pg_dump writes them: sign byte, then little-endian bytes; a text after its length."""

    def __init__(self, data: bytes | mmap.mmap, longest: int = 1024) -> None:
        self._data, self.at = data, len(MAGIC)
        self._longest = longest
        self.int_bytes, self.offset_bytes = 4, 8

    def byte(self) -> int:
        """Raises IndexError at the end."""
        self.at += 1
        return self._data[self.at - 1]

    def int(self) -> t.Any:
        """Return the next number."""
        negative = self.byte()
        value = sum(self.byte() << (8 * place) for place in range(self.int_bytes))
        return -value if negative else value

    def text(self) -> str:
        """Return the next text, which may not be null. Raises ValueError."""
        found = self.text_or_none()
        if found is None:
            raise ValueError("a text is missing")
        return found

    def text_or_none(self) -> str | None:
        """Return the next text. Raises ValueError when it reaches beyond the end."""
        length = self.int()
        if length == -1:
            return None
        if not 0 <= length <= self._longest or self.at + length > len(self._data):
            raise ValueError(f"a text of {length} bytes")
        self.at += length
        return self._data[self.at - length : self.at].decode("utf-8", "surrogateescape")

    def offset(self) -> t.Any:
        """Return the next position in the file, None where pg_dump did not know it."""
        known = self.byte()
        value = sum(self.byte() << (8 * place) for place in range(self.offset_bytes))
        return value if known == _OFFSET_SET else None


def read_head(reader: Fields) -> tuple[int, int]:
    """Read up to the database's name; returns the archive's version. Raises IndexError, ValueError."""
    version = reader.byte(), reader.byte()
    reader.byte()  # revision
    reader.int_bytes = reader.byte()
    reader.offset_bytes = reader.byte()
    reader.byte()  # format, which the path has told
    if version < _OLDEST:
        raise ValueError(f"archive version {version[0]}.{version[1]}")
    if version >= _COMPRESSION_BYTE:
        reader.byte()
    else:
        reader.int()
    for _part in range(7):  # the time it was made, as struct tm
        reader.int()
    return version


def is_complete_plain(path: Path) -> bool:
    """Return whether a plain dump ends as one does: a load of one that was cut may succeed without an error."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 512))
        return TRAILER in file.read()
