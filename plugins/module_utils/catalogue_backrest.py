# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what pg_backrest saw beside each active PostgreSQL to what recovery_point_info lists.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t

from .clock import to_iso, utc_now

Looks = t.Sequence[t.Mapping[str, t.Any]]


def repositories(components: t.Sequence[t.Mapping[str, t.Any]], looks: Looks) -> list[dict[str, t.Any]]:
    """Return one entry a repository of each component of kind pgbackrest.

    A look is `{stanza, names, result}`: whom pg_backrest was asked about, which repositories there should be, and what
    it returned. A look that failed leaves its repositories in the list, with the reason.
    """
    found: list[dict[str, t.Any]] = []
    for component in components:
        if component["kind"] != "pgbackrest":
            continue
        mine = [look for look in looks if look["stanza"] == component["stanza"]]
        owner = {"service": component["service"], "component": component["component"]}
        for look in mine:
            found += [{**owner, **entry} for entry in _entries(look)]
        if not mine:
            cause = f"no host of the active region says that it has stanza {component['stanza']}"
            found.append({**owner, "repository": component["stanza"], "error": cause})
    return found


def _entries(look: t.Mapping[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    result = look.get("result") or {}
    seen = {one["name"]: one for one in result.get("repositories") or []}
    behind = {one["name"]: one for one in (result.get("archive") or {}).get("repositories") or []}
    for name in look["names"]:
        one = seen.get(name)
        if one is None or one.get("status_code") is None:
            told = (one or {}).get("reasons") or [result.get("msg") or "pgBackRest did not tell of it"]
            yield {"repository": name, "error": "; ".join(told)}
            continue
        entry = {
            "repository": name,
            "repository_key": one["number"],
            "documents": list(one.get("info") or []),
        }
        seconds = (behind.get(name) or {}).get("seconds_behind")
        if seconds is not None:
            # the look is over, so what it saw is older than now by no more than it took
            entry["archived_until"] = _ago(float(seconds) + float(result.get("seconds") or 0))
        yield entry


def _ago(seconds: float) -> str:
    return to_iso(utc_now() - dt.timedelta(seconds=seconds))
