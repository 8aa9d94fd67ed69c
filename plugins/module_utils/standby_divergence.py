# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May a cluster's own writes be left behind? Only when there are none, all are saved, or somebody accepts the loss.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from .divergence_scan import Scan
from .divergence_store import Store
from .divergence_wal import Wal
from .errors import RecoveryError, Refused, failed
from .postgres_cluster import Cluster
from .postgres_state import lsn_number
from .standby_plan import Comparison
from .standby_timelines import local_history, lsn_text


def settlement(cluster: Cluster, found: Comparison, region: str, manifest: str | None, acceptance: str | None) -> str:
    """Return what allows the cluster's own WAL past the fork to be left behind. Raises Refused without anything."""
    if not found.diverged:
        return "nothing to lose"
    what, wanted = f"the divergent writes of {region} behind", f"discard the divergent writes of {region}"
    if acceptance and acceptance.strip() == wanted:
        return f"accepted: {wanted}"
    remedy = f"Save them with pg_divergence and give divergence_saved, or type the acceptance {wanted!r}."
    if found.fork is None:
        raise Refused(failed("leave", what, found.trouble, remedy))
    try:
        last = last_change(cluster, found)
    except RecoveryError as error:
        raise Refused(failed("leave", what, error, remedy)) from error
    if last is None:
        return f"nothing to lose: no committed write between {found.fork} and {found.end}"
    if not manifest:
        cause = f"the source left it at {found.fork}, and it was written to up to {last}"
        raise Refused(failed("leave", what, cause, remedy))
    told, expected = _saved(manifest), (found.control.system_identifier, found.fork, last)
    if told != expected:
        remedy = f"Run pg_divergence again, or type the acceptance {wanted!r}."
        cause = f"{manifest} is of (system, fork, last change) {told}, and the cluster is at {expected}"
        raise Refused(failed("leave", what, cause, remedy))
    return f"saved: {manifest}"


def last_change(cluster: Cluster, found: Comparison) -> str | None:
    """Return where the last write after the fork stands, as pg_divergence sees it; None without a committed one."""
    history = local_history(cluster, found.timeline)
    wal = Wal(cluster, history, found.control.segment_size)
    with Store() as store:
        seen = Scan(wal, store, lsn_number(str(found.fork)), found.control.next_xid).run()
        lost = seen.transactions or seen.prepared or store.number("SELECT count(*) FROM sequence")
        return lsn_text(seen.last_change) if lost else None


def _saved(path: str) -> tuple[t.Any, ...]:
    """Return system identifier, fork and last change of what pg_divergence saved."""
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
        return (str(raw["system_identifier"]), raw["fork_lsn"], raw["last_change_lsn"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "Give the path of the manifest that pg_divergence wrote."
        raise Refused(failed("read", f"the manifest {path}", error, remedy)) from error
