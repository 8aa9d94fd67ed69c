# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""PostgreSQL's client programs: where they are, how old they are, and how they are told whom to ask.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import Refused, failed

#: where distributions put the programs of each major version
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)(?:\.\d+|[a-z]+\d+)?.*)")


@dataclass(frozen=True)
class Tools:
    """The programs of one installation. `version` is as they print it, for example 17.10."""

    directory: str
    version: str
    major: int

    def path(self, program: str) -> str:
        """Return the path of a program of this installation. Raises Refused when it is not there."""
        found = shutil.which(program, path=self.directory)
        if found is None:
            remedy = f"Install PostgreSQL's client programs of version {self.major} there, or correct bin_directory."
            raise Refused(failed("find", f"PostgreSQL's program {program}", f"not in {self.directory}", remedy))
        return found


def find_tools(program: str, at_least: int, bin_directory: str | None, why: str) -> Tools:
    """Return the installation with `program` whose major version is `at_least`, or the next newer one.

    `why` ends the sentence of a refusal: what needs that version. Raises Refused naming the versions that are there.
    """
    candidates = [found for found in (_installed(one, program) for one in _directories(bin_directory)) if found]
    fitting = sorted((one for one in candidates if one.major >= at_least), key=lambda one: one.major)
    if fitting:
        return fitting[0]
    there = ", ".join(f"{one.version} in {one.directory}" for one in candidates) or "none"
    remedy = f"Install PostgreSQL's client programs of version {at_least} or newer, or correct bin_directory."
    raise Refused(failed("use", program, f"{why}; found: {there}", remedy))


def _directories(bin_directory: str | None) -> list[str]:
    if bin_directory:
        return [bin_directory]
    known = [str(path) for place in _PLACES for path in sorted(Path("/").glob(place.lstrip("/")))]
    return [*known, *(one for one in os.environ.get("PATH", "").split(os.pathsep) if one)]


def _installed(directory: str, program: str) -> Tools | None:
    path = shutil.which(program, path=directory)
    if path is None:
        return None
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, check=False, timeout=20, stdin=subprocess.DEVNULL
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(said)
    return Tools(directory, found[1].strip(), int(found[2])) if found else None


def connection_arguments(options: t.Mapping[str, t.Any], database: str | None = None) -> list[str]:
    """Return the arguments that name a server, and a database where one is given, to a client program."""
    given = ["-h", str(options["host"]), "-p", str(options.get("port") or 5432), "-U", str(options["user"]), "-w"]
    return given if database is None else [*given, "-d", conninfo(database)]


def conninfo(database: str) -> str:
    """Return a connection string: a bare name may be taken for one, or for a URL."""
    return "dbname='" + database.replace("\\", "\\\\").replace("'", "\\'") + "'"


def client_environment(options: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the environment of a client program: nothing of ours but the search path and the home of certificates.

    The password stays in the passfile. What a role or a database sets for its sessions must not end a long one.
    """
    env = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": os.path.expanduser("~"),
        "LC_ALL": "C",
        "TZ": "UTC",
        "PGAPPNAME": "disaster_recovery",
        "PGCONNECT_TIMEOUT": str(max(2, int(options.get("connect_timeout") or 3))),
        "PGSSLMODE": str(options.get("sslmode") or "prefer"),
        "PGOPTIONS": "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0",
    }
    if options.get("passfile"):
        env["PGPASSFILE"] = str(options["passfile"])
    return env
