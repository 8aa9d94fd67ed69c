# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds and saves the committed writes that an old primary has and the new one has not.

PRIVATE to the collection.
"""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from . import needs
from .connections import postgres_option, record_option
from .divergence_effects import Effects, settle
from .divergence_files import MANIFEST, Directory
from .divergence_records import Relation
from .divergence_save import Report, Saver
from .divergence_scan import Found, Scan
from .divergence_session import await_end
from .divergence_source import Source
from .divergence_store import Store
from .divergence_wal import Wal
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification
from .postgres_cluster import Cluster
from .postgres_state import lsn_number
from .standby_timelines import Stretch, fork_of, local_history, lsn_text

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["observed", "saved"], "default": "saved"},
        "data_directory": {"type": "path", "required": True},
        "bin_directory": {"type": "path"},
        "source": postgres_option(),
        "source_databases": {"type": "dict", "default": {}},
        "directory": {"type": "path", "required": True},
        "incident": {"type": "str", "required": True},
        "region": {"type": "str", "required": True},
        "cluster": {"type": "str", "required": True},
        "timeout": {"type": "float", "default": 600.0},
        "record": record_option(),
    },
    needs=needs.all_of(needs.postgres("source"), needs.recorded()),
)

_NEXT_XID = re.compile(r"Latest checkpoint's NextXID:\s+(\d+):(\d+)")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COUNTS = ("inserted", "updated", "deleted", "written", "unresolved", "previous_missing", "gone_again")


def run(params: Params, check_mode: bool) -> Result:
    """Return what diverged, and save it where asked. Raises RecoveryError; then nothing was lost."""
    started = time.monotonic()
    cluster = Cluster(Path(params["data_directory"]), params.get("bin_directory"))
    for name in ("incident", "region", "cluster"):
        if not _SAFE.fullmatch(params[name]):
            remedy = "Use letters, digits, dots, dashes and underscores."
            raise Refused(failed("name a directory after", f"{name} {params[name]!r}", "it is no plain name", remedy))
    await_end(cluster)
    with Source(params["source"], params["source_databases"] or {}, params["timeout"]) as source, Store() as store:
        divergence = Divergence(params, cluster, source, store)
        result = divergence.result(saving=params["state"] == "saved", check_mode=check_mode)
    result["seconds"] = round(time.monotonic() - started, 3)
    result["evidence"]["seconds"] = result["seconds"]
    return result


@dataclass
class Divergence:
    """One old primary against one new one."""

    params: Params
    cluster: Cluster
    source: Source
    store: Store

    def result(self, saving: bool, check_mode: bool) -> Result:
        """Return the module's result."""
        self.control = self.cluster.control()
        ours, fork = self._fork()
        if fork is None:
            return self._told(None, None, [], [], None, False)
        wal = Wal(self.cluster, ours, self.control.segment_size)
        self.scan = Scan(wal, self.store, fork, self._next_xid())
        found = self.scan.run()
        self._believe(found)
        effects = settle(self.store)
        if not self._diverged(found):
            return self._told(found, None, [], [], None, False)
        directory = self._directory(ours, fork)
        before = directory.manifest() if saving else None
        if before is not None and before.get("last_change_lsn") == lsn_text(found.last_change):
            self._intact(directory, before)
            return self._told(found, directory, before["tables"], before["others"], before, False)
        if not saving or check_mode:
            tables, others = self._counted(effects)
            return self._told(found, directory if saving else None, tables, others, None, saving)
        manifest = self._save(directory, wal, found, effects)
        return self._told(found, directory, manifest["tables"], manifest["others"], manifest, True)

    def _fork(self) -> tuple[list[Stretch], int | None]:
        """Return our history, and where the new primary's left it; None where it did not."""
        system, theirs = self.source.history()
        what = f"the cluster in {self.cluster.data} with the new primary"
        if system != self.control.system_identifier:
            cause = f"system identifiers differ ({self.control.system_identifier}, {system})"
            raise Refused(failed("compare", what, cause, "Correct data_directory or source."))
        ours = local_history(self.cluster, self.control.timeline)
        try:
            fork = fork_of(ours, theirs)
        except ValueError as error:
            raise Refused(failed("compare", what, error, "Correct source.")) from error
        if fork is None and self.source.in_recovery():
            raise Refused(failed("compare", what, "it is a standby", "Promote it first, or correct source."))
        return ours, fork

    def _next_xid(self) -> int:
        said = self.cluster.run("pg_controldata", "-D", str(self.cluster.data)).stdout
        found = _NEXT_XID.search(said)
        if found is None:
            cause = "pg_controldata does not say the next transaction id"
            raise RecoveryError(failed("read the control file of", str(self.cluster.data), cause))
        return (int(found[1]) << 32) + int(found[2])

    def _believe(self, found: Found) -> None:
        """The WAL has to reach as far as the control file says that the cluster once was."""
        known = max(lsn_number(self.control.checkpoint), lsn_number(self.control.min_recovery))
        if known > found.fork and found.end <= known:
            cause = f"it ends at {lsn_text(found.end)}, before {lsn_text(known)}, which the control file names"
            remedy = "A segment is damaged or missing: fetch it from the WAL archive into pg_wal, then run again."
            raise RecoveryError(failed("read the WAL of", str(self.cluster.data), cause, remedy))

    def _diverged(self, found: Found) -> bool:
        return bool(found.transactions or found.prepared or self.store.number("SELECT count(*) FROM sequence"))

    def _directory(self, ours: list[Stretch], fork: int) -> Directory:
        base = Path(self.params["directory"]) / self.params["incident"]
        identity = {
            "system_identifier": self.control.system_identifier,
            "timeline": ours[-1].timeline,
            "fork_lsn": lsn_text(fork),
        }
        return Directory(base, f"{self.params['region']}-{self.params['cluster']}", identity)

    def _intact(self, directory: Directory, manifest: dict[str, t.Any]) -> None:
        wrong = directory.verify(manifest)
        if wrong:
            remedy = f"Move the directory aside to save again, while {self.cluster.data} is as it was."
            raise RecoveryError(failed("verify", str(directory.path), f"{', '.join(wrong[:3])} changed", remedy))

    def _counted(self, effects: dict[int, Effects]) -> tuple[list[dict[str, t.Any]], list[dict[str, t.Any]]]:
        """Return the counts by table as the WAL and the new primary's names give them; nothing is started."""
        databases = self.source.database_names()
        tables = []
        for number, counts in effects.items():
            relation = self.store.relation(number)
            database = databases.get(relation.database)
            table = self._named(database, relation)
            if table is not None and (table.kind != "r" or table.is_catalog):
                continue
            tables.append(
                {
                    "database": database or str(relation.database),
                    "schema": table.schema if table else None,
                    "table": table.name if table else f"filenode {relation.filenode}",
                    "inserted": counts.inserted,
                    "updated": counts.updated,
                    "deleted": counts.deleted,
                    "unresolved": None,
                    "gone_again": counts.gone,
                    "file": None,
                }
            )
        sequences = self.store.number("SELECT count(*) FROM sequence")
        others = [{"kind": "sequences", "count": sequences}] if sequences else []
        catalogs = self.store.number("SELECT count(DISTINCT xid) FROM catalog WHERE filenode NOT IN (2619, 3429)")
        return tables, others + ([{"kind": "ddl", "transactions": catalogs}] if catalogs else [])

    def _named(self, database: str | None, relation: Relation) -> t.Any:
        try:
            return self.source.tables(database).get(relation) if database else None
        except RecoveryError:
            return None

    def _save(self, directory: Directory, wal: Wal, found: Found, effects: dict[int, Effects]) -> dict[str, t.Any]:
        directory.prepare()
        segments = wal.segments(found.start if found.complete else found.fork, found.end)
        histories = sorted((self.cluster.data / "pg_wal").glob("*.history"))
        directory.require_room(sum(path.stat().st_size for path in segments))
        for path in (*segments, *histories):
            directory.copy(path)
        self.cluster.recover(self.params["timeout"])
        saver = Saver(self.cluster, self.scan, self.store, self.source, effects, self.params["timeout"])
        report = saver.save(directory)
        self._complete(report, found)
        return directory.finish(
            {
                **directory.identity,
                "end_lsn": lsn_text(found.end),
                "last_change_lsn": lsn_text(found.last_change),
                "incident": self.params["incident"],
                "region": self.params["region"],
                "cluster": self.params["cluster"],
                "transactions": found.transactions,
                "tables": report.tables,
                "others": report.others,
                "versions": {"postgres": self.cluster.run("postgres", "--version").stdout.strip()},
            }
        )

    def _complete(self, report: Report, found: Found) -> None:
        for xid, name in found.prepared.items():
            report.others.append({"kind": "prepared", "xid": xid, "name": name, "changes": found.prepared_rows[xid]})
        if not found.complete:
            report.others.append({"kind": "wal_before_the_fork_gone", "from": lsn_text(found.start)})

    def _told(
        self, found: Found | None, directory: Directory | None, tables: list[dict[str, t.Any]],
        others: list[dict[str, t.Any]], manifest: dict[str, t.Any] | None, changed: bool,
    ) -> Result:  # fmt: skip
        diverged = found is not None and self._diverged(found)
        totals = {name: sum(int(one.get(name) or 0) for one in tables) for name in _COUNTS}
        path = str(directory.path / MANIFEST) if directory and diverged else None
        end = found and (manifest["end_lsn"] if manifest else lsn_text(found.end))
        evidence = {
            "region": self.params["region"],
            "cluster": self.params["cluster"],
            "system_identifier": self.control.system_identifier,
            "diverged": diverged,
            "saved": manifest is not None,
            "fork_lsn": lsn_text(found.fork) if found else None,
            "end_lsn": end or None,
            "transactions": found.transactions if found else 0,
            "totals": totals,
            "tables": tables,
            "others": others,
            "manifest": path,
            "bytes": manifest["bytes"] if manifest else 0,
        }
        known = ("diverged", "fork_lsn", "end_lsn", "transactions", "tables", "others", "totals", "manifest", "bytes")
        after = {"saved": diverged and (changed or manifest is not None)}
        return {
            **{name: evidence[name] for name in known},
            "changed": changed,
            "evidence": evidence,
            "diff": {"before": {"saved": diverged and manifest is not None and not changed}, "after": after},
        }
