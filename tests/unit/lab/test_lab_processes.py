"""Processes are known by id and start time, and killed with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab.processes import ProcessId, family, kill_at_once, launch, marked, terminate
from lab.waiting import until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
#: a parent whose child and grandchild live in sessions of their own
TREE = """
import subprocess, sys, time
if int(sys.argv[1]):
    subprocess.Popen([sys.executable, __file__, str(int(sys.argv[1]) - 1)], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ProcessId]:
    """Start a process that ends with the test: run(argv), run(source, arguments...)."""
    started: list[ProcessId] = []

    def start(
        command: list[str] | str, *arguments: str, ready: int = 0, env: dict[str, str] | None = None
    ) -> ProcessId:
        log = tmp_path / f"log-{len(started)}"
        if isinstance(command, str):
            script = tmp_path / f"script-{len(started)}.py"
            script.write_text(command)
            command = [sys.executable, str(script), *arguments]
        process = launch(command, cwd=tmp_path, env={**os.environ, **(env or {})}, log=log)
        started.append(process)
        until(lambda: log.read_text().count("ready") >= ready, "the process to be ready")
        return process

    yield start
    kill_at_once(started)


def test_a_process_lives_until_it_is_terminated(run: Callable[..., ProcessId]) -> None:
    process = run(SLEEP)
    assert process.alive
    assert terminate([process], grace=30) == []
    assert not process.alive


def test_another_start_time_or_boot_is_another_process(run: Callable[..., ProcessId]) -> None:
    process = run(SLEEP)
    for other in (replace(process, started=process.started + 1), replace(process, boot="another")):
        assert not other.alive
        assert not other.send(signal.SIGKILL)
        terminate([other], grace=0)
        kill_at_once([other])
    assert process.alive


def test_what_was_written_down_is_the_same_process(run: Callable[..., ProcessId]) -> None:
    process = run(SLEEP)
    assert ProcessId.from_json(process.to_json()) == process


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ProcessId.of(child.pid) is None
    child.wait()


def test_descendants_in_other_sessions_die_too(run: Callable[..., ProcessId]) -> None:
    root = run(TREE, "2", ready=3)
    tree = family([root])
    assert len(tree) == 3
    killed = kill_at_once([root])
    assert sorted(one.pid for one in killed) == sorted(one.pid for one in tree)
    assert not any(one.alive for one in tree)


def test_one_that_does_not_listen_is_killed_after_its_grace(run: Callable[..., ProcessId]) -> None:
    process = run(STUBBORN, ready=1)
    began = time.monotonic()
    assert terminate([process], grace=0.2) == [process]
    assert time.monotonic() - began >= 0.2
    assert not process.alive


def test_a_frozen_process_is_terminated(run: Callable[..., ProcessId]) -> None:
    process = run(SLEEP)
    process.send(signal.SIGSTOP)
    assert terminate([process], grace=30) == []


def test_processes_are_found_by_the_mark_that_they_inherit(run: Callable[..., ProcessId]) -> None:
    mark = f"mark-{os.getpid()}"
    root = run(TREE, "1", ready=2, env={"A_TEST_MARK": mark})
    run(SLEEP)
    assert {one.pid for one in marked("A_TEST_MARK", mark)} == {one.pid for one in family([root])}
