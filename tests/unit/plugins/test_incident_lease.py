"""incident_lease as a module and in process: one run at a time, and who may replace whom."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.process_identity import ProcessIdentity

from tests.unit.plugins.both_ways import BothWays
from tests.unit.servers import S3Server, eventually

Result = dict[str, Any]
Call = Callable[..., Result]
KEYS = {"changed", "incident", "token", "holder", "held", "expires_in_seconds", "taken_over_from", "diff"}

#: another machine: nothing here can prove its process dead
BOB = {
    "user": "bob",
    "host": "elsewhere",
    "pid": 7,
    "boot_id": "another",
    "pid_namespace": "p",
    "started": 1,
    "command": "c",
}
SLEEP = "import time; time.sleep(600)"
#: what ansible-playbook does: a worker is forked, of the same command line, and outlives a killed parent
FORKS = "import os, time; os.fork(); time.sleep(600)"


@pytest.fixture(params=["module", "action"])
def call(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], s3_server: S3Server) -> Call:
    """Calls the module; `holder` is a dict, `ttl` seconds."""
    way = BothWays(request.param, capsys)
    key = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    stores = [s3_server.store(f"witness-{number}", name=f"w{number}") for number in range(3)]

    def called(state: str, holder: dict[str, Any], ttl: float = 60, check: bool = False, **more: Any) -> Result:
        lease = {"key": key, "ttl_seconds": ttl, "clock_allowance_seconds": 0.5, "stores": stores}
        given = {"state": state, "incident": "INC-7", "lease": lease, "holder": holder, **more}
        result = way("incident_lease", given, check)
        assert set(result) - {"failed", "msg"} == KEYS
        return result

    return called


@pytest.fixture
def processes() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts Python programs in sessions of their own, ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", program], start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def alice() -> dict[str, Any]:
    return ProcessIdentity.of(os.getpid(), "alice").as_dict()


def name(holder: dict[str, Any]) -> str:
    return f"{holder['user']}@{holder['host']}:{holder['pid']}"


def test_hold_renew_release(call: Call) -> None:
    free = call("observed", alice())
    assert (free["holder"], free["token"], free["held"], free["expires_in_seconds"]) == (None, None, False, None)
    held = call("held", alice())
    assert held["changed"]
    assert (held["token"], held["holder"], held["held"], held["taken_over_from"]) == (1, name(alice()), True, None)
    assert held["diff"]["before"] == {"holder": None, "token": None, "released": True}
    again = call("held", alice())
    assert (again["changed"], again["token"], again["held"]) == (False, 1, True)
    seen = call("observed", BOB)
    assert (seen["holder"], seen["held"]) == (name(alice()), False)
    assert 0 < seen["expires_in_seconds"] <= 62
    released = call("released", alice())
    assert (released["changed"], released["holder"], released["held"]) == (True, None, False)
    assert not call("released", alice())["changed"]
    taken = call("held", BOB)
    assert (taken["token"], taken["taken_over_from"]) == (2, None)


def test_a_living_lease_is_never_taken_over(call: Call) -> None:
    call("held", BOB)
    for takeover in (None, f"take over INC-7 from {name(BOB)}"):
        more = {"takeover": takeover} if takeover else {}
        refused = call("held", alice(), **more)
        assert refused["failed"]
        assert "a lease that lives is never taken over" in refused["msg"]
        assert (refused["changed"], refused["held"], refused["holder"]) == (False, False, name(BOB))


def test_an_expired_lease_is_taken_over_with_the_typed_text_alone(call: Call) -> None:
    call("held", BOB, ttl=0.1)
    text = f"take over INC-7 from {name(BOB)}"
    # What one look shows of several stores' clocks, another may show a second later.
    eventually(lambda: all(call("held", alice(), check=True, takeover=text)["changed"] for _look in range(5)), "expiry")
    for wrong in (None, "yes", "take over INC-8 from " + name(BOB), "take over INC-7 from somebody"):
        refused = call("held", alice(), **({"takeover": wrong} if wrong else {}))
        assert refused["failed"]
        assert text in refused["msg"]
        assert refused["token"] == 1
    predicted = call("held", alice(), check=True, takeover=text)
    taken = call("held", alice(), takeover=f" {text} ")
    assert (taken["changed"], taken["token"], taken["taken_over_from"]) == (True, 2, name(BOB))
    for key in ("changed", "token", "holder", "held", "taken_over_from", "diff"):
        assert predicted[key] == taken[key]
    late = call("held", BOB)
    assert late["failed"]
    assert name(alice()) in late["msg"]


def test_an_expired_lease_is_renewed_by_its_own_holder(call: Call) -> None:
    call("held", BOB, ttl=0.1)
    eventually(lambda: call("observed", BOB, ttl=0.1)["expires_in_seconds"] == 0, "expiry")
    renewed = call("held", BOB)
    assert (renewed["changed"], renewed["token"], renewed["held"]) == (False, 1, True)


def test_a_run_that_lost_the_lease_gets_no_other(call: Call) -> None:
    """Not even when it is free again: what the run has found out is older than what another did since."""
    assert call("held", alice())["token"] == 1
    assert call("held", alice(), token=1)["token"] == 1
    call("released", alice())
    refused = call("held", alice(), token=1)
    assert "given it back (token 1)" in refused["msg"]
    call("held", BOB)
    for released in (False, True):
        if released:
            call("released", BOB)
        refused = call("held", alice(), token=1)
        assert refused["failed"]
        told = f"the fencing token 1 was superseded by 2, {'last held' if released else 'held'} by {name(BOB)}"
        assert told in refused["msg"]
        assert call("observed", alice())["token"] == 2
    assert not call("held", alice(), token=1, check=True).get("failed")


@pytest.mark.parametrize("check", [False, True])
def test_another_runs_lease_is_not_released(call: Call, check: bool) -> None:
    call("held", BOB)
    refused = call("released", alice(), check=check)
    assert refused["failed"]
    assert f"{name(BOB)} holds it" in refused["msg"]
    assert call("observed", BOB)["held"]


@pytest.mark.parametrize("state", ["held", "released"])
def test_check_mode_writes_nothing(call: Call, state: str) -> None:
    if state == "released":
        call("held", alice())
    before = call("observed", alice())
    predicted = call(state, alice(), check=True)
    assert predicted["changed"]
    after = call("observed", alice())
    assert (after["holder"], after["token"]) == (before["holder"], before["token"])
    real = call(state, alice())
    for key in ("changed", "token", "holder", "held", "diff"):
        assert predicted[key] == real[key]


def test_a_dead_run_of_this_machine_is_replaced_at_once(call: Call, processes: Any) -> None:
    process = processes(SLEEP)
    dead = ProcessIdentity.of(process.pid, "alice").as_dict()
    call("held", dead)
    assert call("held", alice())["failed"]
    process.kill()
    process.wait()
    taken = call("held", alice())
    assert (taken["changed"], taken["token"], taken["taken_over_from"]) == (True, 2, name(dead))


def test_a_dead_runs_worker_still_counts(call: Call, processes: Any) -> None:
    process = processes(FORKS)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    worker = int(eventually(lambda: children.read_text().split(), "the fork")[0])
    dead = ProcessIdentity.of(process.pid, "alice").as_dict()
    call("held", dead)
    process.kill()
    process.wait()
    try:
        refused = call("held", alice(), ttl=0.2)
        assert refused["failed"]
        assert f"{name(dead)} (token 1) ended, and its worker (process {worker})" in refused["msg"]
    finally:
        os.kill(worker, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{worker}").exists() or "\nState:\tZ" in _status(worker), "the worker's end")
    assert call("held", alice())["taken_over_from"] == name(dead)


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return "\nState:\tZ"


@pytest.mark.parametrize(
    "changes",
    [{"boot_id": "another"}, {"pid_namespace": "pid:[1]"}, {"started": 0}, {"boot_id": "", "pid_namespace": ""}],
    ids=["another boot", "another namespace", "no start time", "not Linux"],
)
def test_what_cannot_be_proven_dead_lives(call: Call, processes: Any, changes: dict[str, Any]) -> None:
    process = processes(SLEEP)
    dead = {**ProcessIdentity.of(process.pid, "alice").as_dict(), **changes}
    process.kill()
    process.wait()
    call("held", dead)
    assert call("held", alice())["failed"]


def test_a_reused_pid_is_another_process(call: Call) -> None:
    mine = alice()
    call("held", {**mine, "user": "earlier", "started": mine["started"] - 100, "command": "another"})
    assert call("held", mine)["taken_over_from"] == f"earlier@{mine['host']}:{mine['pid']}"


def test_unreachable_witnesses_are_named(
    s3_server_factory: Callable[[Path], S3Server], servers_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = s3_server_factory(servers_directory / "lease-away")
    stores = [server.store("witness", timeout=1.0)]
    server.kill()
    lease = {"key": "INC-7", "ttl_seconds": 60, "stores": stores}
    for way in ("module", "action"):
        given = {"state": "held", "incident": "INC-7", "lease": lease, "holder": BOB}
        result = BothWays(way, capsys)("incident_lease", given)
        assert result["failed"]
        assert "0 of 1 witness stores answered" in result["msg"]


def test_the_action_names_the_running_process(capsys: pytest.CaptureFixture[str], s3_server: S3Server) -> None:
    lease = {"key": "named", "ttl_seconds": 60, "stores": [s3_server.store("witness-0", name="w0")]}
    held = BothWays("action", capsys)("incident_lease", {"state": "held", "incident": "INC-7", "lease": lease})
    assert held["holder"].endswith(f":{os.getppid()}")
