"""Networks and ports, steps, the lab's file, its secrets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import ports, shutdown
from lab.account import choose_account, find_postgres
from lab.assembly import json_tail, playbook_environment
from lab.catalogue import REGIONS
from lab.components import all_components, argv_of
from lab.errors import LabError
from lab.faults import find, hit
from lab.keys import Keys
from lab.layout import FILE, Lab, required, write_text
from lab.own_clusters import current_context
from lab.postgres import forget_dead_postmaster
from lab.startup import create, kubeconfigs_from
from lab.status import describe, table
from lab.waiting import Step, run_steps, until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with nothing running."""
    made = create(tmp_path / "lab", {}, {})
    yield made
    shutdown.stop_lab(made)


class TestPorts:
    def test_two_labs_have_networks_and_store_ports_of_their_own(self, tmp_path: Path) -> None:
        subnets = [ports.claim_subnet(tmp_path / "same", lab_id) for lab_id in ("a", "b")]
        try:
            # the first claim is of a lab that has no file yet: another lab of the same directory takes it over
            assert subnets[0] == subnets[1]
        finally:
            ports.release_subnet(subnets[1], "b")

    def test_a_claim_stands_while_its_lab_does(self, lab: Lab, tmp_path: Path) -> None:
        other = ports.claim_subnet(lab.directory, "another")
        try:
            assert other != lab.subnet
            assert not set(ports.store_ports(other, 0).values()) & set(ports.store_ports(lab.subnet, 0).values())
        finally:
            ports.release_subnet(other, "another")

    def test_only_its_own_lab_releases_a_network(self, lab: Lab) -> None:
        ports.release_subnet(lab.subnet, "another")
        other = ports.claim_subnet(lab.directory, "another")
        ports.release_subnet(other, "another")
        assert other != lab.subnet

    def test_a_network_where_something_listens_is_left_alone(self, tmp_path: Path) -> None:
        first = ports.claim_subnet(tmp_path / "x", "a")
        ports.release_subnet(first, "a")
        with socket.socket() as server:
            server.bind((f"{first}.9.9", 0))
            server.listen()
            second = ports.claim_subnet(tmp_path / "x", "b")
        ports.release_subnet(second, "b")
        assert second != first

    @pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
    def test_a_taken_port_is_passed_over(self, kind: int) -> None:
        with socket.socket(socket.AF_INET, kind) as server:
            server.bind(("127.79.1.1", 0))
            taken = server.getsockname()[1]
            if kind == socket.SOCK_STREAM:
                server.listen()
            assert ports.free_port(taken, ["127.79.1.2", "127.79.1.1"]) > taken
        assert ports.free_port(taken, ["127.79.1.1"]) == taken

    def test_stores_share_no_port(self) -> None:
        blocks = [ports.store_ports(f"127.{number}", index) for number in ports.SUBNETS for index in range(3)]
        everything = [port for block in blocks for port in block.values()]
        assert len(everything) == len(set(everything))


class TestSteps:
    def test_a_step_waits_for_what_it_needs(self) -> None:
        done: list[str] = []
        steps = [
            Step("third", lambda: done.append("third"), ("first", "second")),
            Step("second", lambda: done.append("second"), ("first",)),
            Step("first", lambda: done.append("first")),
        ]
        run_steps(steps, lambda text: None)
        assert done == ["first", "second", "third"]

    def test_independent_steps_run_side_by_side(self) -> None:
        meeting = threading.Barrier(2, timeout=30)
        run_steps([Step("a", lambda: void(meeting.wait())), Step("b", lambda: void(meeting.wait()))], lambda text: None)

    def test_the_first_failure_is_raised_and_nothing_more_starts(self) -> None:
        done: list[str] = []

        def fail() -> None:
            raise LabError("no disk")

        steps = [Step("bad", fail), Step("after", lambda: done.append("after"), ("bad",))]
        with pytest.raises(LabError, match="no disk"):
            run_steps(steps, done.append)
        assert done == []

    @pytest.mark.parametrize(
        "steps",
        [
            [Step("a", lambda: None, ("nowhere",))],
            [Step("a", lambda: None), Step("a", lambda: None)],
            [Step("a", lambda: None, ("b",)), Step("b", lambda: None, ("a",))],
        ],
    )
    def test_an_order_that_cannot_be_is_an_error(self, steps: list[Step]) -> None:
        with pytest.raises(LabError, match="Failed to order the steps"):
            run_steps(steps, lambda text: None)

    def test_a_wait_names_what_did_not_come(self) -> None:
        with pytest.raises(LabError, match="the moon"):
            until(lambda: False, "the moon", timeout=0)


def void(_value: object) -> None:
    """Nothing."""


class TestLab:
    def test_the_file_brings_the_lab_back(self, lab: Lab) -> None:
        assert Lab.load(lab.directory) == lab

    def test_no_lab_is_an_error_that_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(LabError, match="python -m lab start"):
            required(tmp_path)

    def test_a_broken_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / FILE).write_text("{")
        with pytest.raises(LabError, match=FILE):
            Lab.load(tmp_path)

    def test_every_address_is_the_labs_own(self, lab: Lab) -> None:
        for region in REGIONS:
            assert lab.address("postgres", region).startswith(f"{lab.subnet}.")
            assert lab.store_url(region).startswith(f"http://{lab.subnet}.")
        assert len({lab.address("postgres", region) for region in REGIONS}) == 2

    def test_secrets_are_in_private_files_only(self, lab: Lab) -> None:
        data = json.loads((lab.private / "keys.json").read_text())
        tokens = [token for users in data["tokens"].values() for token in users.values()]
        secrets = [*data["database"].values(), *tokens, *(key["secret"] for key in data["aws"].values())]
        assert len(set(secrets)) == len(secrets) > 10
        everyones = [path for path in lab.directory.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]
        told = "\n".join(
            [*(path.read_text() for path in everyones), *(" ".join(argv_of(lab, c)) for c in all_components(lab))]
        )
        assert not [secret for secret in secrets if secret in told]
        assert lab.private.stat().st_mode & 0o077 == 0

    def test_two_labs_have_different_secrets(self, lab: Lab) -> None:
        assert Keys.load(lab).database["postgres"] != Keys.generate().database["postgres"]
        assert Keys.load(lab).database["postgres"] not in repr(Keys.load(lab))

    def test_a_private_file_is_private_even_over_a_public_one(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("old")
        path.chmod(0o644)
        write_text(path, "new")
        assert path.stat().st_mode & 0o777 == 0o600

    def test_a_guards_keys_open_only_the_leases(self, lab: Lab) -> None:
        identities = json.loads(lab.config("witness").read_text())["identities"]
        actions = {identity["name"]: identity["actions"] for identity in identities}
        assert all(action.endswith(":dr-leases") for action in actions["guard"])
        assert "Admin" not in actions["orchestrator"]

    def test_a_cluster_of_the_users_own_replaces_the_emulator(self, lab: Lab, tmp_path: Path) -> None:
        given = tmp_path / "kubeconfig"
        given.write_text("{current-context: mine, contexts: []}")
        other = replace(lab, kubeconfigs={REGIONS[1]: str(given)}, contexts={REGIONS[1]: current_context(str(given))})
        given.write_text("{current-context: production, contexts: []}")
        kinds = [(one.region, one.kind) for one in all_components(other)]
        assert (REGIONS[0], "kubernetes") in kinds
        assert (REGIONS[1], "kubernetes") not in kinds
        assert other.context(REGIONS[0]) == REGIONS[0]
        assert other.context(REGIONS[1]) == "mine"
        assert other.kubeconfig(REGIONS[1]) == given

    def test_kubeconfigs_come_from_the_environment(self, tmp_path: Path) -> None:
        given = tmp_path / "config"
        given.write_text("{}")
        assert kubeconfigs_from({"DR_LAB_KUBECONFIG_US_WEST_2": str(given)}) == {"us-west-2": str(given)}
        assert kubeconfigs_from({}) == {}
        with pytest.raises(LabError, match="DR_LAB_KUBECONFIG_US_EAST_1"):
            kubeconfigs_from({"DR_LAB_KUBECONFIG_US_EAST_1": str(tmp_path / "none")})

    def test_stopping_leaves_records_and_nothing_else(self, tmp_path: Path) -> None:
        lab = create(tmp_path / "lab", {}, {})
        for kept in ("ledgers", "client", "observer", "logs"):
            (lab.directory / kept).mkdir()
        shutdown.stop_lab(lab)
        left = {path.name for path in lab.directory.iterdir()}
        assert left == {"ledgers", "client", "observer", "logs"}
        assert Lab.load(lab.directory) is None


class TestFaults:
    def test_a_fault_in_force_explains_its_dead_and_no_others(self, lab: Lab) -> None:
        broken = lab.with_fault("region", REGIONS[0], True)
        assert {one.region for one in all_components(broken) if hit(broken, one)} == {REGIONS[0]}
        assert Lab.load(lab.directory) == broken
        assert broken.with_fault("region", REGIONS[0], False).faults == {}

    @pytest.mark.parametrize(
        ("name", "subject", "says"), [("flood", REGIONS[0], "there are .*region"), ("region", "eu-west-1", "us-east-1")]
    )
    def test_what_there_is_not_is_refused_with_what_there_is(self, name: str, subject: str, says: str) -> None:
        with pytest.raises(LabError, match=says):
            find(name, subject)


def test_postgresql_is_found_where_its_user_can_run_it(tmp_path: Path) -> None:
    directory = find_postgres(choose_account(), tmp_path)
    assert (directory / "initdb").exists() and (directory / "pg_basebackup").exists()


class TestRecords:
    @pytest.mark.parametrize("count", [0, 1, 500])
    def test_the_end_of_a_record_is_its_last_whole_lines(self, tmp_path: Path, count: int) -> None:
        path = tmp_path / "record.jsonl"
        path.write_text("".join(f'{{"n": {number}}}\n' for number in range(count)) + '{"n": half')
        numbers = [line["n"] for line in json_tail(path, size=200)]
        assert numbers == list(range(count))[-len(numbers) or count :]
        assert bool(numbers) == bool(count)

    def test_no_record_is_no_line(self, tmp_path: Path) -> None:
        assert json_tail(tmp_path / "none") == []


def test_nothing_of_the_callers_leads_a_playbook_away_from_the_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    misleading = {"AWS_PROFILE": "production", "PGHOST": "db", "KUBECONFIG": "/x", "https_proxy": "http://proxy:1"}
    for name, value in {**misleading, "ANSIBLE_INVENTORY": "/x", "SOMETHING": "else"}.items():
        monkeypatch.setenv(name, value)
    environment = playbook_environment(lab)
    assert not misleading.keys() & environment.keys()
    assert "ANSIBLE_INVENTORY" not in environment
    assert (environment["SOMETHING"], environment["DR_LAB_DIR"]) == ("else", str(lab.directory))


def test_a_lock_file_of_a_process_that_has_ended_is_forgotten(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    lock_file = tmp_path / "postmaster.pid"
    for content, stays in ((f"{os.getpid()}\n/data\n", True), ("nonsense", True), (f"{child.pid}\n/data\n", False)):
        lock_file.write_text(content)
        forget_dead_postmaster(lock_file)
        assert lock_file.exists() == stays
    child.wait()


def test_the_status_of_a_lab_with_nothing_running_says_dead(lab: Lab) -> None:
    status = describe(lab)
    assert not status["healthy"]
    assert {row["state"] for row in status["components"]} == {"dead"}
    lines = table(status).splitlines()
    assert len(lines) == len(status["components"]) + 4
    assert str(lab.directory) in lines[0]
