# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which process holds something, said so exactly that another process can prove it dead.

A process is named by machine boot, PID namespace, PID and start time. In the same boot and namespace a PID with
another start time, or none, means that this process has ended; its namespace's number is reused only
after the whole namespace has. Elsewhere (another machine, a rebooted one, not Linux) nothing is provable.

What a process has forked is told from a second run of the same command by where the kernel put its image: a fork
keeps the addresses, a new program gets others.

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

    @property
    def alive(self) -> bool:
        """False for what has ended and waits only for its parent to take notice."""
        return self.state not in "ZX"


@dataclass(frozen=True)
class ProcessIdentity:
    """One run of ansible-playbook.

    `started` is in clock ticks since boot, `command` a hash of its command line and of where its image lies.
    """

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

        A killed ansible-playbook may leave a forked worker to finish a module. `asking` is the run that wants to
        know: its own workers are not meant.
        """
        return self.has_ended and not self.workers(asking)

    @property
    def has_ended(self) -> bool:
        """True when the process itself is provably gone, whatever it forked."""
        if not self._is_here:
            return False
        process = _process(self.pid)
        return process is None or process.started != self.started or not process.alive

    @property
    def is_frozen(self) -> bool:
        """True when the process is known to be stopped: by a signal, or by a debugger."""
        process = _process(self.pid) if self._is_here else None
        return process is not None and process.started == self.started and process.state in "Tt"

    def workers(self, asking: ProcessIdentity) -> list[int]:
        """Return the process ids of what the process forked and has not ended, but for `asking` and its own."""
        return [other.pid for other in _processes() if self._is_worker(other, asking)] if self._is_here else []

    @property
    def _is_here(self) -> bool:
        """Whether this machine can tell at all."""
        here = _boot_id(), _pid_namespace()
        return bool(self.started) and all(here) and (self.boot_id, self.pid_namespace) == here

    def _is_worker(self, other: _Process, asking: ProcessIdentity) -> bool:
        if other.command != self.command or other.started < self.started or not other.alive:
            return False
        return other.pid != self.pid and asking.pid not in (other.pid, other.parent) and other.pid != os.getpid()


def is_fork_of_its_parent() -> bool:
    """True when this process is a fork of its living parent, as ansible-playbook's workers are."""
    mine, parent = _process(os.getpid()), _process(os.getppid())
    return mine is not None and parent is not None and mine.command == parent.command


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
    image = f"{rest[23]} {rest[25]}".encode()  # where its code and its stack begin
    return _Process(pid, rest[0], int(rest[1]), int(rest[19]), hashlib.sha256(command + image).hexdigest())


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _pid_namespace() -> str:
    with contextlib.suppress(OSError):
        return str((_PROC / "self/ns/pid").readlink())
    return ""
