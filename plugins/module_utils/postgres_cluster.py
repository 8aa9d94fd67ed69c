# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One PostgreSQL cluster by its data directory: its programs, its control file, its recovery where nobody can connect.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import RecoveryError, Refused, failed
from .guard_postmaster import Postmaster

#: what pg_controldata says of a cluster that was stopped in order
CLEAN = ("shut down", "shut down in recovery")
#: states that crash recovery by itself brings to a clean end; a standby's needs the WAL of its primary
_RECOVERABLE = ("in production", "shutting down", "in crash recovery", "starting up")
#: settings that the control file remembers: another value would be written into it, and into the WAL
_REMEMBERED = (
    "wal_level",
    "wal_log_hints",
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_xacts",
    "max_locks_per_xact",
    "track_commit_timestamp",
)
_NAMES = {
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


@dataclass(frozen=True)
class ControlData:
    """The control file. Positions are as PostgreSQL writes them, for example 0/16B3748; 0/0 means none."""

    state: str
    system_identifier: str
    checkpoint: str
    redo: str
    checkpoint_timeline: int
    min_recovery: str
    min_recovery_timeline: int
    #: either lets pg_rewind work
    checksums: bool
    wal_log_hints: bool
    #: bytes of one WAL segment
    segment_size: int
    #: the next transaction id at the last checkpoint, 64 bits
    next_xid: int
    #: settings as the server last ran with them, by their names in postgresql.conf
    settings: dict[str, str]

    @property
    def clean(self) -> bool:
        """True when the server was stopped in order."""
        return self.state in CLEAN

    @property
    def in_recovery(self) -> bool:
        """True when the cluster last ran as a standby, or was copied to become one."""
        return self.state in ("shut down in recovery", "in archive recovery")

    @property
    def timeline(self) -> int:
        """The timeline that the cluster is on; right after a promotion the checkpoint is on the one before."""
        return max(self.checkpoint_timeline, self.min_recovery_timeline)

    @property
    def fingerprint(self) -> str:
        """What differs once a server has run in the data directory."""
        return f"{self.state} {self.checkpoint} {self.timeline} {self.min_recovery}"

    @classmethod
    def parse(cls, text: str) -> ControlData:
        """Read what pg_controldata prints in the C locale. Raises KeyError or ValueError when it is something else."""
        pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
        said = {name.strip(): value.strip() for name, value in pairs}
        epoch, next_xid = said["Latest checkpoint's NextXID"].split(":")
        return cls(
            state=said["Database cluster state"],
            system_identifier=said["Database system identifier"],
            checkpoint=said["Latest checkpoint location"],
            redo=said["Latest checkpoint's REDO location"],
            checkpoint_timeline=int(said["Latest checkpoint's TimeLineID"]),
            min_recovery=said["Minimum recovery ending location"],
            min_recovery_timeline=int(said["Min recovery ending loc's timeline"]),
            checksums=said["Data page checksum version"] != "0",
            wal_log_hints=said["wal_log_hints setting"] == "on",
            segment_size=int(said["Bytes per WAL segment"]),
            next_xid=(int(epoch) << 32) + int(next_xid),
            settings={_NAMES.get(name, name): said[f"{name} setting"] for name in _REMEMBERED},
        )


class Cluster:
    """A cluster and PostgreSQL's own programs, run as the owner of its files. Raises RecoveryError throughout."""

    def __init__(self, data_directory: Path, bin_directory: str | None = None) -> None:
        self.data = data_directory
        self.bin_directory = bin_directory
        try:
            self.version = (data_directory / "PG_VERSION").read_text(encoding="ascii").strip()
            owner = os.stat(data_directory)
        except OSError as error:
            remedy = "Correct data_directory, or run as the user that owns it (become_user: postgres)."
            raise Refused(failed("find the cluster in", str(data_directory), error.strerror, remedy)) from error
        self.uid, self.gid = owner.st_uid, owner.st_gid
        if os.geteuid() not in (0, self.uid):
            remedy = "Run the task as that user, for example with become_user: postgres, or as root."
            cause = f"its files belong to user id {self.uid}, and this runs as {os.geteuid()}"
            raise Refused(failed("work on the cluster in", str(data_directory), cause, remedy))
        self.postmaster = Postmaster(data_directory)

    @property
    def running(self) -> bool:
        """True while a server process is at work in the data directory."""
        return self.postmaster.pid() is not None or bool(self.postmaster.processes())

    def program(self, name: str) -> str:
        """Return the path of one of PostgreSQL's programs, of the cluster's own major version."""
        places = [f"/usr/lib/postgresql/{self.version}/bin", f"/usr/pgsql-{self.version}/bin"]
        places = [self.bin_directory] if self.bin_directory else [*places, os.environ.get("PATH", "")]
        found = shutil.which(name, path=os.pathsep.join(places))
        if found is None:
            remedy = f"Install the server of version {self.version} here, or give bin_directory."
            raise Refused(failed("find", f"PostgreSQL's program {name}", f"not in {', '.join(places)}", remedy))
        return found

    def as_owner(self) -> dict[str, t.Any]:
        """Return subprocess's arguments for a program that runs as the owner, with nothing of our environment."""
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC", "HOME": str(self.data)}
        given: dict[str, t.Any] = {"env": env, "cwd": "/", "stdin": subprocess.DEVNULL}
        if os.geteuid() == 0 and self.uid != 0:
            given.update(user=self.uid, group=self.gid, extra_groups=[])
        return given

    def run(
        self, name: str, *arguments: str, timeout: float = 60.0, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one program to its end, at most `timeout` seconds. With `check` an error of its is an error of ours."""
        command = [self.program(name), *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout,
                **self.as_owner(),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RecoveryError(failed("run", f"{name} on {self.data}", f"no end within {timeout:g} s")) from None
        except OSError as error:
            raise RecoveryError(failed("run", f"{name} on {self.data}", error)) from error
        if check and done.returncode != 0:
            raise RecoveryError(failed("run", f"{name} on {self.data}", last_words(done.stderr or done.stdout)))
        return done

    def control(self) -> ControlData:
        """Read the control file; of a running server it is as old as its last checkpoint."""
        text = self.run("pg_controldata", "-D", str(self.data)).stdout
        try:
            return ControlData.parse(text)
        except (KeyError, ValueError) as error:
            cause = f"pg_controldata does not say {error}"
            raise RecoveryError(failed("read the control file of", str(self.data), cause)) from error

    def stop(self, timeout: float = 60.0) -> None:
        """Stop the server in order (fast: sessions end, a primary hands its WAL to the standbys first)."""
        if self.running:
            self.run(
                "pg_ctl", "stop", "-w", "-s", "-m", "fast", "-t", f"{timeout:.0f}", "-D", str(self.data),
                timeout=timeout + 10,
            )  # fmt: skip

    def recover(self, timeout: float = 3600.0) -> bool:
        """Bring a crashed primary to a clean end without ever listening; returns False when it was clean already.

        Single-user mode: no port, no socket, no background process. Nothing is archived, no WAL is removed, no
        configuration of the cluster's is read; the settings that its control file remembers are kept.
        Raises Refused for a running server and for one that crash recovery cannot complete, such as a standby.
        """
        control = self.control()
        if control.clean:
            return False
        what = f"the cluster in {self.data}"
        if self.running:
            raise Refused(failed("recover", what, "its server runs", "Stop it first."))
        if control.state not in _RECOVERABLE or not self.postmaster.is_primary:
            cause = f"it is a standby that was not stopped in order ({control.state})"
            raise Refused(failed("recover", what, cause, "Copy the primary instead (method copy)."))
        settings = {**control.settings, "archive_mode": "off", "wal_keep_size": "2000000", "log_min_messages": "log"}
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.temporary_configuration() as file:
            done = self.run(
                "postgres", "--single", "-D", str(self.data), "-c", f"config_file={file}", *given, "template1",
                timeout=timeout, check=False,
            )  # fmt: skip
        if done.returncode != 0 or not self.control().clean:
            remedy = "Look at its WAL and its files, or copy the primary instead (method copy)."
            raise RecoveryError(failed("recover", what, last_words(done.stderr), remedy))
        return True

    def temporary_configuration(self) -> _EmptyFile:
        """Return a configuration file, empty and readable by the owner, that is gone after the `with` block."""
        return _EmptyFile(self)


class _EmptyFile:
    """Beside the data directory, whose owner can certainly read there."""

    def __init__(self, cluster: Cluster) -> None:
        self._path = cluster.data.resolve().with_name(f".{cluster.data.name}.{os.getpid()}.conf")
        self._cluster = cluster

    def __enter__(self) -> Path:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            if os.geteuid() == 0:
                os.fchown(descriptor, self._cluster.uid, self._cluster.gid)
        finally:
            os.close(descriptor)
        return self._path

    def __exit__(self, *exc: object) -> None:
        self._path.unlink(missing_ok=True)


def last_words(output: str, lines: int = 3) -> str:
    """Return the end of what a program said, on one line; its errors before everything else."""
    said = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in said if re.search(r"\b(error|fatal|panic)\b", line, re.I)]
    return "; ".join((errors or said)[-lines:]) or "it said nothing"
