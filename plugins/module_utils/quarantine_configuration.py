# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration of a recovered cluster: that of the one whose place it takes, without what recovery needed.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re
import typing as t
from pathlib import Path

from . import standby_files as files
from .guard_state import write_atomically

_AUTO = "postgresql.auto.conf"
#: what a restore adds to postgresql.auto.conf
_OF_RECOVERY = re.compile(r"^\s*(restore_command|recovery_\w+|archive_mode|archive_command)\b", re.I)
_LINE = re.compile(r"^\s*([A-Za-z_][\w.]*)\s*(?:=|\s)")


def settle(recovered: Path, old: Path | None, saved: Path, settings: t.Mapping[str, t.Any]) -> list[str]:
    """Give the recovered cluster its configuration; return the names of the files. Safe to repeat.

    `old` is the cluster whose place it takes; None where nothing is left of it: then the backup's own serve. `settings`
    overrule what postgresql.auto.conf says.
    """
    restored = recovered / f"{_AUTO}.restored"
    if old is not None:
        files.set_aside(old, saved)
        names = files.put_back(saved, recovered)
    else:
        if restored.exists():
            kept = [
                line
                for line in restored.read_text("utf-8", "surrogateescape").splitlines()
                if not _OF_RECOVERY.match(line)
            ]
            _write(recovered, kept)
        names = files.own_entries(recovered)
    restored.unlink(missing_ok=True)
    if settings:
        _overrule(recovered, settings)
    return [name for name in names if name != restored.name]


def _overrule(data: Path, settings: t.Mapping[str, t.Any]) -> None:
    auto = data / _AUTO
    lines = auto.read_text("utf-8", "surrogateescape").splitlines() if auto.exists() else []
    names = {name.lower() for name in settings}
    left = [line for line in lines if not (match := _LINE.match(line)) or match[1].lower() not in names]
    _write(data, [*left, *(f"{name} = '{_quoted(str(value))}'" for name, value in sorted(settings.items()))])


def _write(data: Path, lines: list[str]) -> None:
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    write_atomically(data / _AUTO, content, os.stat(data), mode=0o600)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
