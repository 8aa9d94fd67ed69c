# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The table of contents of an archive, exactly: what is in it, what needs what, and which file holds which rows.

`pg_restore --list` separates names with spaces, which may be in names; and it says nothing of dependencies.

PRIVATE to the collection.
"""

from __future__ import annotations

import mmap
import tarfile
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .errors import RecoveryError, failed
from .logical_archive import TAR_BLOCK, Archive, Fields, read_head

_CUT = "Fetch another copy of the recovery point, or use another one."
#: versions of the archive format that brought a field
_TABLE_AM, _RELKIND, _NEWEST = (1, 14), (1, 16), (1, 16)
_LONGEST = 1 << 30
_MOST_ENTRIES = 10_000_000
#: entries that have a data file
DATA = ("TABLE DATA", "BLOBS")


@dataclass(frozen=True)
class Entry:
    """One entry. `file` is its data file (directory, tar), `offset` its place (custom); None where it has none."""

    number: int
    tag: str
    kind: str
    schema: str
    owner: str
    tablespace: str
    definition: str
    needs: frozenset[int]
    file: str | None = None
    offset: int | None = None

    @property
    def name(self) -> str:
        """Return schema and name with a dot between, unquoted."""
        return f"{self.schema}.{self.tag}" if self.schema else self.tag


@dataclass(frozen=True)
class Toc:
    """All entries in the archive's order. `sizes` are bytes of the data files, by entry, as far as they are known."""

    entries: list[Entry]
    sizes: dict[int, int] = field(default_factory=dict)
    seekable: bool = True

    def of(self, *kinds: str) -> list[Entry]:
        """Return the entries of some kinds."""
        return [entry for entry in self.entries if entry.kind in kinds]


def read_toc(archive: Archive) -> Toc:
    """Read it, and look for every data file. Raises RecoveryError for what is damaged or missing; asks no server."""
    try:
        data, sizes = _content(archive)
        entries = _entries(archive, Fields(data, _LONGEST))
    except (IndexError, ValueError) as error:
        cause = f"its table of contents is damaged ({error or 'it ends too early'})"
        raise RecoveryError(failed("read", f"the dump {archive.path}", cause, _CUT), kind="damaged_toc") from None
    except OSError as error:
        raise RecoveryError(failed("read", f"the dump {archive.path}", error, _CUT), kind="damaged_toc") from None
    if archive.format == "custom":
        return _custom(archive, entries)
    missing = [entry for entry in entries if entry.file and _file_of(entry, sizes) not in sizes]
    if missing:
        told = ", ".join(f"{entry.file} ({entry.kind} {entry.name})" for entry in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        text = failed("read", f"the dump {archive.path}", f"missing data: {told}{more}", _CUT)
        raise RecoveryError(text, kind="missing_file")
    return Toc(entries, {entry.number: sizes[_file_of(entry, sizes)] for entry in entries if entry.file})


def _file_of(entry: Entry, there: t.Collection[str]) -> str:
    """Return its data file; a tar archive names another one for large objects than it has."""
    name = entry.file or ""
    if entry.kind == "BLOBS" and name not in there:
        return next((one for one in there if one.startswith("blobs") and one.endswith(".toc")), name)
    return name


def _content(archive: Archive) -> tuple[bytes | mmap.mmap, dict[str, int]]:
    """Return the bytes that hold the table of contents, and the sizes of the data files."""
    if archive.format == "directory":
        return (archive.path / "toc.dat").read_bytes(), _files(archive.path)
    if archive.format == "tar":
        sizes = _members(archive.path)
        with archive.path.open("rb") as file:
            file.seek(TAR_BLOCK)
            return file.read(sizes["toc.dat"]), sizes
    with archive.path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), {}


def _files(directory: Path) -> dict[str, int]:
    """Return the data files by the name that the table of contents has, which leaves a compression's ending out."""
    found: dict[str, int] = {}
    for path in directory.iterdir():
        if path.is_file():
            found[path.name] = path.stat().st_size
            stem, _dot, ending = path.name.rpartition(".")
            if ending in ("gz", "lz4", "zst"):
                found[stem] = path.stat().st_size
    return found


def _members(path: Path) -> dict[str, int]:
    """Return the members of a tar archive. Raises ValueError when it was cut: pg_restore reads no end mark."""
    sizes: dict[str, int] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.offset_data + member.size > path.stat().st_size:
                    raise ValueError(f"{member.name} was cut")
                sizes[member.name] = member.size
    except tarfile.TarError as error:
        raise ValueError(str(error)) from None
    with path.open("rb") as file:
        file.seek(-2 * TAR_BLOCK, 2)
        if (
            file.read().strip(b"\0")
            or path.stat().st_size % TAR_BLOCK
            or "restore.sql" not in sizes
            or "toc.dat" not in sizes
        ):
            raise ValueError("its end is missing")
    return sizes


def _entries(archive: Archive, fields: Fields) -> list[Entry]:
    version = read_head(fields)
    if version > _NEWEST:
        raise ValueError(f"archive version {version[0]}.{version[1]} is not known")
    for _text in ("database", "server_version", "dump_version"):
        fields.text()
    count = fields.int()
    if not 0 <= count <= _MOST_ENTRIES:
        raise ValueError(f"{count} entries")
    return [_entry(archive, fields, version) for _number in range(count)]


def _entry(archive: Archive, fields: Fields, version: tuple[int, int]) -> Entry:
    number, has_data = fields.int(), bool(fields.int())
    fields.text_or_none(), fields.text_or_none()  # OIDs of its catalog and of itself
    tag, kind = fields.text_or_none() or "", fields.text_or_none() or ""
    fields.int()  # section
    definition = fields.text_or_none() or ""
    fields.text_or_none(), fields.text_or_none()  # DROP and COPY statements
    schema, tablespace = fields.text_or_none() or "", fields.text_or_none() or ""
    if version >= _TABLE_AM:
        fields.text_or_none()
    if version >= _RELKIND:
        fields.int()
    owner = fields.text_or_none() or ""
    fields.text_or_none()  # WITH OIDS, of old
    needs = set()
    while (need := fields.text_or_none()) is not None:
        needs.add(int(need))
    offset = fields.offset() if archive.format == "custom" else None
    file = (fields.text_or_none() or None) if archive.format != "custom" else None
    if not (has_data and kind in DATA):
        offset, file = None, file if kind in DATA else None
    return Entry(number, tag, kind, schema, owner, tablespace, definition, frozenset(needs), file, offset)


def _custom(archive: Archive, entries: list[Entry]) -> Toc:
    """Where each entry's data begins tells where the one before it ends, and that the file reaches so far."""
    size = archive.path.stat().st_size
    with_data = [entry for entry in entries if entry.kind in DATA]
    placed = sorted((entry for entry in with_data if entry.offset is not None), key=lambda one: one.offset or 0)
    beyond = [entry for entry in placed if (entry.offset or 0) >= size]
    if beyond:
        names = ", ".join(entry.name for entry in beyond[:5])
        cause = f"it was cut: it ends before the data of {names}"
        raise RecoveryError(failed("read", f"the dump {archive.path}", cause, _CUT), kind="damaged_file")
    ends = [*(entry.offset or 0 for entry in placed[1:]), size]
    sizes = {entry.number: end - (entry.offset or 0) for entry, end in zip(placed, ends, strict=True)}
    return Toc(entries, sizes, seekable=len(placed) == len(with_data))
