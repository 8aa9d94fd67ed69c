# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Roles, memberships and tablespaces from globals.sql, statement by statement, by no shell and no psql.

psql would obey a line such as `\\! command`; here such a line is a finding, and only statements that pg_dumpall writes
are run.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .errors import RecoveryError, failed
from .logical_messages import Problem
from .sql import Postgres, SqlFailed

_REMEDY = "Fetch another copy, or use another recovery point."
#: what pg_dumpall --globals-only writes; anything else was put there by somebody
_EXPECTED = re.compile(
    r"(SET|SELECT pg_catalog\.set_config|(CREATE|ALTER|COMMENT ON) (ROLE|TABLESPACE)|GRANT|REVOKE|ALTER DEFAULT"
    r"|SECURITY LABEL)\b",
    re.I,
)
_META = re.compile(r"\\(restrict|unrestrict|connect)\b")
_TRAILER = "-- PostgreSQL database cluster dump complete"
_IDENTIFIER = r'("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)'
_ROLE = re.compile(rf"(CREATE|ALTER) ROLE {_IDENTIFIER}\s*(WITH)?", re.I)
_TABLESPACE = re.compile(rf"CREATE TABLESPACE {_IDENTIFIER} OWNER {_IDENTIFIER} LOCATION E?'", re.I)
#: the role that a statement is about: made, changed, commented on, or made a member of another
_ABOUT = re.compile(
    rf"(?:CREATE|ALTER) ROLE {_IDENTIFIER}(?! IN DATABASE)(?=[\s;]|$)|COMMENT ON ROLE {_IDENTIFIER}"
    rf"|GRANT (?:{_IDENTIFIER[1:-1]}) TO {_IDENTIFIER}",
    re.I,
)
#: a literal, a quoted name, a comment, or the end of a statement
_TOKEN = re.compile(r"\bE'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|;", re.S | re.I)
#: psql's own: a backslash first on its line
_COMMAND = re.compile(r"^[ \t]*\\[^\n]*", re.M)
_EXISTS = "42710"


@dataclass
class Globals:
    """What came of globals.sql. `roles` and `tablespaces` were made, `skipped` roles were there."""

    roles: int = 0
    skipped: int = 0
    tablespaces: int = 0
    problems: list[Problem] = field(default_factory=list)


def roles_in(file: Path) -> set[str]:
    """Return the roles that globals.sql creates. Raises RecoveryError when it cannot be read."""
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise RecoveryError(failed("read", f"globals {file}", error.strerror or error, "Correct globals.")) from error
    found = (_ROLE.match(statement) for statement in statements(text))
    return {_name(role[2]) for role in found if role and role[1].upper() == "CREATE"}


def create_missing_roles(file: Path, options: t.Mapping[str, t.Any], timeout: float) -> tuple[list[str], list[Problem]]:
    """Create the roles of globals.sql that the server has not, with their settings and memberships.

    What is said of roles that exist is not run, and tablespaces are not made. Returns the new roles and problems.
    Raises RecoveryError when the file cannot be read, Unreachable.
    """
    done = Globals()
    with Postgres(options) as server:
        server.rows("SET standard_conforming_strings = on")
        there = {row[0] for row in server.rows("SELECT rolname FROM pg_roles")}
        new = roles_in(file) - there
        for statement in statements(file.read_text(encoding="utf-8", errors="surrogateescape")):
            about = _ABOUT.match(statement)
            if about and (_name(about[1] or about[2] or about[3])) in new:
                _run(server, statement, "", None, timeout, done)
            elif not _META.match(statement) and not _EXPECTED.match(statement):
                _run(server, statement, "", None, timeout, done)  # told, and not run
    return sorted(new), done.problems


def statements(text: str) -> t.Iterator[str]:
    """Yield each statement or psql command, without comments. Raises RecoveryError for an unfinished one."""
    begun, at = 0, 0
    parts: list[str] = []
    while found := _next(text, at):
        kind, start, end = found
        if kind == "comment":
            parts.append(text[begun:start])
            begun = end
        elif kind in (";", "\\"):
            parts.append(text[begun : start if kind == ";" else end])
            statement = "".join(parts).strip()
            if statement:
                yield statement
            parts, begun = [], end
        at = end
    rest = "".join([*parts, text[begun:]]).strip()
    if rest:
        raise RecoveryError(failed("read", "globals.sql", f"it ends within {rest[:80]!r}", _REMEDY))


def _next(text: str, at: int) -> tuple[str, int, int] | None:
    token = _TOKEN.search(text, at)
    command = _COMMAND.search(text, at, token.start() if token else len(text))
    if command:
        return "\\", command.start(), command.end()
    if token is None:
        return None
    kind = "comment" if token[0].startswith("--") else ";" if token[0] == ";" else "text"
    return kind, token.start(), token.end()


def restore_globals(file: Path, options: t.Mapping[str, t.Any], tablespaces: Path | None, timeout: float) -> Globals:
    """Run globals.sql on a server. Roles that exist are skipped; each failure is a problem, and the rest goes on.

    A tablespace comes to a directory of its own below `tablespaces`, wherever it was: the place it had may be in use.
    None leaves tablespaces as they are written. Raises Unreachable.
    """
    done = Globals()
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
        found = list(statements(text))
    except (OSError, RecoveryError) as error:
        done.problems.append(Problem("damaged_globals", file.name, str(error), _REMEDY))
        return done
    if _TRAILER not in text:
        cause = "its last line is missing: it was cut"
        done.problems.append(Problem("damaged_globals", file.name, cause, _REMEDY))
    with Postgres(options) as server:
        server.rows("SET standard_conforming_strings = on")
        for statement in found:
            _run(server, statement, str(options["user"]), tablespaces, timeout, done)
    return done


def _run(
    server: Postgres, statement: str, superuser: str, tablespaces: Path | None, timeout: float, done: Globals
) -> None:
    if _META.match(statement):
        return
    if not _EXPECTED.match(statement):
        cause = f"pg_dumpall does not write {statement[:120]!r}; it was not run"
        done.problems.append(Problem("tampered_globals", "globals.sql", cause, _REMEDY))
        return
    role, space = _ROLE.match(statement), _TABLESPACE.match(statement)
    if role and role[1].upper() == "ALTER" and role[3] and _name(role[2]) == superuser:
        return  # it is what we are connected as, and may lose nothing
    if space and tablespaces is not None:
        directory = tablespaces / str(done.tablespaces)
        _make_like(directory, tablespaces)
        place = str(directory).replace("'", "''")
        statement = f"CREATE TABLESPACE {space[1]} OWNER {space[2]} LOCATION '{place}'"
    try:
        server.rows(statement, timeout=timeout)
    except SqlFailed as error:
        if error.sqlstate == _EXISTS and role:
            done.skipped += 1
            return
        done.problems.append(Problem.of_statement("globals", statement, str(error)))
        return
    done.roles += bool(role and role[1].upper() == "CREATE")
    done.tablespaces += bool(space)


def _make_like(directory: Path, parent: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    like = os.stat(parent)
    if os.geteuid() == 0:
        os.chown(directory, like.st_uid, like.st_gid)


def _name(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier.lower()
