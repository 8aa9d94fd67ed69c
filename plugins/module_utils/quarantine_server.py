# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A damaged cluster's server, started to be looked at: a standby of nobody, which cannot write, on a socket of its own.

None of the cluster's own files is changed. Its configuration is not read; what its `postgresql.auto.conf` says is
overruled on the command line.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from .errors import RecoveryError, Refused, failed
from .postgres_cluster import Cluster
from .scratch_cluster import Account, ScratchServer
from .scratch_owner import Scratch
from .scratch_settings import Settings, base_settings, inherited, restored_settings
from .sql import Postgres

SIGNAL = "standby.signal"
#: says that the signal file is ours
_OURS = "dr-read-only"


class _Beside(Scratch):
    """Directories of a scratch server's own, whose data directory lies elsewhere."""

    def __init__(self, path: Path, data: Path) -> None:
        super().__init__(path)
        self._data = data

    @property
    def data(self) -> Path:
        """The preserved data directory."""
        return self._data


class PreservedServer(ScratchServer):
    """The server of a cluster that is preserved. `directory` takes its socket and its log; its path has to be short."""

    def __init__(self, data: Path, directory: Path, superuser: str, port: int, timeout: float) -> None:
        self.cluster = Cluster(data)
        self.directory = directory / f"q-{hashlib.sha256(os.fsencode(data)).hexdigest()[:8]}"
        account = Account(self.cluster.uid, self.cluster.gid)
        super().__init__(_Beside(self.directory, data), account, superuser, port, timeout)

    def begin(self, memory_mb: int | None, bin_directory: str | None) -> None:
        """Start it read only. Raises RecoveryError with its log's words when it does not come up."""
        self._make_room()
        data = self.scratch.data
        signal, ours = data / SIGNAL, data / _OURS
        if not signal.exists():
            for path in (ours, signal):  # in this order: a signal without the mark would be the cluster's own
                path.touch(mode=0o600)
                self.account.give(path)
        cluster = Cluster(data, bin_directory)
        base = base_settings(self.directory, self.port, memory_mb, 1 << 30)
        preload = inherited(data).get("shared_preload_libraries", "")
        libraries = Path(cluster.run("pg_config", "--pkglibdir").stdout.strip())
        slots = max(10, len(os.listdir(data / "pg_replslot")))
        remembered = cluster.control().settings
        self.start(restored_settings(base, remembered, {}, preload, libraries, slots), bin_directory)

    def start(self, settings: Settings, bin_directory: str | None) -> None:
        """Start it with these settings and no other."""
        self._write("postgresql.conf", settings.text())
        self._write("pg_hba.conf", "# Only who may enter the socket's directory.\nlocal all all trust\n")
        self._write("pg_ident.conf", "")
        given = {
            **settings.values, "restore_command": "", "recovery_target_timeline": "current",
            "config_file": str(self.directory / "postgresql.conf"),
        }  # fmt: skip
        argv = [self.cluster.program("postgres"), "-D", str(self.scratch.data)]
        argv += [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        self.log.begin(self.account)
        with self.log.path.open("ab") as out:
            self._process = subprocess.Popen(
                argv,
                stdout=out,
                stderr=out,
                start_new_session=True,
                **{**self.cluster.as_owner(), **self.account.popen()},
            )

    def _make_room(self) -> None:
        above = self.directory.parent
        above.mkdir(mode=0o711, parents=True, exist_ok=True)
        found = os.lstat(above)
        if found.st_uid not in (os.geteuid(), self.account.uid) or found.st_mode & 0o022:
            remedy = "Name a directory of your own, mode 0711 or stricter."
            raise Refused(failed("use", str(above), "others can write there", remedy))
        for path in (self.directory, self.socket):
            path.mkdir(mode=0o700, exist_ok=True)
            self.account.give(path)

    def need_read_only(self) -> None:
        """Ask the server. Raises RecoveryError, with the server stopped, when it could write."""
        with Postgres(self.options("template1")) as sql:
            recovering, read_only = sql.row("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
        if not recovering or read_only != "on":
            self.cluster.stop()
            raise RecoveryError(
                failed("preserve", str(self.scratch.data), "its server is not in recovery; it was stopped")
            )

    def end(self, timeout: float) -> bool:
        """Stop it and take away what it needed; returns False when nothing was there."""
        there = self.cluster.running or self.directory.exists()
        self.cluster.stop(timeout)
        release(self.scratch.data)
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # others may use it, too
            self.directory.parent.rmdir()
        return there


def release(data: Path) -> None:
    """Take away the signal file that `begin` made: the cluster is what it was."""
    ours = data / _OURS
    if ours.exists():
        (data / SIGNAL).unlink(missing_ok=True)
        ours.unlink()


def facts_of(data: Path, bin_directory: str | None) -> dict[str, t.Any]:
    """Return what the control file says; empty where there is no cluster that could be asked."""
    try:
        control = Cluster(data, bin_directory).control()
    except RecoveryError as error:
        return {"error": str(error)}
    return {
        "state": control.state, "system_identifier": control.system_identifier, "timeline": control.timeline,
        "checkpoint": control.checkpoint, "checksums": control.checksums,
    }  # fmt: skip
