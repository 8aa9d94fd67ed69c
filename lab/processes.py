"""Processes known by id and start time, so that a reused id is never taken for ours."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
BOOT_ID = PROC / "sys/kernel/random/boot_id"


@dataclass(frozen=True)
class ProcessId:
    """One process for all time: ``started`` is in clock ticks since the boot that ``boot`` names."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The process that has this id now; None where there is none, or only a zombie."""
        stat = _stat(pid)
        return None if stat is None else cls(pid, stat.started, boot_id())

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ProcessId:
        """What ``to_json`` wrote."""
        return cls(int(data["pid"]), int(data["started"]), str(data["boot"]))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @property
    def alive(self) -> bool:
        """True while it runs (or is stopped by a signal)."""
        return ProcessId.of(self.pid) == self

    def send(self, number: int) -> bool:
        """Signal exactly this process; False when it is gone. Raises PermissionError for somebody else's."""
        try:
            handle = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.alive:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True


@dataclass(frozen=True)
class _Stat:
    parent: int
    started: int


def boot_id() -> str:
    """The machine's boot."""
    return BOOT_ID.read_text("ascii").strip()


def launch(
    argv: Sequence[str], *, cwd: Path, env: dict[str, str], log: Path, account: dict[str, Any] | None = None
) -> ProcessId:
    """Start a process in a session of its own, its output appended to ``log``; ``account`` as subprocess takes it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **(account or {}),
        )
    process.returncode = 0  # it outlives us: silence the warning of a child that is not waited for
    return ProcessId.of(process.pid) or ProcessId(process.pid, 0, boot_id())


def family(roots: Iterable[ProcessId]) -> list[ProcessId]:
    """The living ones of ``roots`` with all their descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            children.setdefault(stat.parent, []).append(int(entry.name))
    found: dict[int, ProcessId] = {}
    queue = [root.pid for root in roots if root.alive]
    while queue:
        pid = queue.pop(0)
        if pid not in found and (one := ProcessId.of(pid)) is not None:
            found[pid] = one
            queue += children.get(pid, [])
    return list(found.values())


def marked(variable: str, value: str) -> list[ProcessId]:
    """Every living process that was started with ``variable=value`` in its environment, as far as we may look."""
    wanted = f"{variable}={value}".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0") and (one := ProcessId.of(int(entry.name))):
                found.append(one)
    return found


def freeze_at_once(roots: Iterable[ProcessId]) -> list[ProcessId]:
    """SIGSTOP the processes and all their descendants, also those that are born meanwhile; who they are."""
    frozen: dict[int, ProcessId] = {}
    starts = list(roots)
    while fresh := [one for one in family([*starts, *frozen.values()]) if one.pid not in frozen]:
        for one in fresh:
            one.send(signal.SIGSTOP)
            frozen[one.pid] = one
    return list(frozen.values())


def kill_at_once(roots: Iterable[ProcessId]) -> list[ProcessId]:
    """SIGKILL the processes and all their descendants as a power failure would; who they were.

    They are frozen first, so that none starts another or sees its peer die before all are dead.
    """
    frozen = freeze_at_once(roots)
    for one in frozen:
        one.send(signal.SIGKILL)
    wait_for_end(frozen, 10)
    return frozen


def terminate(processes: Iterable[ProcessId], grace: float, number: int = signal.SIGTERM) -> list[ProcessId]:
    """Ask the processes to end, then SIGKILL what is left of them and of their descendants after ``grace`` seconds.

    Returns those that had to be killed.
    """
    asked = [one for one in processes if one.alive]
    everyone = family(asked)
    for one in asked:
        one.send(number)
        one.send(signal.SIGCONT)
    left = wait_for_end(everyone, grace)
    for one in left:
        one.send(signal.SIGKILL)
    wait_for_end(left, 10)
    return left


def wait_for_end(processes: Iterable[ProcessId], timeout: float) -> list[ProcessId]:
    """Wait until all are gone; those that are not after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    left = []
    for one in processes:
        if not _ended(one, deadline):
            left.append(one)
    return left


def _ended(process: ProcessId, deadline: float) -> bool:
    """Poll the process's descriptor, which becomes readable when it exits (also as a zombie)."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return True
    try:
        if not process.alive:
            return True
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        return not process.alive
    finally:
        os.close(handle)


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return None if fields[0] in "ZX" else _Stat(int(fields[1]), int(fields[19]))
