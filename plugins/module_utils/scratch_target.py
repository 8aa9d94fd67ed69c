# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the recovery of a scratch is to end, as PostgreSQL's settings; targets that it would miss silently are refused.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import re
import typing as t

from .clock import from_iso, to_iso
from .errors import RecoveryError, Refused, failed
from .postgres_cluster import Cluster

_ZONE = re.compile(r"(Z|UTC|[+-]\d{2}(:?\d{2})?)$", re.I)
_CHECKPOINT = re.compile(r"^Time of latest checkpoint:\s+(.+)$", re.M)
_NAMES = ("target_time", "target_lsn", "target_xid", "target_name")
_WRITE = "Write it with its zone, for example 2026-11-23 10:31:00+00."


def recovery_settings(
    asked: t.Mapping[str, t.Any] | None, brought: t.Mapping[str, str], cluster: Cluster
) -> dict[str, str]:
    """Return the settings of recovery: those that were asked for, else `brought`, which the restore wrote.

    Raises Refused for a time without a zone, RecoveryError for one that is older than the backup.
    """
    found = dict(brought)
    if asked:
        _require_zone(asked.get("target_time"))
        given = {f"recovery_{name}": asked.get(name) for name in _NAMES}
        if asked.get("target_immediate"):
            given["recovery_target"] = "immediate"
        inclusive = asked.get("inclusive")
        given["recovery_target_timeline"] = asked.get("timeline")
        given["recovery_target_inclusive"] = None if inclusive is None else ("on" if inclusive else "off")
        given["restore_command"] = asked.get("restore_command") or brought.get("restore_command")
        found = {name: str(value) for name, value in given.items() if value is not None}
    _require_older(cluster, found.get("recovery_target_time"))
    return found


def _require_older(cluster: Cluster, moment: str | None) -> None:
    """Raise RecoveryError when the backup is newer than the target: recovery would pause past it without a word."""
    found = _CHECKPOINT.search(cluster.run("pg_controldata", "-D", str(cluster.data)).stdout)
    if not moment or not found:
        return
    checkpoint = dt.datetime.strptime(found[1].strip(), "%a %b %d %H:%M:%S %Y").replace(tzinfo=dt.UTC)
    try:
        target = from_iso(_iso(moment))
    except ValueError as error:
        raise Refused(failed("recover to", f"target_time {moment!r}", error, _WRITE)) from None
    if target < checkpoint:
        cause = f"the backup is from {to_iso(checkpoint)}, after it"
        raise RecoveryError(failed("recover to", f"target_time {moment}", cause, "Restore an earlier backup."))


def _iso(moment: str) -> str:
    """Return RFC 3339 for the way that PostgreSQL writes a time, where a zone may be hours only."""
    short = re.sub(r"\s*UTC$", "Z", moment.strip(), flags=re.I)
    return re.sub(r"([+-]\d{2})$", r"\1:00", short)


def _require_zone(moment: str | None) -> None:
    """Raise Refused for a time without a zone: PostgreSQL would take its own."""
    if moment and not _ZONE.search(moment):
        raise Refused(failed("recover to", f"target_time {moment!r}", "it names no zone", _WRITE))
