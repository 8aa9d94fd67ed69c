"""Processes that die with the agent, each the leader of a group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Every process of a container carries it in its environment, so that an agent finds what its predecessor left.
MARKER = "LAB_NODE_DIRECTORY"
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Process:
    """A running process and everything it started. To be made and used on the event loop of the main thread:
    the kernel's parent-death signal follows the thread that started the child."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], directory: Path, log: Path | None) -> None:
        """Start ``command``, its output appended to ``log``. OSError when it cannot be started."""
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with (log or Path(os.devnull)).open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 two system calls, and no lock is taken
            )
        self.pid = self._process.pid
        self._handle = os.pidfd_open(self.pid)
        self._timers: list[asyncio.TimerHandle] = []
        asyncio.get_running_loop().add_reader(self._handle, self._exited)

    def stop(self, grace_seconds: float) -> None:
        """Ask the process to end, and end its whole group after the grace. The shortest grace asked for counts."""
        if self.exit_code.done():
            return
        if not self._timers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(grace_seconds, self.kill))

    def kill(self) -> None:
        """End the whole group at once."""
        if not self.exit_code.done():
            _kill_group(self.pid)

    def _exited(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        for timer in self._timers:
            timer.cancel()
        # Before the leader is reaped, while its number cannot belong to anybody else.
        _kill_group(self.pid)
        code = self._process.wait()
        self.exit_code.set_result(code if code >= 0 else 128 - code)


def kill_leftovers(directory: Path) -> int:
    """Kill what an earlier agent of the same directory left running; how many processes that were."""
    wanted = f"{MARKER}={directory}".encode()
    count = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                count += 1
    return count


def _die_with(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
