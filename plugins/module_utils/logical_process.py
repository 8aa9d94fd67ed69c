# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A long client program: its messages line by line, its progress now and then, its end in time.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import typing as t
from pathlib import Path

from .clock import Deadline, wait_until
from .errors import RecoveryError, TimedOut, failed

#: seconds between two lines of progress
TELL_SECONDS = 5.0
#: a longer line is cut: a statement that failed may hold a whole document
_LINE_BYTES = 8192

Tell = t.Callable[[str], None]


def silent(_line: str) -> None:
    """Tell nobody."""


def run_program(
    argv: t.Sequence[str],
    env: t.Mapping[str, str],
    timeout: float,
    on_line: t.Callable[[str], None],
    on_tick: t.Callable[[], None] = lambda: None,
    **popen: t.Any,
) -> int:
    """Run a program, give each line of its standard error to `on_line`, call `on_tick` every few seconds.

    Returns its exit status. Memory is constant. Raises TimedOut after `timeout` seconds; nothing of it lives on then.
    """
    name = os.path.basename(argv[0])
    try:
        process = subprocess.Popen(
            list(argv), env=dict(env), cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True, **popen,
        )  # fmt: skip
    except OSError as error:
        raise RecoveryError(failed("run", name, error)) from error
    try:
        _read(process, Deadline(timeout), name, on_line, on_tick)
        return process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()
        if process.stderr:
            process.stderr.close()


def _read(
    process: subprocess.Popen[bytes],
    deadline: Deadline,
    name: str,
    on_line: t.Callable[[str], None],
    on_tick: t.Callable[[], None],
) -> None:
    if process.stderr is None:
        return
    lines, tick = _Lines(on_line), Deadline(TELL_SECONDS)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while True:
            if selector.select(min(tick.remaining, deadline.remaining)):
                chunk = os.read(process.stderr.fileno(), 65536)
                if not chunk:
                    lines.end()
                    return
                lines.feed(chunk)
            if deadline.expired:
                raise TimedOut(f"Timed out after {deadline.seconds:g} s waiting for {name}. Raise timeout.")
            if tick.expired:
                on_tick()
                tick = Deadline(TELL_SECONDS)


class _Lines:
    """Cuts what is read into lines, and a line that is too long down to its beginning."""

    def __init__(self, on_line: t.Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._keep(part)
            self.end()
        self._keep(rest)

    def _keep(self, part: bytes) -> None:
        self._rest += part[: max(0, _LINE_BYTES - len(self._rest))]

    def end(self) -> None:
        line, self._rest = self._rest, b""
        self._on_line(line.decode("utf-8", "replace").rstrip("\r"))


def end_programs(names: t.Collection[str], path: Path, also: t.Collection[str] = ()) -> list[str]:
    """Kill programs of these names that have `path`, or something below it, among their arguments; name the killed.

    Only those that have all of `also` among them, too.
    What a killed run left at work. Returns once they are gone. Raises TimedOut when one does not go.
    """
    killed: set[str] = set()

    def gone() -> bool:
        living = [
            pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _works_on(pid, names, path, also)
        ]
        for pid in living:
            killed.add(f"{_argv(pid)[0].rpartition('/')[2]} ({pid})")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not living

    wait_until(gone, 20, f"the end of {', '.join(sorted(names))} at work on {path}", interval=0.05)
    return sorted(killed)


def _argv(pid: int) -> list[str]:
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return [""]


def _works_on(pid: int, names: t.Collection[str], path: Path, also: t.Collection[str]) -> bool:
    argv = _argv(pid)
    if argv[0].rpartition("/")[2] not in names or pid == os.getpid() or not set(also) <= set(argv):
        return False
    return any(one == str(path) or one.startswith(f"{path}/") for one in argv[1:])
