# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a plain dump holds, read once, rows skipped: what it needs, and what it must not do.

A dump that was made with --create connects to the database that it is of, and would go over the live one.

PRIVATE to the collection.
"""

from __future__ import annotations

import mmap
import re
import typing as t
from pathlib import Path

from .errors import RecoveryError, failed
from .restore_needs import IDENTIFIER, Needed, grantees, unquoted

_COPY = re.compile(rf"COPY ({IDENTIFIER}(?:\.{IDENTIFIER})?) (?:\(.*\) )?FROM stdin;$")
_END = b"\n\\.\n"
#: psql's own commands that lead out of the database, or out of psql
_COMMAND = re.compile(
    r"\\(?:c|connect|!|i|ir|include|include_relative|o|out|copy|cd|setenv|w|write|e|edit|g\w*|lo_\w+)(?:\s|$)"
)
_OWNER = re.compile(rf"ALTER .* OWNER TO ({IDENTIFIER});$")
_EXTENSION = re.compile(rf"CREATE EXTENSION (?:IF NOT EXISTS )?({IDENTIFIER})")
_SPACE = re.compile(rf"SET default_tablespace = ({IDENTIFIER}|'[^']*');")
_SUBSCRIPTION = re.compile(rf"CREATE SUBSCRIPTION ({IDENTIFIER}) ")
_ENCODING = re.compile(r"SET client_encoding = '([^']+)';")
_REMEDY = "Take the dump without --create, or use an archive format."


def read_plain(path: Path) -> tuple[Needed, dict[str, int]]:
    """Return what a plain dump needs, and bytes of rows by table. Raises RecoveryError for what must not be run."""
    needed, tables = Needed(), {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for number, raw in enumerate(iter(content.readline, b""), 1):
            line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            copy = _COPY.match(line) if line.startswith("COPY ") else None
            if copy:
                tables[_plain_name(copy[1])] = _skip_rows(content, path, copy[1])
            elif line.startswith("\\") and _COMMAND.match(line):
                cause = f"its statement {number} is psql's {line[:60]!r}, which leads out of the new database"
                raise RecoveryError(
                    failed("restore", f"the dump {path}", cause, _REMEDY), kind="leads_out", remedy=_REMEDY
                )
            elif line[:1] in "ACSG":
                _statement(needed, line, path)
    needed.roles.discard("")
    return needed, tables


def _skip_rows(content: mmap.mmap, path: Path, table: str) -> int:
    begin = content.tell()
    if content[begin : begin + 3] == _END[1:]:
        content.seek(begin + 3)
        return 0
    end = content.find(_END, begin)
    if end < 0:
        remedy = "Fetch another copy of the recovery point, or use another one."
        cause = f"the rows of {table} have no end: it was cut"
        raise RecoveryError(failed("read", f"the dump {path}", cause, remedy), kind="cut_dump")
    content.seek(end + len(_END))
    return end - begin


def _statement(needed: Needed, line: str, path: Path) -> None:
    for pattern, names in ((_OWNER, needed.roles), (_EXTENSION, needed.extensions), (_SPACE, needed.tablespaces)):
        found = pattern.match(line)
        if found:
            name = unquoted(found[1])
            t.cast(set[str], names).update({name} if name.strip("'") else ())
    needed.roles |= grantees(line) if line.startswith(("GRANT", "ALTER DEFAULT", "CREATE POLICY")) else set()
    encoding, subscription = _ENCODING.match(line), _SUBSCRIPTION.match(line)
    if encoding and needed.encoding is None:
        needed.encoding = encoding[1]
    if line.startswith("SET transaction_timeout"):
        needed.settings.add("transaction_timeout")
    if subscription:
        needed.subscriptions.append(unquoted(subscription[1]))
        if not re.search(r"\bconnect = false\b", line):
            cause = f"subscription {subscription[1]} would begin to pull from its publisher"
            remedy = "Take the dump with --no-subscriptions."
            raise RecoveryError(failed("restore", f"the dump {path}", cause, remedy), kind="would_pull", remedy=remedy)


def _plain_name(written: str) -> str:
    return ".".join(unquoted(part) for part in re.findall(IDENTIFIER, written))
