# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the repositories hold, each asked by itself: one that is away hides no other.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import typing as t

from .backrest_command import Backrest, Repository
from .backrest_errors import RepositoryRefused, explain, words
from .clock import to_iso
from .concurrently import ask_all
from .errors import RecoveryError, failed

#: status codes of `pgbackrest info` of a repository: there is a stanza, and its backups can be listed
OK, NO_BACKUP = 0, 2
#: seconds beyond its own timeouts that the program may take to say that a store is away
SPARE = 5.0
_NO_STANZA = (1, 3)
_SEGMENT = re.compile(r"^([0-9A-F]{24})-[0-9a-f]{40}")

Facts = dict[str, t.Any]


def look(backrest: Backrest, timeout: float, timelines: bool = True) -> list[Facts]:
    """Ask every repository at once, each for `timeout` seconds at most, and return one entry each, in their order.

    A repository that could not be asked has the outcome `unverified`, and says why.
    """
    calls = {
        one.name: (lambda one=one: _ask(backrest, one, timeout, timelines))  # type: ignore[misc]
        for one in backrest.repositories
    }
    answers = ask_all(calls, timeout + 2 * SPARE)
    return [
        _unknown(one, answer) if isinstance(answer := answers[one.name], RecoveryError) else answer
        for one in backrest.repositories
    ]


def usable(entry: Facts) -> bool:
    """True where backups can be listed."""
    return bool(entry["status_code"] in (OK, NO_BACKUP))


def sound(entry: Facts) -> list[Facts]:
    """Return the backups of a repository without page errors, oldest first."""
    return [one for one in entry["backups"] if not one["error"]]


def error_of(backrest: Backrest, entry: Facts) -> RecoveryError:
    """Return the error that a repository's entry amounts to."""
    repository = backrest.repository(entry["name"])
    if entry["status_code"] in _NO_STANZA:
        return explain("use", str(repository), f"missing stanza {backrest.stanza}")
    return explain("use", str(repository), entry["said"])


def _ask(backrest: Backrest, repository: Repository, timeout: float, timelines: bool) -> Facts:
    said = backrest.run(
        "list", f"the backups in {repository}", "info", repository.option, "--output=json", timeout=timeout + SPARE,
        io_timeout=backrest.io_timeout(timeout),
    )  # fmt: skip
    try:
        stanza = json.loads(said, strict=False)[0]  # it quotes what it could not decrypt as it is
    except (ValueError, LookupError) as error:
        raise RecoveryError(failed("read", f"what pgbackrest info says of {repository}", error)) from None
    found = _entry(repository, stanza)
    if timelines and found["status_code"] in (OK, NO_BACKUP):
        for archive in found["archives"]:
            archive["timelines"] = _timelines(backrest, repository, archive["id"], timeout)
    return found


def _entry(repository: Repository, stanza: Facts) -> Facts:
    status: Facts = next((one["status"] for one in stanza.get("repo", []) if one["key"] == repository.number), {})
    code, message = int(status.get("code", 99)), str(status.get("message", "no status"))
    backups = [_backup(repository, one) for one in stanza.get("backup", [])]
    newest_db = (stanza.get("db") or [{}])[-1]
    entry = {
        **_empty(repository),
        "status_code": code,
        "said": "" if code == OK else message,
        "outcome": "passed",
        "reasons": [],
        "cipher": stanza.get("cipher"),
        "system_identifier": str(newest_db["system-id"]) if newest_db else None,
        "postgres_version": newest_db.get("version"),
        "locked": bool(stanza.get("status", {}).get("lock", {}).get("backup", {}).get("held")),
        "archives": [
            {"id": one["id"], "min": one.get("min"), "max": one.get("max"), "timelines": []}
            for one in stanza.get("archive", [])
        ],
        "backups": backups,
        "info": [stanza],
    }
    if code in _NO_STANZA:
        entry.update(outcome="failed", reasons=[f"{repository} has no stanza: {message}. Create it: state=created."])
    elif code == NO_BACKUP:
        entry.update(outcome="failed", reasons=[f"{repository} holds no backup."])
    elif code != OK:
        error = explain("list", f"the backups in {repository}", message)
        refused = not isinstance(error, RepositoryRefused) and error.facts["error_kind"] != "RepositoryUnreachable"
        entry.update(outcome="failed" if refused else "unverified", reasons=[str(error)], said=words(message))
        entry["error_kind"] = error.facts["error_kind"]
    else:
        entry["reasons"] = [f"{one['label']} in {repository} has damaged pages." for one in backups if one["error"]]
        entry["outcome"] = "failed" if entry["reasons"] else "passed"
    return entry


def _backup(repository: Repository, told: Facts) -> Facts:
    info, when = told["info"], told["timestamp"]
    return {
        "label": told["label"],
        "type": told["type"],
        "prior": told.get("prior"),
        "reference": told.get("reference") or [],
        "repository": repository.name,
        "started": _iso(when["start"]),
        "stopped": _iso(when["stop"]),
        "seconds": when["stop"] - when["start"],
        "lsn_start": (told.get("lsn") or {}).get("start"),
        "lsn_stop": (told.get("lsn") or {}).get("stop"),
        "wal_start": told["archive"]["start"],
        "wal_stop": told["archive"]["stop"],
        "bytes": info["size"],
        "bytes_changed": info["delta"],
        "repository_bytes": info["repository"]["size"],
        "repository_bytes_added": info["repository"]["delta"],
        "error": bool(told.get("error")),
    }


def _empty(repository: Repository) -> Facts:
    nothing = ("cipher", "system_identifier", "postgres_version", "error_kind")
    lists: Facts = {name: [] for name in ("archives", "backups", "info", "reasons")}
    known: Facts = {"name": repository.name, "number": repository.number, "status_code": None, "said": ""}
    return {**known, **dict.fromkeys(nothing), **lists, "outcome": "unverified", "locked": False}


def _unknown(repository: Repository, error: RecoveryError) -> Facts:
    kind = error.facts.get("error_kind") or type(error).__name__
    return {**_empty(repository), "reasons": [str(error)], "said": str(error), "error_kind": kind}


def segments_of(backrest: Backrest, entry: Facts, directories: t.Iterable[str], timeout: float) -> set[str]:
    """Return the names of the segments in some directories of a repository's newest archive."""
    repository, archive = backrest.repository(entry["name"]), entry["archives"][-1]["id"]
    return {
        name
        for directory in sorted(directories)
        for name in _segments(backrest, repository, f"{archive}/{directory}", timeout)
    }


def _timelines(backrest: Backrest, repository: Repository, archive: str, timeout: float) -> list[Facts]:
    """Return first and last segment of each timeline, from the names in its first and last directory."""
    found = _names(backrest, repository, archive, timeout)
    directories = [name for name in found if re.fullmatch(r"[0-9A-F]{16}", name)]
    told = []
    for timeline in sorted({name[:8] for name in directories}):
        own = [f"{archive}/{name}" for name in directories if name.startswith(timeline)]
        first, last = (_segments(backrest, repository, one, timeout) for one in (own[0], own[-1]))
        if first and last:
            told.append({"timeline": int(timeline, 16), "min": first[0], "max": last[-1]})
    return told


def _segments(backrest: Backrest, repository: Repository, path: str, timeout: float) -> list[str]:
    names = _names(backrest, repository, path, timeout)
    return [found[1] for name in names if (found := _SEGMENT.match(name))]


def _names(backrest: Backrest, repository: Repository, path: str, timeout: float) -> list[str]:
    said = backrest.run(
        "list", f"the WAL in {repository}", "repo-ls", repository.option, "--output=json",
        f"archive/{backrest.stanza}/{path}", timeout=timeout, io_timeout=backrest.io_timeout(timeout),
    )  # fmt: skip
    return sorted(name for name in json.loads(said) if name != ".")


def _iso(seconds: int) -> str:
    return to_iso(dt.datetime.fromtimestamp(seconds, dt.UTC))
