# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sets a damaged cluster aside, lets it be looked at, puts the recovered one in its place, and takes that back.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

from . import needs
from . import quarantine_places as places_of
from . import standby_files as files
from .clock import Wait
from .connections import lease_option, record_option
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification
from .guard_hba import HbaFile
from .lease import Lease
from .logical_process import Tell, silent
from .postgres_cluster import Cluster
from .quarantine_configuration import settle
from .quarantine_places import Places
from .quarantine_server import PreservedServer, facts_of, release
from .standby_journal import Journal

SPECIFICATION = Specification(
    argument_spec={
        "state": {
            "type": "str",
            "choices": ["observed", "aside", "opened", "closed", "placed", "returned", "removed"],
            "default": "observed",
        },
        "data_directory": {"type": "path", "required": True},
        "incident": {"type": "str", "required": True},
        "keep_directory": {"type": "path"},
        "directory": {"type": "path"},
        "recovered": {"type": "path"},
        "settings": {"type": "dict", "default": {}},
        "hba_file": {"type": "path"},
        "lease": lease_option(required=False),
        "holder": {"type": "str"},
        "superuser": {"type": "str", "default": "postgres"},
        "port": {"type": "int", "default": 5432},
        "memory_mb": {"type": "int"},
        "bin_directory": {"type": "path"},
        "wait_timeout": {"type": "int", "default": 300},
        "record": record_option(),
    },
    required_if=[("state", "opened", ["directory"]), ("state", "placed", ["recovered"])],
    required_together=[["lease", "holder"]],
    needs=needs.all_of(needs.lease(), needs.recorded()),
)


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Serve the module pg_quarantine. Whatever goes wrong, what is known goes with the error."""
    service = _Service(params, check_mode, tell or silent)
    try:
        service.run()
    except RecoveryError as error:
        error.facts = {**service.finished(), **error.facts}
        raise
    return service.finished()


class _Service:
    def __init__(self, params: Params, check_mode: bool, tell: Tell) -> None:
        self.params, self.check_mode, self.tell = params, check_mode, tell
        self.places = Places.of(params["data_directory"], params.get("keep_directory"), params["incident"])
        self.timeout = float(params["wait_timeout"])
        self.begun = time.monotonic()
        self.before = self.places.stage
        self.predicted: str | None = None
        self.waits: list[dict[str, t.Any]] = []
        self.result: Result = {"changed": False, "connection": None, "read_only": None, "own_files": [], "removed": []}

    def run(self) -> None:
        """Bring the state about. Raises RecoveryError."""
        state = self.params["state"]
        if state == "observed":
            return
        if self.check_mode:
            self._act(state)
            return
        with Journal(self.places.data).lock():  # a rebuild as a standby works with the same directories
            self._act(state)

    def _act(self, state: str) -> None:
        {
            "aside": self._set_aside, "opened": self._open, "closed": self._close, "placed": self._place,
            "returned": self._return, "removed": self._remove,
        }[state]()  # fmt: skip

    def _set_aside(self) -> None:
        places = self.places
        if places.stage not in (places_of.UNTOUCHED, places_of.LOST):
            return
        self._need_lease("set aside", str(places.data))
        self._need_stopped(places.data)
        places.need_renames()
        self._change(places_of.ASIDE)
        if self.check_mode:
            return
        if places.data.exists():
            files.move(places.data, places.damaged)
        else:
            places.damaged.mkdir(mode=0o700)
            (places.damaged / places_of.NOTHING).touch()
            files.sync(places.damaged.parent)

    def _server(self) -> PreservedServer:
        directory = Path(self.params["directory"])
        given = self.params["superuser"], int(self.params["port"]), self.timeout
        return PreservedServer(self.places.damaged, directory, *given)

    def _open(self) -> None:
        if self.check_mode and self.places.stage in (places_of.UNTOUCHED, places_of.LOST):
            self.result["changed"] = True
            return
        self._need_stage("open", places_of.ASIDE, places_of.PLACED)
        if self._nothing_there:
            remedy = "There is nothing to look at: recover from a backup."
            raise Refused(failed("open", str(self.places.damaged), "no cluster was left to set aside", remedy))
        server = self._server()
        if not server.running:
            self.result["changed"] = True
            if self.check_mode:
                return
            server.begin(self.params.get("memory_mb"), self.params.get("bin_directory"))
            with Wait("quarantine_start") as wait:
                server.await_answers(self.tell)
            self.waits.append(wait.as_dict())
        with server.explaining():
            server.need_read_only()
            server.ask()
        self.result.update(connection=server.options(), read_only=True)

    def _close(self) -> None:
        if not self.places.damaged.exists() or self._nothing_there:
            return
        if self.params.get("directory"):
            server = self._server()
            if self.check_mode:
                self.result["changed"] = server.running
            else:
                self.result["changed"] = server.end(self.timeout)
        elif not self.check_mode:
            release(self.places.damaged)

    def _place(self) -> None:
        places, recovered = self.places, Path(self.params["recovered"])
        if places.stage == places_of.PLACED:
            files.remove(places.saved) if not self.check_mode else None
            return
        if self.check_mode and places.stage in (places_of.UNTOUCHED, places_of.LOST):
            self._change(places_of.PLACED)
            return
        self._need_stage("place the recovered cluster", places_of.ASIDE)
        self._need_lease("place", str(recovered))
        self._need_recovered(recovered)
        self._need_stopped(places.damaged)
        self._change(places_of.PLACED)
        if self.check_mode:
            return
        old = None if self._nothing_there else places.damaged
        if old:
            release(old)
        self.result["own_files"] = settle(recovered, old, places.saved, self.params["settings"])
        if self.params.get("hba_file"):  # whoever starts it starts it fenced; the guard opens it
            self._close_hba(Path(self.params["hba_file"]), recovered)
        Cluster(recovered, self.params.get("bin_directory")).run(
            "initdb", "--sync-only", "-D", str(recovered), timeout=max(60.0, self.timeout)
        )
        files.move(recovered, places.data)
        files.remove(places.saved)

    def _close_hba(self, hba: Path, recovered: Path) -> None:
        if hba.is_relative_to(self.params["data_directory"]) or hba.is_relative_to(self.places.data):
            hba = recovered / hba.name
        HbaFile(hba).close("closed until its region holds the lease again")

    def _return(self) -> None:
        places = self.places
        if places.stage in (places_of.RETURNED, places_of.UNTOUCHED):
            return
        self._need_stage("take back", places_of.ASIDE, places_of.PLACED, places_of.RETURNING)
        if self._nothing_there:
            remedy = "There is no way back; recover from a backup."
            raise Refused(failed("take back", str(places.damaged), "no cluster was left to set aside", remedy))
        self._need_lease("take back", str(places.damaged))
        self._need_stopped(places.damaged)
        if places.data.exists():
            self._need_stopped(places.data)
        self._change(places_of.RETURNED if places.stage != places_of.ASIDE else places_of.UNTOUCHED)
        if self.check_mode:
            return
        release(places.damaged)
        if places.data.exists():
            files.move(places.data, places.recovered)
        files.move(places.damaged, places.data)

    def _remove(self) -> None:
        places = self.places
        kept = places.kept
        if kept is None or places.stage == places_of.ASIDE:
            if places.stage == places_of.ASIDE:
                remedy = "Recover first, or take the damaged cluster back."
                raise Refused(failed("remove", str(kept), "nothing stands in its place", remedy))
            return
        for one in (kept, *([] if self._nothing_there else [kept])):
            if (one / "PG_VERSION").exists() and Cluster(one, self.params.get("bin_directory")).running:
                raise Refused(failed("remove", str(one), "a server runs in it", "Stop it first (state closed)."))
        self._need_serving(kept)
        self.result["removed"] = [str(kept)]
        self._change(places_of.UNTOUCHED)
        if not self.check_mode:
            files.remove(kept)

    @property
    def _nothing_there(self) -> bool:
        return (self.places.damaged / places_of.NOTHING).exists()

    def _change(self, stage: str) -> None:
        self.result["changed"] = True
        self.predicted = stage

    def _need_stage(self, verb: str, *stages: str) -> None:
        stage = self.places.stage
        if stage not in stages:
            remedy = "See state observed, and run the playbook of the incident again."
            cause = f"it is {stage} in incident {self.params['incident']}"
            raise Refused(failed(verb, str(self.places.data), cause, remedy))

    def _need_stopped(self, data: Path) -> None:
        """Fenced means stopped; a server that runs may be taking writes. In a plan the fence is still to come."""
        if self.check_mode:
            return
        if (data / "PG_VERSION").exists() and Cluster(data, self.params.get("bin_directory")).running:
            remedy = "Fence the region first; the server of a set-aside cluster is ended by state closed."
            raise Refused(failed("move", str(data), "its server runs", remedy))

    def _need_lease(self, verb: str, what: str) -> None:
        """Nobody but this incident may act: the guard of no region starts or opens anything meanwhile."""
        if not self.params.get("lease"):
            return
        lease = Lease.from_options(self.params["lease"])
        view = lease.read()
        if view.held_by(self.params["holder"]) or self.check_mode:
            return
        record = view.record
        holder = record.holder if record and not record.released else "nobody"
        remedy = f"{self.params['holder']} has to claim it first (pg_fence)."
        raise Refused(failed(verb, what, f"{holder} holds lease {lease.key}", remedy))

    def _need_recovered(self, recovered: Path) -> None:
        """It is a cluster, out of recovery, stopped in order, of this system, and on this file system.

        One that was just proven still runs, where nobody reaches it, and is stopped here.
        """
        cluster = Cluster(recovered, self.params.get("bin_directory"))
        what = f"the recovered cluster {recovered}"
        if not self.check_mode:
            cluster.stop(self.timeout)
        control = cluster.control()
        stopped = control.state == "shut down" or (self.check_mode and cluster.running)
        if not stopped or not cluster.postmaster.is_primary:
            remedy = "Promote it, then stop it in order."
            raise Refused(failed("place", what, f"it is not a primary that was shut down ({control.state})", remedy))
        if os.stat(recovered).st_dev != os.stat(self.places.data.parent).st_dev:
            remedy = "Recover into a directory of the data directory's file system."
            raise Refused(failed("place", what, f"it is not on the file system of {self.places.data.parent}", remedy))
        old = facts_of(self.places.damaged, self.params.get("bin_directory")) if not self._nothing_there else {}
        if old.get("system_identifier") not in (None, control.system_identifier):
            cause = f"its system identifier is {control.system_identifier}, not {old['system_identifier']}"
            raise Refused(failed("place", what, cause, "Recover from a backup of this cluster."))

    def _need_serving(self, kept: Path) -> None:
        """What stands in the place has to run before its alternative is destroyed."""
        if not Cluster(self.places.data, self.params.get("bin_directory")).running:
            remedy = "Start it and prove it first."
            raise Refused(failed("remove", str(kept), f"no server runs in {self.places.data}", remedy))

    def finished(self) -> Result:
        """Return everything that is known."""
        places = self.places
        stage = self.predicted if self.check_mode and self.predicted else places.stage
        kept, bin_directory = places.kept, self.params.get("bin_directory")
        found: Result = {
            **self.result,
            "stage": stage,
            "data_directory": str(places.data),
            "kept": str(kept) if kept else None,
            "kept_bytes": files.size(kept) if kept else None,
            "control": facts_of(places.data, bin_directory) if places.data.exists() else {},
            "kept_control": facts_of(kept, bin_directory) if kept and not self._nothing_there else {},
            "seconds": round(time.monotonic() - self.begun, 3),
            "waits": self.waits,
            "diff": {"before": {"stage": self.before}, "after": {"stage": stage}},
        }
        told = ("stage", "kept", "kept_bytes", "control", "kept_control", "own_files", "removed")
        return {**found, "evidence": {name: found[name] for name in told}}
