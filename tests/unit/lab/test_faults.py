"""Each way to break the lab, and its way back, on real processes of a lab that runs no more than the test needs."""

from __future__ import annotations

import dataclasses
import json
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import aws as aws_clients
from botocore.exceptions import ClientError, ReadTimeoutError

from lab import conditions, shutdown
from lab.catalogue import LEASE_BUCKET, REGIONS
from lab.components import Component, environment, process_of, start, stop
from lab.errors import LabError
from lab.faults import FAULTS, break_lab, heal_lab, hit
from lab.faults.disk import _limit
from lab.layout import Lab, required
from lab.names import aws_option, resolve
from lab.processes import ProcessId, kill_at_once, launch
from lab.startup import create
from lab.status import describe
from lab.stores import _client, fill_region, fill_witness
from tests.unit.servers import eventually

RESOLVER = Component("resolver", None)
AWS = Component("aws", None)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with nothing running."""
    made = create(tmp_path / "lab", {}, {})
    yield made
    shutdown.stop_lab(made)


def again(lab: Lab) -> Lab:
    """The lab as its file has it now."""
    return required(lab.directory)


def broken(lab: Lab, name: str, subject: str) -> Lab:
    """The lab with one fault."""
    break_lab(again(lab), name, subject)
    return again(lab)


def states(process: ProcessId) -> str:
    """The letter by which the kernel tells what the process does: T is stopped."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_every_fault_names_its_subjects_and_refuses_others(lab: Lab, name: str) -> None:
    assert FAULTS[name].subjects
    with pytest.raises(LabError, match=f"Failed to apply {name} to nowhere"):
        break_lab(lab, name, "nowhere")
    assert again(lab).faults == {}


@pytest.mark.parametrize(
    ("name", "subject", "reason"),
    [
        ("freeze", "us-east-1:postgres", "it does not run"),
        ("full_disk", "us-east-1", "neither its PostgreSQL nor its guard runs"),
        ("ledger_late", "witness", "it does not run"),
        ("aws", "gone", "Failed to reach the lab's AWS"),
    ],
)
def test_what_cannot_be_broken_is_not_in_force(lab: Lab, name: str, subject: str, reason: str) -> None:
    with pytest.raises(LabError, match=reason):
        break_lab(lab, name, subject)
    assert again(lab).faults == {}


class TestFreeze:
    def test_a_frozen_process_does_nothing_and_goes_on_when_healed(self, lab: Lab) -> None:
        process = start(lab, RESOLVER)
        frozen = broken(lab, "freeze", "resolver")
        eventually(lambda: states(process) == "T", "the stop, which the kernel brings about in its own time")
        assert process.alive and hit(frozen, RESOLVER)
        row = next(one for one in describe(frozen)["components"] if one["component"] == "resolver")
        assert (row["state"], row["pid"]) == ("frozen", process.pid)
        assert "1 processes go on" in heal_lab(frozen, "freeze", "resolver")
        eventually(lambda: states(process) != "T", "that it goes on")
        assert again(lab).faults == {}

    def test_one_that_is_killed_meanwhile_can_be_healed(self, lab: Lab) -> None:
        process = start(lab, RESOLVER)
        frozen = broken(lab, "freeze", "resolver")
        kill_at_once([process])
        assert hit(frozen, RESOLVER)
        assert "0 processes go on, 1 had been ended meanwhile" in heal_lab(frozen, "freeze", "resolver")
        assert again(lab).faults == {}

    def test_a_process_that_was_started_since_is_let_alone(self, lab: Lab) -> None:
        process = start(lab, RESOLVER)
        frozen = broken(lab, "freeze", "resolver")
        kill_at_once([process])
        fresh = start(lab, RESOLVER)
        fresh.send(signal.SIGSTOP)
        eventually(lambda: states(fresh) == "T", "the stop")
        heal_lab(frozen, "freeze", "resolver")
        assert states(fresh) == "T"

    def test_stopping_a_frozen_component_needs_no_force(self, lab: Lab) -> None:
        start(lab, RESOLVER)
        broken(lab, "freeze", "resolver")
        assert stop(lab, [RESOLVER]) == []
        assert process_of(lab, RESOLVER) is None


class TestAws:
    @pytest.fixture
    def call(self, lab: Lab) -> Callable[[], Any]:
        """Ask Route 53 for the lab's zone."""
        start(lab, AWS)
        client = aws_clients.client("route53", {**aws_option(lab), "timeout": 1.0})

        def ask() -> Any:
            return client.get_hosted_zone(Id=lab.zone_id)

        eventually(lambda: _answers(ask), "Route 53")
        return ask

    @pytest.mark.parametrize(
        ("subject", "error"),
        [("throttle", ClientError), ("errors", ClientError), ("slow", ReadTimeoutError), ("gone", ReadTimeoutError)],
    )
    def test_the_api_fails_while_names_go_on(
        self, lab: Lab, call: Callable[[], Any], subject: str, error: type[Exception]
    ) -> None:
        start(lab, RESOLVER)
        broken(lab, "aws", subject)
        with pytest.raises(error):
            call()
        # the name server answers (that there is no such record yet), and the resolver passes it on
        assert json.loads(_get(f"{lab.aws_url}/_lab/status"))["faults"]["route53"] != {}
        assert resolve(lab, "nothing.counterfactual-lab.test") == []
        heal_lab(again(lab), "aws", subject)
        assert call()["HostedZone"]

    def test_two_add_up_and_are_healed_one_by_one(self, lab: Lab, call: Callable[[], Any]) -> None:
        broken(lab, "aws", "slow")
        both = broken(lab, "aws", "errors")
        in_force = json.loads(_get(f"{lab.aws_url}/_lab/faults"))
        assert (in_force["route53"]["error"], in_force["route53"]["latency_seconds"]) == ("503", 3.0)
        heal_lab(both, "aws", "slow")
        with pytest.raises(ClientError, match="ServiceUnavailable"):
            call()
        heal_lab(again(lab), "aws", "errors")
        assert call()["HostedZone"]


def _answers(call: Callable[[], Any]) -> bool:
    try:
        return bool(call())
    except Exception:
        return False


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize(
    ("fault", "subject", "component", "fill"),
    [
        ("witness", "witness", Component("witness", None), fill_witness),
        ("store", REGIONS[0], Component("store", REGIONS[0]), lambda lab: fill_region(lab, REGIONS[0])),
    ],
)
def test_a_store_that_died_keeps_what_it_had(
    lab: Lab, fault: str, subject: str, component: Component, fill: Callable[[Lab], None]
) -> None:
    start(lab, component)
    fill(lab)
    client = _client(lab, component, component.kind)
    client.put_object(Bucket=LEASE_BUCKET, Key="kept", Body=b"still there")
    dead = broken(lab, fault, subject)
    assert process_of(lab, component) is None and hit(dead, component)
    heal_lab(dead, fault, subject)
    assert eventually(lambda: _read(client), "the object") == b"still there"


def _read(client: Any) -> bytes | None:
    try:
        return bytes(client.get_object(Bucket=LEASE_BUCKET, Key="kept")["Body"].read())
    except Exception:
        return None


def test_a_store_that_is_late_works_now_and_then_and_is_left_working(lab: Lab, tmp_path: Path) -> None:
    """Any process does: what is late of it is that it is stopped most of the time."""
    process = launch([sys.executable, "-c", "import time; time.sleep(600)"], cwd=tmp_path, env={}, log=tmp_path / "log")
    argv = [sys.executable, "-m", "lab.faults.stutter", json.dumps(process.to_json()), "0.2", "0.1"]
    stutter = launch(argv, cwd=Path.cwd(), env=environment(lab), log=tmp_path / "stutter")
    for wanted in (True, False, True, False):
        eventually(lambda wanted=wanted: (states(process) == "T") is wanted, f"stopped: {wanted}")
    stutter.send(signal.SIGTERM)
    eventually(lambda: not stutter.alive, "its end")
    assert states(process) != "T"
    kill_at_once([process])


WRITER = """
import sys, time
while True:
    try:
        with open(sys.argv[1], "a") as file:
            file.write("more")
    except OSError:
        pass
    time.sleep(0.02)
"""


class TestFullDisk:
    def test_a_running_process_can_write_no_more_and_then_again(self, lab: Lab, tmp_path: Path) -> None:
        path = tmp_path / "data"
        process = launch([sys.executable, "-c", WRITER, str(path)], cwd=tmp_path, env={}, log=tmp_path / "log")
        try:
            eventually(lambda: path.exists() and path.stat().st_size > 100, "the first writes")
            _limit(lab, [process], 0)
            limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            assert limits == (0, resource.RLIM_INFINITY)
            full = eventually(lambda: _stands_still(path), "a file that grows no more")
            _limit(lab, [process], resource.RLIM_INFINITY)
            eventually(lambda: path.stat().st_size > full, "a file that grows again")
        finally:
            kill_at_once([process])

    @pytest.mark.parametrize("kind", conditions.ON_DISK)
    def test_what_starts_on_a_full_disk_cannot_write_either(self, lab: Lab, tmp_path: Path, kind: str) -> None:
        full = dataclasses.replace(lab, faults={conditions.FULL_DISK: [REGIONS[0]]})
        source = f"import pathlib; pathlib.Path({str(tmp_path / 'new')!r}).write_text('more')"
        for region, written in ((REGIONS[0], False), (REGIONS[1], True)):
            with conditions.disk(full, kind, region):
                done = subprocess.run([sys.executable, "-c", source], check=False, capture_output=True, text=True)
            assert (done.returncode == 0) is written, done.stderr
            assert written or "File too large" in done.stderr
        assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def _stands_still(path: Path) -> int | None:
    size = path.stat().st_size
    time.sleep(0.2)
    return size if path.stat().st_size == size else None


class TestClock:
    @pytest.mark.parametrize("seconds", [300, -300])
    def test_only_the_time_of_day_is_wrong(self, lab: Lab, seconds: int) -> None:
        region = REGIONS[0]
        wrong = dataclasses.replace(lab, faults={conditions.CLOCK: [conditions.clock_subject(region, seconds)]})
        source = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
        env = environment(wrong) | conditions.clock(wrong, "guard", region)
        before = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        done = subprocess.run([sys.executable, "-c", source], env=env, check=True, capture_output=True, text=True)
        told = list(map(float, done.stdout.split()))
        after = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        for shift, least, value, most in zip((seconds, 0, 0), before, told, after, strict=True):
            assert least <= value - shift <= most

    def test_the_other_region_and_other_components_have_the_right_time(self, lab: Lab) -> None:
        subject = conditions.clock_subject(REGIONS[0], 300)
        wrong = dataclasses.replace(lab, faults={conditions.CLOCK: [subject]})
        assert conditions.clock(wrong, "guard", REGIONS[1]) == {}
        assert conditions.clock(wrong, "node", REGIONS[0]) == {}
        assert conditions.clock(lab, "guard", REGIONS[0]) == {}

    def test_a_clock_is_wrong_in_one_way_at_a_time(self, lab: Lab) -> None:
        broken(lab, "clock", f"{REGIONS[0]}:+300")
        with pytest.raises(LabError, match=r"Heal clock us-east-1:\+300 first"):
            break_lab(again(lab), "clock", f"{REGIONS[0]}:-300")
        assert again(lab).faults == {"clock": [f"{REGIONS[0]}:+300"]}
