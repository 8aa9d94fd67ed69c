# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes a region's PostgreSQL, fenced, stopped or crashed, a standby of the region that is primary now.

PRIVATE to the collection.
"""

from __future__ import annotations

from pathlib import Path

from . import needs
from . import standby_journal as journal
from .clock import wait_until
from .connections import lease_option, postgres_option, record_option
from .errors import RecoveryError, Refused, TimedOut, failed
from .execution import Params, Result, Specification
from .lease import Lease
from .postgres_cluster import Cluster
from .sql import Postgres
from .standby_divergence import settlement
from .standby_examine import Examination, Examiner
from .standby_journal import Entry, Journal
from .standby_places import Places
from .standby_plan import Comparison
from .standby_program import Tell
from .standby_rebuild import Rebuild, close, open_for_standby
from .standby_report import Report
from .standby_server import CatchUp, Standby, lag_bytes
from .standby_settings import StandbySettings, conninfo
from .standby_source import Source

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["observed", "present", "streaming"], "default": "present"},
        "data_directory": {"type": "path", "required": True},
        "hba_file": {"type": "path", "required": True},
        "bin_directory": {"type": "path"},
        "postgres": postgres_option(),
        "source": postgres_option(),
        "region": {"type": "str", "required": True},
        "source_region": {"type": "str"},
        "slot": {"type": "str", "required": True},
        "conninfo": {"type": "dict", "default": {}},
        "method": {"type": "str", "choices": ["auto", "follow", "rewind", "copy"], "default": "auto"},
        "incident": {"type": "str", "required": True},
        "keep_directory": {"type": "path"},
        "divergence_saved": {"type": "path"},
        "acceptance": {"type": "str"},
        "lease": lease_option(required=False),
        "wait_timeout": {"type": "int", "default": 300},
        "program_timeout": {"type": "int", "default": 14400},
        "record": record_option(),
    },
    required_by={"lease": ["source_region"]},
    needs=needs.all_of(needs.postgres(), needs.postgres("source"), needs.lease(), needs.recorded()),
)


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Serve the module pg_standby. Whatever goes wrong, what is known goes with the error."""
    conversion = Conversion(params, check_mode, tell)
    try:
        conversion.run()
    except RecoveryError as error:
        error.facts = {**conversion.report.result(), **error.facts}
        raise
    finally:
        conversion.close()
    return conversion.report.result()


class Conversion:
    """One call of pg_standby."""

    def __init__(self, params: Params, check_mode: bool, tell: Tell | None) -> None:
        self.params = params
        self.check_mode = check_mode or params["state"] == "observed"
        self.region: str = params["region"]
        self.hba = Path(params["hba_file"])
        self.places = Places.of(params["data_directory"], params.get("keep_directory"), params["incident"])
        self.source = Source(params["source"])
        self.server = Postgres(params["postgres"], self.region)
        self.report = Report(params, check_mode, self.places)
        more = params.get("conninfo") or {}
        self.settings = StandbySettings(
            conninfo(params["source"], more, application_name=self.region), str(params["slot"])
        )
        self.journal = Journal(self.places.data)
        self.rebuild = Rebuild(
            self.places, self.source, self.settings, self.journal,
            # not the standby's own name: a synchronous primary would take the copy for the standby
            conninfo(params["source"], more, application_name="disaster_recovery"),
            str(params["slot"]), float(params["program_timeout"]), params.get("bin_directory"), tell,
            self._need_lease,
        )  # fmt: skip

    def close(self) -> None:
        """End the connections."""
        self.source.close()
        self.server.close()

    def run(self) -> None:
        """Observe, or bring it about, or wait for it."""
        entry = self.journal.read()
        if entry is None and self.params["state"] != "streaming":
            self._cluster()  # before anybody is asked
        self.report.primary = self.source.primary()
        if self.params["state"] == "streaming":
            self._wait()
            return
        self._need_lease()
        if not self.check_mode:
            with self.journal.lock():
                self._work(self.journal.read())
        elif entry is not None:
            self.report.predict_resumption(entry)
        else:
            self._predict()

    def _need_lease(self) -> None:
        """Follow only the region that may write: any other one is about to be fenced."""
        if not self.params.get("lease") or self.params["state"] == "observed":
            return
        lease = Lease.from_options(self.params["lease"])
        view = lease.read()
        if view.held_by(self.params["source_region"]):
            return
        record = view.record
        holder = record.holder if record and not record.released else "nobody"
        remedy = "Follow the holder; a region that nobody holds the lease for is not a primary."
        cause = f"{holder} holds lease {lease.key}"
        raise Refused(failed("follow", f"{self.params['source_region']}, {self.source.name}", cause, remedy))

    def _cluster(self) -> Cluster:
        return Cluster(self.places.data, self.params.get("bin_directory"))

    def _examine(self, cluster: Cluster) -> Examination:
        primary = self.report.need_primary()
        examiner = Examiner(self.source, primary, self.server, self.settings, self.params["method"])
        found = examiner.look(cluster)
        self.report.found(found)
        return found

    def _predict(self) -> None:
        cluster = self._cluster()
        found = self._examine(cluster)
        self.report.decide(found.method, found.reason)
        if found.method in ("rewind", "copy") and found.comparison:
            try:
                self._settle(cluster, found.comparison)
                self.places.need_room_to_rename()
            except Refused as error:
                self.report.needs = str(error)

    def _work(self, entry: Entry | None) -> None:
        """Finish what was begun, then do what is left to do."""
        if entry is not None:
            self._need_slot()
            self.report.settled = entry.settled
            self.report.done(
                self.rebuild.resume(entry), f"an earlier run was interrupted ({entry.stage})", self.rebuild
            )
        cluster = self._cluster()
        found = self._examine(cluster)
        if found.method is not None and cluster.running:
            if found.comparison and found.method != "follow" and not self.params.get("divergence_saved"):
                self._settle(cluster, found.comparison)  # refused before it is stopped
            cluster.stop(float(self.params["wait_timeout"]))
            self.report.changed = True
            found = self._examine(cluster)
        if found.method is not None:
            self._need_slot()
            self._do(cluster, found)
        if open_for_standby(self.hba, self.places.data):
            self.report.changed = True

    def _need_slot(self) -> None:
        """The slot exists, kept its WAL, and nobody else uses it."""
        name = str(self.params["slot"])
        present = self.source.slot(name)
        if present is None or present.lost:
            self.source.make_slot(name)
            self.report.slot_created = self.report.changed = True
        if present is None or not present.active or self._cluster_runs():
            return
        patience = min(90.0, float(self.params["wait_timeout"]))
        try:  # a sender notices late that its receiver has gone
            wait_until(lambda: not (self.source.slot(name) or present).active, patience, f"slot {name}")
        except TimedOut as error:
            remedy = "Give each standby a slot of its own."
            raise Refused(
                failed("use", f"slot {name} of {self.source.name}", "another standby uses it", remedy)
            ) from error

    def _cluster_runs(self) -> bool:
        return self.places.data.exists() and self._cluster().running

    def _do(self, cluster: Cluster, found: Examination) -> None:
        method, reason = found.method, found.reason
        self._need_lease()  # the server may have taken minutes to stop
        if method == "follow" or found.comparison is None:
            self.rebuild.follow()
            self.report.done(method, reason, self.rebuild)
            return
        self.places.need_room_to_rename()
        comparison = found.comparison
        self._settle(cluster, comparison)
        if method == "rewind":
            trouble = self._against_rewind(cluster)
            if not trouble:
                self._rewind(cluster, comparison, reason)
                return
            if self.params["method"] == "rewind":
                raise Refused(failed("rewind", str(self.places.data), trouble, "Use method auto or copy."))
            reason = f"{reason}; {trouble}"
        self.report.disk = self.places.need_room_to_copy(self.source.size())
        self._shut(cluster)
        self.rebuild.copy(cluster, self._entry(cluster, comparison, journal.COPYING, "copy"))
        self.report.done("copy", reason, self.rebuild)

    def _settle(self, cluster: Cluster, comparison: Comparison) -> None:
        given = self.params.get("divergence_saved"), self.params.get("acceptance")
        self.report.settled = settlement(cluster, comparison, self.region, *given)

    def _against_rewind(self, cluster: Cluster) -> str:
        try:
            if cluster.recover(float(self.params["program_timeout"])):
                self.report.changed = True
            self.source.need_checkpoint(self.report.need_primary().timeline, float(self.params["wait_timeout"]))
        except RecoveryError as error:
            return str(error).rstrip(".")
        return self.rebuild.dry_run(cluster)

    def _rewind(self, cluster: Cluster, comparison: Comparison, reason: str) -> None:
        self._shut(cluster)
        entry = self._entry(cluster, comparison, journal.PREPARED, "rewind")
        try:
            self.rebuild.rewind(cluster, entry)
            self.report.done("rewind", reason, self.rebuild)
        except RecoveryError as error:
            left = self.journal.read()
            if self.params["method"] == "rewind" or left is None or left.stage != journal.REWINDING:
                raise
            self.report.done(self.rebuild.resume(left), f"{reason}; the rewind broke off: {error}", self.rebuild)

    def _shut(self, cluster: Cluster) -> None:
        if cluster.postmaster.is_primary:
            close(self.hba)

    def _entry(self, cluster: Cluster, comparison: Comparison, stage: str, method: str) -> Entry:
        return Entry(
            stage=stage,
            incident=self.places.incident,
            workplace=str(self.places.beside(method)),
            saved=str(self.places.saved),
            kept=str(self.places.free_kept()),
            settled=self.report.settled,
            fork=comparison.fork,
            end=comparison.end,
            before=cluster.control().fingerprint,
        )

    def _wait(self) -> None:
        """Wait for the server, which somebody else starts."""
        catch_up = CatchUp(self.server, self.source, str(self.params["slot"]), self.report.need_primary())
        try:
            if self.check_mode:
                self.report.standby = Standby.of(self.server)
                return
            standby = catch_up.done(float(self.params["wait_timeout"]))
        finally:
            self.report.standby = catch_up.last or self.report.standby
            self.report.waits = [] if self.check_mode else [catch_up.wait.as_dict()]
        self.report.lag_bytes = lag_bytes(self.source, standby)
