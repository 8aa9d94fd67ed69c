"""pg_heartbeat against a real primary and its standby: what the servers are, and the proof of a round trip."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import prepare_database
from tests.unit.plugins.heartbeat_support import AWAY, HOME, Regions, make_pair, regions
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, free_address, free_ports

KEYS = {
    "changed", "servers", "writable_regions", "loss_bound", "round_trip", "problems", "unverified", "waits", "evidence",
}  # fmt: skip


@pytest.fixture(scope="module")
def pair(postgres_factory: PostgresFactory) -> tuple[PostgresServer, PostgresServer]:
    return make_pair(postgres_factory)


@pytest.fixture
def both_regions(pair: tuple[PostgresServer, PostgresServer], s3_server: S3Server) -> Iterator[Regions]:
    with regions(pair, s3_server) as both:
        yield both


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def closed() -> dict[str, Any]:
    """Where nobody listens."""
    host = free_address()
    return {"host": host, "port": free_ports(host, 1)[0]}


def probes(both_regions: Regions) -> int:
    return int(both_regions.primary.sql("SELECT count(*) FROM dr.probe")[0][0])


def test_a_primary_and_its_standby(both: BothWays, both_regions: Regions) -> None:
    found = both("pg_heartbeat", {"servers": both_regions.servers(probe_write=True)})
    home, away = found["servers"]
    assert (home["region"], home["reachable"], home["in_recovery"], home["accepts_writes"]) == (HOME, True, False, True)
    assert (away["region"], away["reachable"], away["in_recovery"], away["accepts_writes"]) == (AWAY, True, True, False)
    assert home["system_identifier"] == away["system_identifier"]
    assert home["timeline"] == away["timeline"] == 1
    assert home["lsn"] and away["lsn"] is None
    assert away["replay_lsn"] and away["receive_lsn"] and home["receive_lsn"] is None
    assert found["writable_regions"] == [HOME]
    assert found["evidence"]["writable_regions"] == [HOME]
    assert (found["changed"], found["problems"], found["unverified"]) == (False, [], [])
    assert set(found) == KEYS
    assert probes(both_regions) == 1


def test_without_a_probe_nothing_is_written(both: BothWays, both_regions: Regions) -> None:
    found = both("pg_heartbeat", {"servers": both_regions.servers()})
    assert [server["accepts_writes"] for server in found["servers"]] == [None, None]
    assert probes(both_regions) == 0


def test_check_mode_writes_nothing(both: BothWays, both_regions: Regions) -> None:
    found = both("pg_heartbeat", {"servers": both_regions.servers(probe_write=True)}, check=True)
    assert [server["accepts_writes"] for server in found["servers"]] == [None, False]
    assert "not asked in check mode" in found["unverified"][0]
    assert set(found) == KEYS
    assert probes(both_regions) == 0


def test_a_read_only_default_does_not_hide_a_primary_that_takes_writes(both: BothWays, both_regions: Regions) -> None:
    both_regions.primary.sql("ALTER ROLE dr_operator SET default_transaction_read_only = on")
    try:
        found = both("pg_heartbeat", {"servers": both_regions.servers(probe_write=True)[:1]})
    finally:
        both_regions.primary.sql("ALTER ROLE dr_operator RESET default_transaction_read_only")
    assert found["writable_regions"] == [HOME]


def test_a_server_that_is_not_there_is_reported(both: BothWays, both_regions: Regions) -> None:
    home, away = both_regions.servers(probe_write=True)
    home["postgres"].update(closed())
    found = both("pg_heartbeat", {"servers": [home, away]})
    assert not found.get("failed")
    assert [server["reachable"] for server in found["servers"]] == [False, True]
    assert found["servers"][0]["accepts_writes"] is None
    assert "Connection refused" in found["servers"][0]["error"]
    assert "us-east-1: whether it accepts writes is not known" in found["unverified"][0]


def test_a_frozen_server_is_reported(both: BothWays, both_regions: Regions, postgres_factory: PostgresFactory) -> None:
    server = postgres_factory()
    pid = server.pid()
    assert pid
    frozen = {"region": HOME, "postgres": server.options(connect_timeout=1), "probe_write": True}
    os.kill(pid, signal.SIGSTOP)
    try:
        found = both("pg_heartbeat", {"servers": [frozen, both_regions.servers()[1]]})
    finally:
        os.kill(pid, signal.SIGCONT)
        server.stop()
    assert [server["reachable"] for server in found["servers"]] == [False, True]
    assert "no answer within" in found["servers"][0]["error"]


def test_a_fenced_server_is_reported(both: BothWays, both_regions: Regions, postgres_factory: PostgresFactory) -> None:
    server = postgres_factory(start=False)
    (server.data / "pg_hba.conf").write_text("host all all all reject\n")
    server.start()
    fenced = {"region": HOME, "postgres": server.options(), "probe_write": True}
    found = both("pg_heartbeat", {"servers": [fenced, both_regions.servers()[1]]})
    server.stop()
    assert not found.get("failed")
    assert [one["reachable"] for one in found["servers"]] == [False, True]
    assert found["servers"][0]["accepts_writes"] is None
    assert "pg_hba.conf rejects connection" in found["servers"][0]["error"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"passfile": "wrong"}, ["password authentication failed", "dr_operator", AWAY]),
        ({"passfile": "/nowhere/pgpass"}, ["no password supplied", "dr_operator"]),
        ({"database": "no_such"}, ['database "no_such" does not exist']),
    ],
)
def test_a_login_that_is_wrong_is_an_error_of_the_task(
    both: BothWays, both_regions: Regions, tmp_path: Path, change: dict[str, str], words: list[str]
) -> None:
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:wrong-and-secret\n")
    passfile.chmod(0o600)
    home, away = both_regions.servers()
    away["postgres"].update({key: str(passfile) if value == "wrong" else value for key, value in change.items()})
    found = both("pg_heartbeat", {"servers": [home, away]})
    assert found["failed"]
    assert [word for word in words if word not in found["msg"]] == [], found["msg"]
    assert "wrong-and-secret" not in str(found)
    assert found["servers"][0]["in_recovery"] is False
    assert set(found) >= KEYS


def test_without_the_tables_it_cannot_be_told(both: BothWays, both_regions: Regions) -> None:
    home = both_regions.servers(probe_write=True)[0]
    home["postgres"]["database"] = "template1"
    found = both("pg_heartbeat", {"servers": [home]})
    assert found["servers"][0]["accepts_writes"] is None
    assert found["servers"][0]["in_recovery"] is False
    assert "schema.sql" in " ".join(found["unverified"])
    assert len(found["unverified"]) == 2


def test_two_that_accept_writes_are_a_problem(
    both: BothWays, both_regions: Regions, postgres_factory: PostgresFactory
) -> None:
    other = postgres_factory()
    prepare_database(other)
    servers = both_regions.servers(probe_write=True)
    servers[1]["postgres"] = other.options("dr_operator")
    found = both("pg_heartbeat", {"servers": servers})
    quiet = both("pg_heartbeat", {"servers": [{**one, "probe_write": False} for one in servers]})
    other.stop()
    assert found["writable_regions"] == [HOME, AWAY]
    assert "us-east-1 and us-west-2 accept writes at the same time" in found["problems"][0]
    assert "out of recovery at the same time" in quiet["problems"][0]


def test_paused_replay_is_a_problem(both: BothWays, both_regions: Regions) -> None:
    with both_regions.replay_paused():
        found = both("pg_heartbeat", {"servers": both_regions.servers()})
    assert found["servers"][1]["replay_paused"] is True
    assert found["problems"] == ["us-west-2: replay is paused. Resume it with pg_wal_replay_resume()."]


BAD = [
    pytest.param({"target": "eu-1"}, "the target eu-1 is not among the servers (us-east-1, us-west-2)", id="target"),
    pytest.param({"servers": "doubled"}, "us-east-1 stands in servers more than once", id="doubled"),
    pytest.param({"lease": None, "target": AWAY}, "missing parameter(s) required by 'target': lease", id="no-lease"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_bad_input_is_refused(both: BothWays, both_regions: Regions, change: dict[str, Any], words: str) -> None:
    given: dict[str, Any] = {"servers": both_regions.servers(), "lease": both_regions.witness.option(), **change}
    if given["servers"] == "doubled":
        given["servers"] = both_regions.servers()[:1] * 2
    given = {key: value for key, value in given.items() if value is not None}
    if both.way == "action" and "lease" not in given:
        with pytest.raises(AnsibleError, match="lease"):
            both("pg_heartbeat", given)
        return
    found = both("pg_heartbeat", given)
    assert found["failed"]
    assert words in found["msg"]


def test_a_row_goes_from_the_primary_to_the_standby(both: BothWays, both_regions: Regions) -> None:
    found = both("pg_heartbeat", {"state": "written", "servers": both_regions.servers()})
    trip = found["round_trip"]
    assert (trip["region"], [one["region"] for one in trip["standbys"]]) == (HOME, [AWAY])
    assert both_regions.standby.sql("SELECT region, token FROM dr.probe") == [(HOME, trip["token"])]
    assert [wait["name"] for wait in found["waits"]] == ["replication"]
    assert found["evidence"]["round_trip"] == trip
    assert set(found) == KEYS


def test_a_row_that_does_not_arrive_names_the_standby(both: BothWays, both_regions: Regions) -> None:
    with both_regions.replay_paused():
        found = both("pg_heartbeat", {"state": "written", "servers": both_regions.servers(), "wait_timeout": 0.3})
    assert found["failed"]
    assert "Failed to find the row of us-east-1 on every standby" in found["msg"]
    assert "on us-west-2" in found["msg"]
    assert found["round_trip"]["standbys"] == [{"region": AWAY, "seconds": None}]
    assert set(found) >= KEYS


def test_no_primary_is_refused(both: BothWays, both_regions: Regions) -> None:
    home, away = both_regions.servers()
    home["postgres"].update(closed())
    found = both("pg_heartbeat", {"state": "written", "servers": [home, away]})
    assert found["failed"]
    assert "exactly one of the servers must be a primary, found none" in found["msg"]
    assert "Connection refused" in found["msg"]


def test_check_mode_proves_nothing(both: BothWays, both_regions: Regions) -> None:
    found = both("pg_heartbeat", {"state": "written", "servers": both_regions.servers()}, check=True)
    assert found["round_trip"]["token"] is None
    assert found["unverified"] == ["In check mode no row is written."]
    assert probes(both_regions) == 0
