# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a dump needs of the server: roles, extensions, tablespaces. Missed before anything is created.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .logical_messages import Problem
from .logical_toc import Entry, Toc
from .sql import Postgres

IDENTIFIER = r'(?:"(?:[^"]|"")+"|[^\s".,;()]+)'
_LIST = rf"{IDENTIFIER}(?:\s*,\s*{IDENTIFIER})*"
_GRANTEE = re.compile(
    rf"^(?:GRANT|ALTER DEFAULT PRIVILEGES)\b.*\bTO ({IDENTIFIER})(?: WITH GRANT OPTION)?(?: GRANTED BY {IDENTIFIER})?;",
    re.M,
)
_FOR_ROLE = re.compile(rf"^ALTER DEFAULT PRIVILEGES FOR ROLE ({IDENTIFIER})", re.M)
_POLICY = re.compile(rf"^CREATE POLICY .*? TO ({_LIST})(?: USING| WITH CHECK|;)", re.M | re.S)
_DATABASE = re.compile(rf"^CREATE DATABASE ({IDENTIFIER}) WITH (.*);", re.M)
_NO_ROLES = ("PUBLIC", "CURRENT_USER", "SESSION_USER", "CURRENT_ROLE")


@dataclass
class Needed:
    """Names of what has to be there; unquoted. `creation` is how its database was created, after WITH."""

    roles: set[str] = field(default_factory=set)
    extensions: set[str] = field(default_factory=set)
    tablespaces: set[str] = field(default_factory=set)
    subscriptions: list[str] = field(default_factory=list)
    database: str | None = None
    owner: str | None = None
    creation: str | None = None
    #: statements about the database itself, with the name they call it by
    properties: list[str] = field(default_factory=list)
    comment: str = ""
    called: str = ""
    encoding: str | None = None
    #: settings that the dump makes and servers before a version do not know
    settings: set[str] = field(default_factory=set)


def unquoted(identifier: str) -> str:
    """Return a name as it is, of how SQL writes it."""
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def needed_of_archive(toc: Toc, chosen: t.Container[int] | None = None) -> Needed:
    """Return what an archive needs, or what the chosen entries of it need."""
    needed = Needed()
    for entry in toc.entries:
        if entry.kind.startswith("DATABASE") or (entry.kind == "ACL" and entry.tag.startswith("DATABASE ")):
            if chosen is None:
                _database(needed, entry)
        elif entry.kind == "COMMENT" and entry.tag.startswith("DATABASE "):
            said = re.search(r" IS '((?:[^']|'')*)';", entry.definition)
            needed.comment = said[1].replace("''", "'") if said and chosen is None else ""
        elif chosen is None or entry.number in chosen:
            _entry(needed, entry)
    needed.roles.discard("")
    return needed


def _database(needed: Needed, entry: Entry) -> None:
    created = _DATABASE.search(entry.definition)
    if created:
        needed.called, needed.creation = created[1], created[2]
        needed.database, needed.owner = unquoted(created[1]), entry.owner
        needed.roles.add(entry.owner)
        found = re.search(r"ENCODING = '([^']+)'", created[2])
        needed.encoding = found[1] if found else None
    else:
        needed.properties.append(entry.definition)
        needed.roles |= grantees(entry.definition)


def _entry(needed: Needed, entry: Entry) -> None:
    needed.roles.add(entry.owner)
    if entry.kind in ("ACL", "DEFAULT ACL", "POLICY"):
        needed.roles |= grantees(entry.definition)
    if entry.tablespace:
        needed.tablespaces.add(entry.tablespace)
    if entry.kind == "EXTENSION":
        needed.extensions.add(entry.tag)
    if entry.kind == "SUBSCRIPTION":
        needed.subscriptions.append(entry.tag)


def grantees(statements: str) -> set[str]:
    """Return the roles that GRANTs, default privileges and policies name."""
    found = set(_GRANTEE.findall(statements)) | set(_FOR_ROLE.findall(statements))
    for names in _POLICY.findall(statements):
        found |= set(re.findall(IDENTIFIER, names))
    return {unquoted(name) for name in found if name.upper() not in _NO_ROLES}


def missing(
    server: Postgres, needed: Needed, coming: t.Container[str], no_tablespaces: bool, version: int
) -> list[Problem]:
    """Return a problem for each thing that the server has not; roles that are `coming` are made before."""
    roles = {row[0] for row in server.rows("SELECT rolname FROM pg_roles")}
    extensions = {row[0] for row in server.rows("SELECT name FROM pg_available_extensions")}
    spaces = {row[0] for row in server.rows("SELECT spcname FROM pg_tablespace")}
    found = [
        _problem("missing_role", "role", name, "Create it, or name the roles' file in globals.")
        for name in sorted(needed.roles - roles)
        if name not in coming
    ]
    found += [
        _problem("missing_extension", "extension", name, "Install its packages where the server runs.")
        for name in sorted(needed.extensions - extensions)
    ]
    if not no_tablespaces:
        found += [
            _problem("missing_tablespace", "tablespace", name, "Create it, or set no_tablespaces.")
            for name in sorted(needed.tablespaces - spaces)
        ]
    if version < 170000 and "transaction_timeout" in needed.settings:
        remedy = "Restore into version 17 or newer, or take that line out of a copy of the dump."
        told = "the dump has SET transaction_timeout, which this server does not know"
        found.append(Problem("newer_than_server", "the dump", told, remedy))
    return found


def _problem(kind: str, what: str, name: str, remedy: str) -> Problem:
    return Problem(kind, f"{what} {name}", f"{what} {name} is not on the server", remedy)
