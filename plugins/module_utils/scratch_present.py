# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes one scratch present: a new cluster, a logical backup restored into one, or a restored data directory.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import os
import shutil
import typing as t
from pathlib import Path

from .clock import Wait
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result
from .guard_postmaster import Postmaster
from .logical_destination import DUMP, GLOBALS
from .logical_judge import judge
from .logical_messages import outcome_of
from .logical_process import Tell
from .logical_restore import Restore, restore_logical
from .logical_tools import find_tools
from .postgres_cluster import Cluster
from .scratch_cluster import Account, ScratchServer
from .scratch_owner import Scratch, ScratchRoot
from .scratch_recovery import Recovery, Replay
from .scratch_remove import stop
from .scratch_settings import (
    Settings,
    base_settings,
    inherited,
    new_cluster_settings,
    require_inside,
    restored_settings,
)
from .scratch_target import recovery_settings
from .sql import Postgres

#: stands in the scratch once its recovery has begun: a second start does not begin it anew
_BEGUN = "recovery-begun"
#: what came of it, kept in the scratch: the same command says it again
_RESULT = "result.json"
_TOLD = ("restore", "recovery", "facts", "outcome", "problems", "left_out", "connection", "waits")
#: beside the database: a new cluster, its WAL and its log
_OVERHEAD_BYTES = 128 << 20


class Presence:
    """One scratch directory of ours, on its way to a running server."""

    def __init__(self, params: Params, scratch: Scratch, tell: Tell) -> None:
        self.params, self.scratch, self.tell = params, scratch, tell
        self.account = Account.of(params.get("user"))
        self.waits: list[dict[str, t.Any]] = []

    @staticmethod
    def is_finished(scratch: Scratch) -> bool:
        """True when its server runs and what it was made for is done."""
        return (scratch.path / _RESULT).is_file() and Postmaster(scratch.data).pid() is not None

    def reserve(self, result: Result) -> None:
        """Make its directories, for others to restore into; nothing runs in it."""
        self._server(self.params["superuser"]).prepare()
        if Postmaster(self.scratch.data).pid() is not None:
            stop(self.scratch)
            result["changed"] = True
        for name in (_RESULT, _BEGUN):  # what is restored next begins anew
            (self.scratch.path / name).unlink(missing_ok=True)
        result.update(path=str(self.scratch.path), data_directory=str(self.scratch.data))

    def make(self, result: Result) -> None:
        """Have its server run, isolated, with what is to be in it. Raises RecoveryError."""
        result.update(path=str(self.scratch.path), data_directory=str(self.scratch.data))
        if self.is_finished(self.scratch):
            self._again(result)
            return
        result["changed"] = True
        (self.scratch.path / _RESULT).unlink(missing_ok=True)
        stop(self.scratch)
        if self.params.get("logical"):
            self._logical(Path(self.params["logical"]), result)
        elif (self.scratch.data / "PG_VERSION").exists():
            self._restored(result)
        else:
            self._new(result, {}, self.params["superuser"])
        result["waits"] = self.waits
        told = {name: result[name] for name in _TOLD}
        (self.scratch.path / _RESULT).write_text(json.dumps(told), encoding="utf-8")

    def _server(self, superuser: str) -> ScratchServer:
        return ScratchServer(
            self.scratch, self.account, superuser, int(self.params["port"]), float(self.params["timeout"])
        )

    def _again(self, result: Result) -> None:
        """Say what an earlier call found, of a server that still runs; promote it when that is asked now."""
        result.update(json.loads((self.scratch.path / _RESULT).read_text(encoding="utf-8")))
        server = self._server(result["connection"]["user"])
        result["settings"] = server.ask()
        if result["recovery"] and self.params["promote"] and result["recovery"]["in_recovery"]:
            result["changed"] = True
            self._promote(server, result)
            result["waits"] = [*result["waits"], *self.waits]
            told = {name: result[name] for name in _TOLD}
            (self.scratch.path / _RESULT).write_text(json.dumps(told), encoding="utf-8")
        self._look(server, result)

    def _base(self) -> dict[str, str]:
        free = ScratchRoot(str(self.scratch.path)).free_bytes
        return base_settings(self.scratch.path, int(self.params["port"]), self.params.get("memory_mb"), free)

    def _start(self, server: ScratchServer, settings: Settings, result: Result) -> None:
        server.start(settings, self.params.get("bin_directory"))
        with Wait("scratch_start") as wait:
            server.await_answers(self.tell)
        self.waits.append(wait.as_dict())
        with server.explaining():  # a server in recovery may end after it has answered
            result.update(settings=server.ask(), left_out=settings.left_out, connection=server.options())
            self._look(server, result)

    def _look(self, server: ScratchServer, result: Result) -> None:
        with Postgres(server.options("template1")) as sql:
            result["in_recovery"] = Replay.of(sql).in_recovery
        result.update(running=True, version=server.version())

    def _new(self, result: Result, facts: t.Mapping[str, t.Any], superuser: str) -> ScratchServer:
        """Make an empty cluster like the one that the facts tell of."""
        for name in ("data", "tablespaces"):
            shutil.rmtree(self.scratch.path / name, ignore_errors=True)
        server = self._server(superuser)
        server.prepare()
        major = int(facts.get("server_version_num") or 0) // 10000
        why = f"the source is {facts.get('server_version') or 'any version'}"
        tools = find_tools("initdb", major, self.params.get("bin_directory"), why)
        locale = {"lc-collate": facts.get("collate") or "C", "lc-ctype": facts.get("ctype") or "C", "lc-messages": "C"}
        server.initialise(tools, str(facts.get("encoding") or "UTF8"), locale, bool(facts.get("checksums", True)))
        self._start(server, new_cluster_settings(self._base()), result)
        return server

    def _logical(self, directory: Path, result: Result) -> None:
        facts, problems = judge(directory, self.params.get("database"), self.params.get("objective_seconds"))
        result["facts"] = facts
        if not facts:
            result.update(problems=[one.as_dict() for one in problems], outcome="failed")
            return
        needed = self.params.get("needed_bytes") or int(facts.get("database_bytes") or 0) * 5 // 4 + _OVERHEAD_BYTES
        ScratchRoot(str(self.scratch.path)).require_space(needed)
        server = self._new(result, facts, str(facts.get("bootstrap_role") or self.params["superuser"]))
        with Postgres(server.options("template1")) as sql:
            sql.rows("DROP DATABASE postgres", timeout=60.0)  # the dump may bring one of that name
        done = restore_logical(
            Restore(
                dump=directory / DUMP,
                options=server.options("template1"),
                jobs=self.params.get("jobs") or len(os.sched_getaffinity(0)),
                globals=directory / GLOBALS,
                facts=facts,
                tablespaces=self.scratch.path / "tablespaces",
                analyze=self.params["analyze"],
                bin_directory=self.params.get("bin_directory"),
                timeout=float(self.params["timeout"]),
            ),
            self.tell,
        )
        found = [*(one.as_dict() for one in problems), *done.problems]
        database = done.database if done.bytes is not None else "template1"
        result.update(restore=done.as_dict(), problems=found, connection=server.options(database or "template1"))
        result["outcome"] = outcome_of(found)
        self._complete(server)

    def _complete(self, server: ScratchServer) -> None:
        """Give a cluster whose dump has another name the database that tools connect to when none is named."""
        with Postgres(server.options("template1")) as sql:
            if not sql.rows("SELECT FROM pg_database WHERE datname = 'postgres'"):
                sql.rows("CREATE DATABASE postgres", timeout=60.0)

    def _restored(self, result: Result) -> None:
        """Start what was restored into the data directory, in recovery where its files say so."""
        data = self.scratch.data
        require_inside(data, self.scratch.path)
        server = self._server(self.params["superuser"])
        server.prepare()
        if os.geteuid() == 0 and os.stat(data).st_uid == 0:
            remedy = "Restore as the account that is to run the server (option user)."
            raise Refused(failed("start", f"a scratch in {data}", "its files belong to root", remedy))
        cluster = Cluster(data, self.params.get("bin_directory"))
        brought = inherited(data)
        preload = brought.pop("shared_preload_libraries", "")
        if self.params.get("preload") is not None:
            preload = ",".join(self.params["preload"])
        recovery = recovery_settings(self.params.get("recovery"), brought, cluster)
        if self.params.get("recovery"):
            self._enter_recovery()
        in_recovery = any((data / name).exists() for name in ("recovery.signal", "standby.signal"))
        slots = max(10, len(os.listdir(data / "pg_replslot")))
        settings = restored_settings(
            self._base(),
            cluster.control().settings,
            recovery if in_recovery else {},
            preload,
            libraries(cluster),
            slots,
        )
        self._start(server, settings, result)
        waiting = Recovery(server, self.tell)
        result["recovery"] = waiting.await_end(settings.has_target).as_dict()
        self.waits.append(waiting.wait.as_dict())
        if self.params["promote"] and result["recovery"]["in_recovery"]:
            self._promote(server, result)
        self._look(server, result)

    def _promote(self, server: ScratchServer, result: Result) -> None:
        with Wait("promotion") as wait:
            result["recovery"] = Recovery(server, self.tell).promote().as_dict()
        self.waits.append(wait.as_dict())

    def _enter_recovery(self) -> None:
        """Have the server begin in recovery, once: what was promoted since stays so."""
        begun, signal = self.scratch.path / _BEGUN, self.scratch.data / "recovery.signal"
        if not begun.exists():
            signal.touch(mode=0o600)
            self.account.give(signal)
            begun.touch()


def libraries(cluster: Cluster) -> Path:
    """Return where the server looks for libraries to load."""
    try:
        return Path(cluster.run("pg_config", "--pkglibdir").stdout.strip())
    except RecoveryError:
        return Path(cluster.program("postgres")).resolve().parent.parent / "lib"
