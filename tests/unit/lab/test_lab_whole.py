"""One whole lab, started and broken by its own commands, as a person would."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease

from lab import postgres
from lab.assembly import client_wrote, json_tail
from lab.catalogue import ACTIVE, REGIONS, SERVICES, STANDBY
from lab.components import MARK, all_components, process_of, region_components
from lab.keys import Keys
from lab.layout import REPOSITORY, Lab
from lab.processes import family, marked
from lab.shutdown import containers
from lab.waiting import until

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """A directory that PostgreSQL's user can reach."""
    made = Path(tempfile.mkdtemp(prefix="dr-lab-test-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def command(directory: Path) -> Command:
    """Run ``python -m lab`` on the test's lab."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "lab", "--directory", str(directory), *arguments]
        return subprocess.run(argv, cwd=REPOSITORY, text=True, capture_output=True, check=False)

    return run


@pytest.fixture(scope="module")
def lab(directory: Path, command: Command) -> Iterator[Lab]:
    """The lab, up."""
    started = command("start")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        found = Lab.load(directory)
        assert found is not None
        yield found
    finally:
        command("stop")


def status(command: Command) -> dict[str, Any]:
    """What the status command says, by region and kind."""
    rows = json.loads(command("status", "--json").stdout)["components"]
    return {f"{row['region']} {row['component']}": row["state"] for row in rows}


def connect(lab: Lab, region: str, user: str = "dr_observer") -> Any:
    """A session in a region's PostgreSQL."""
    host, port = lab.address("postgres", region), lab.port("postgres")
    return psycopg2.connect(
        host=host, port=port, user=user, dbname="postgres", passfile=str(lab.passfile), connect_timeout=3
    )


def now() -> str:
    return dt.datetime.now(dt.UTC).isoformat().replace("+00:00", "Z")


def test_a_lab_that_is_up_runs_everything(lab: Lab, command: Command) -> None:
    states = status(command)
    assert set(states.values()) == {"running", "running, primary", "running, standby"}
    assert states[f"{ACTIVE} postgres"] == "running, primary"
    assert states[f"{STANDBY} postgres"] == "running, standby"
    assert len(states) == 5 + 2 * 9
    assert command("status").returncode == 0


def test_a_second_start_changes_nothing(lab: Lab, command: Command) -> None:
    before = [process_of(lab, component) for component in all_components(lab)]
    again = command("start")
    assert (again.returncode, "already up" in again.stdout) == (0, True)
    assert [process_of(lab, component) for component in all_components(lab)] == before


def test_no_secret_is_in_a_command_line_or_in_the_state(lab: Lab) -> None:
    keys = Keys.load(lab)
    tokens = [token for users in keys.tokens.values() for token in users.values()]
    secrets = [*keys.database.values(), *tokens, *(key.secret for key in keys.aws.values())]
    lines = (Path(f"/proc/{one.pid}/cmdline").read_bytes().decode() for one in family(marked(MARK, lab.id)))
    told = "\n".join([(lab.directory / "state.json").read_text(), *lines])
    assert len(told) > 1000
    assert not [secret for secret in secrets if secret in told]


def test_every_server_listens_on_loopback_only(lab: Lab) -> None:
    pids = {one.pid for one in family(marked(MARK, lab.id))}
    inodes = {f"socket:[{inode}]": address for address, inode in listeners()}
    found = [inodes[link] for pid in pids for link in links(pid) if link in inodes]
    assert len(found) > 20
    assert all(address.startswith("127.") for address in found)


def listeners() -> Iterator[tuple[str, str]]:
    """Address and inode of every listening TCP socket; IPv6 ones as hexadecimal."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                raw = bytes.fromhex(fields[1].partition(":")[0])
                yield (socket.inet_ntoa(raw[::-1]) if len(raw) == 4 else raw.hex(), fields[9])


def links(pid: int) -> Iterator[str]:
    """Where a process's open descriptors lead."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield os.readlink(entry)
        except OSError:
            continue


def test_the_record_of_a_healthy_lab_has_no_loss(lab: Lab, command: Command, tmp_path: Path) -> None:
    output = tmp_path / "measurement.json"
    done = command("measure", "--since", now(), "--lookback", "0", "--output", str(output), "--timeout", "30")
    assert done.returncode == 0, done.stderr
    measured = json.loads(output.read_text())
    for service in SERVICES:
        one = measured["services"][service.name]
        assert (one["tier"], one["lost_acknowledged_writes"], one["outage"]["seconds"]) == (service.tier, 0, 0.0)
        assert one["acknowledged_writes"] > 0
    assert measured["observer"]["max_writable_primaries"] <= 1


def test_a_region_that_is_cut_off_is_reached_from_inside_alone(lab: Lab, command: Command) -> None:
    assert command("break", "partition", STANDBY).returncode == 0
    try:
        with pytest.raises(psycopg2.OperationalError, match="timeout"):
            connect(lab, STANDBY)
        with postgres.session(lab, STANDBY) as cursor:  # as a pod does, behind the border
            cursor.execute("SELECT pg_is_in_recovery()")
            assert cursor.fetchone() == (True,)
        until(lambda: not postgres.is_streaming(lab, ACTIVE, STANDBY), "the primary to miss its standby", timeout=60)
        assert f"fault in force: partition {STANDBY}" in command("status").stdout
        assert last_write_ok(lab)
    finally:
        assert command("heal", "partition", STANDBY).returncode == 0
    connect(lab, STANDBY).close()
    until(lambda: postgres.is_streaming(lab, ACTIVE, STANDBY), "the standby to stream again", timeout=60)


def test_those_inside_a_region_are_served_by_it(lab: Lab) -> None:
    for service in SERVICES:
        record = lab.client_directory / ACTIVE / f"{service.name}.jsonl"
        until(lambda record=record: any(line["ok"] for line in json_tail(record)), f"a success in {record}", timeout=60)


@pytest.mark.parametrize(
    "arguments", [("break", "flood", ACTIVE), ("break", "region", "eu-west-1"), ("heal", "flood", ACTIVE)]
)
def test_an_unknown_fault_is_refused_and_breaks_nothing(lab: Lab, command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 1
    assert arguments[1] in done.stderr or arguments[2] in done.stderr
    assert command("status").returncode == 0


class TestLossOfARegion:
    """In order: each test goes on where the one before ended."""

    def test_everything_of_the_region_dies_and_nothing_else(self, lab: Lab, command: Command) -> None:
        pods = containers(lab, ACTIVE)
        others = [process_of(lab, one) for one in all_components(lab) if one.region != ACTIVE]
        assert len(pods) >= 4
        done = command("break", "region", ACTIVE)
        assert done.returncode == 0, done.stderr
        assert not any(process_of(lab, one) for one in region_components(lab, ACTIVE))
        assert not containers(lab, ACTIVE) and not any(pod.alive for pod in pods)
        assert [process_of(lab, one) for one in all_components(lab) if one.region != ACTIVE] == others

    def test_the_status_says_so_and_start_leaves_it_broken(self, lab: Lab, command: Command) -> None:
        states = status(command)
        assert {state for name, state in states.items() if name.startswith(ACTIVE)} == {"broken"}
        assert command("status").returncode == 0
        again = command("start")
        assert (again.returncode, f"region {ACTIVE}" in again.stdout) == (0, True)
        assert "broken already" in command("break", "region", ACTIVE).stdout

    def test_a_measurement_without_recovery_fails_and_says_so(self, lab: Lab, command: Command, tmp_path: Path) -> None:
        until(lambda: not last_write_ok(lab), "the client to see the outage")
        done = command("measure", "--since", now(), "--output", str(tmp_path / "m.json"), "--timeout", "0.5")
        assert done.returncode == 1
        assert "saw no success" in done.stderr

    def test_the_region_returns_fenced_where_the_lease_is_elsewhere(self, lab: Lab, command: Command) -> None:
        claim_lease(lab, STANDBY)
        healed = now()
        done = command("heal", "region", ACTIVE)
        assert done.returncode == 0, done.stderr
        until(lambda: "fenced" in status(command)[f"{ACTIVE} postgres"], "the guard to fence", interval=0.3)
        with pytest.raises(psycopg2.OperationalError):
            connect(lab, ACTIVE)
        accepted = [line for line in observed_since(lab, healed) if line["region"] == ACTIVE and line["accepted"]]
        assert accepted == []
        assert command("status").returncode == 0

    def test_its_pods_return(self, lab: Lab) -> None:
        until(lambda: len(containers(lab, ACTIVE)) >= 4, "the pods of the region that returned", timeout=60)


def last_write_ok(lab: Lab) -> bool:
    """Whether the client's last write to the first service was acknowledged."""
    return client_wrote(lab, SERVICES[0].name)


def observed_since(lab: Lab, moment: str) -> list[dict[str, Any]]:
    """What the observer saw from a moment on."""
    lines = map(json.loads, lab.observer_file.read_text().splitlines()[:-1])
    return [line for line in lines if line["t"] >= moment]


def claim_lease(lab: Lab, region: str) -> None:
    """Take the cluster's lease for a region, as the operator's fence does."""
    state = json.loads((lab.directory / "state.json").read_text())
    lease = Lease.from_options({"key": "leases/main.json", "stores": state["lease_stores"]})
    lease.claim(lease.read(), region, 6.0, allowance=1.0, claimed_by="a test")


def test_stop_leaves_no_process_no_secret_and_no_socket(lab: Lab, command: Command) -> None:
    everyone = family(marked(MARK, lab.id))
    pods = [pod for region in REGIONS for pod in containers(lab, region)]
    assert everyone and pods
    done = command("stop")
    assert done.returncode == 0, done.stderr
    assert not marked(MARK, lab.id)
    assert not any(one.alive for one in [*everyone, *pods])
    assert not lab.private.exists()
    ports = {str(port) for region in (None, *REGIONS) for port in lab.stores(region).values()}
    assert not [path for path in Path("/tmp").glob("seaweedfs-*.sock") if path.stem.rpartition("-")[2] in ports]
    assert command("stop").returncode == 0
    assert command("status").returncode == 1
