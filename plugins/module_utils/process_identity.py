# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which process holds something, said so exactly that another process can prove it dead.

A process is named by machine boot, PID namespace, PID and start time. In the same boot and namespace a PID with
another start time, or none, means that this process has ended; its namespace's number is reused only
after the whole namespace has. Elsewhere (another machine, a rebooted one, not Linux) nothing is provable.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import typing as t
from dataclasses import asdict, dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class _Process:
    """What /proc says of a living process; `started` is in clock ticks since boot."""

    pid: int
    state: str
    parent: int
    started: int
    command: str


@dataclass(frozen=True)
class ProcessIdentity:
    """One run of ansible-playbook. `started` is in clock ticks since boot, `command` a hash of its command line."""

    user: str
    host: str
    pid: int
    boot_id: str = ""
    pid_namespace: str = ""
    started: int = 0
    command: str = ""

    @property
    def name(self) -> str:
        """Return the form that people read and type: user@host:pid."""
        return f"{self.user}@{self.host}:{self.pid}"

    @classmethod
    def of(cls, pid: int, user: str) -> ProcessIdentity:
        """Return the identity of a living process of this machine."""
        process = _process(pid)
        return cls(
            user=user,
            host=socket.gethostname(),
            pid=pid,
            boot_id=_boot_id(),
            pid_namespace=_pid_namespace(),
            started=process.started if process else 0,
            command=process.command if process else "",
        )

    @classmethod
    def from_dict(cls, raw: t.Mapping[str, t.Any] | None) -> ProcessIdentity | None:
        """Read what as_dict wrote; None when it is none."""
        try:
            return cls(**(raw or {}))
        except TypeError:
            return None

    def as_dict(self) -> dict[str, t.Any]:
        """Return JSON-safe members."""
        return asdict(self)

    def certainly_ended(self, asking: ProcessIdentity) -> bool:
        """True when the process, and every worker that it forked, is provably gone.

        A killed ansible-playbook leaves its forked workers to finish their task; they carry its command line and
        have lost their parent. `asking` is the run that wants to know: its own workers are not meant.
        """
        here = _boot_id(), _pid_namespace()
        if not self.started or not all(here) or (self.boot_id, self.pid_namespace) != here:
            return False
        process = _process(self.pid)
        if process is not None and process.started == self.started and process.state not in "ZX":
            return False
        return not any(self._is_worker(other, asking) for other in _processes())

    def _is_worker(self, other: _Process, asking: ProcessIdentity) -> bool:
        if other.command != self.command or other.started < self.started or other.state in "ZX":
            return False
        return asking.pid not in (other.pid, other.parent) and other.pid != os.getpid()


def _processes() -> t.Iterator[_Process]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            process = _process(int(entry.name))
            if process is not None:
                yield process


def _process(pid: int) -> _Process | None:
    """Return a process, None where there is none (any more)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    rest = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return _Process(pid, rest[0], int(rest[1]), int(rest[19]), hashlib.sha256(command).hexdigest())


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _pid_namespace() -> str:
    with contextlib.suppress(OSError):
        return str((_PROC / "self/ns/pid").readlink())
    return ""
