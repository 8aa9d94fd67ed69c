# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dump that is to be restored: its kind, its mark, its parts, and what it needs. No server is asked.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .errors import RecoveryError, failed
from .logical_archive import Archive, is_complete_plain, recognise
from .logical_destination import DUMP, FACTS, GLOBALS, files_of, require_whole
from .logical_facts import read_facts
from .logical_toc import Toc, read_toc
from .restore_needs import Needed, needed_of_archive
from .restore_plain import read_plain

_CUT = "Fetch another copy of the recovery point, or use another one."
#: bytes of a file that its mark is made from: both ends, and samples between them
_SAMPLE, _SAMPLES = 1 << 16, 16


@dataclass(frozen=True)
class Source:
    """One dump. `toc` is None for a plain one. `facts` and `globals` are there where a logical backup is restored."""

    archive: Archive
    needed: Needed
    toc: Toc | None = None
    facts: dict[str, t.Any] = field(default_factory=dict)
    globals: Path | None = None
    #: rows' bytes by table, as far as they are known: what progress is measured by
    tables: dict[str, int] = field(default_factory=dict)
    mark: str = ""
    bytes: int = 0

    @property
    def database(self) -> str | None:
        """Name of the database that was dumped, where it is known."""
        return self.archive.database or self.facts.get("database") or self.needed.database


def open_dump(path: Path) -> tuple[Archive, dict[str, t.Any], Path | None]:
    """Return what the dump at `path` is, with facts and globals where it is a logical backup's directory."""
    if path.is_dir() and (path / FACTS).exists():
        require_whole(path)
        return recognise(path / DUMP), read_facts(path / FACTS), path / GLOBALS
    return recognise(path), {}, None


def examine(path: Path) -> Source:
    """Look at all that can be known of a dump without a server.

    Raises RecoveryError for what is damaged, cut or missing, with its `kind`.
    """
    archive, facts, roles = open_dump(path)
    mark, size = _mark(archive.path), _size(archive.path)
    if archive.format != "plain":
        toc = read_toc(archive)
        by_number = {entry.number: entry for entry in toc.of("TABLE DATA")}
        tables = {by_number[number].name: bytes_ for number, bytes_ in toc.sizes.items() if number in by_number}
        return Source(archive, needed_of_archive(toc), toc, facts, roles, tables, mark, size)
    if not is_complete_plain(archive.path):
        cause = "its last line, 'PostgreSQL database dump complete', is missing: it was cut"
        raise RecoveryError(failed("read", f"the dump {archive.path}", cause, _CUT), kind="cut_dump")
    needed, tables = read_plain(archive.path)
    return Source(archive, needed, None, facts, roles, tables, mark, size)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else sum(size for _file, size in files_of(path))


def _mark(path: Path) -> str:
    """Return what tells this dump from others: names, sizes and samples of content. It proves nothing of the rest."""
    digest = hashlib.sha256()
    files = [(path, path.stat().st_size)] if path.is_file() else sorted(files_of(path))
    for file, size in files:
        digest.update(json.dumps([file.name if path.is_dir() else "", size]).encode())
        if path.is_file() or file.name == "toc.dat":
            with file.open("rb") as opened:
                for step in range(_SAMPLES + 1):
                    opened.seek(max(0, size - _SAMPLE) * step // _SAMPLES)
                    digest.update(opened.read(_SAMPLE))
    return digest.hexdigest()
