"""The observer sees every accepted write of a real server, however it hangs, and proves who was writable when."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.observer.probe import RegionProbe
from lab.observer.writable import observed
from lab.processes import ProcessId, family
from tests.unit.servers import PostgresFactory, PostgresServer, eventually

REPOSITORY = Path(__file__).resolve().parents[3]
BEGIN = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC)
OUTCOMES = {"+": "accepted", "-": "refused", "?": "unknown"}


def line(region: str, began: float, seconds: float = 0.01, sign: str = "+", **more: Any) -> dict[str, Any]:
    """One line of the record; `began` in seconds after BEGIN."""
    moment = (BEGIN + dt.timedelta(seconds=began)).isoformat().replace("+00:00", "Z")
    told = {"t": moment, "region": region, "accepted": sign == "+", "outcome": OUTCOMES[sign], "seconds": seconds}
    return {**told, "number": began, "epoch": None, "late": False, **more}


def record(step: float = 0.05, epochs: dict[str, int] | None = None, **patterns: str) -> list[dict[str, Any]]:
    """What the observer wrote: one try a step and region, `+` accepted, `-` refused, `?` unknown, ` ` none."""
    lines = []
    for number, (region, pattern) in enumerate(patterns.items()):
        for place, sign in enumerate(pattern):
            if sign != " ":
                epoch = (epochs or {}).get(region)
                lines.append(line(region, (place + number / len(patterns)) * step, sign=sign, epoch=epoch))
    return sorted(lines, key=lambda one: float(one["number"]))


@pytest.mark.parametrize(
    ("east", "west", "most", "conflicts"),
    [
        ("+++---", "----++", 1, 0),
        ("++++--", "-+++++", 2, 1),
        ("++--++", "--++--", 1, 0),  # a switchover and its way back
        ("------", "------", 0, 0),
        ("++++++++++", "----++----", 2, 1),  # 100 ms
        ("++++++++++", "----+-----", 2, 1),  # one write
        ("+++?--", "---+++", 1, 0),  # frozen, then the other region
        ("++??+-", "--++++", 2, 1),  # and thawed while the other serves
        ("++  ++", "--++--", 2, 1),  # nothing refused in between: it was writable all along
    ],
)
def test_writable_primaries_are_proven_by_the_order_of_accepted_writes(
    east: str, west: str, most: int, conflicts: int
) -> None:
    found = observed(record(east=east, west=west), BEGIN)
    assert (found["max_writable_primaries"], len(found["both"])) == (most, conflicts)
    assert found["undecided"] == []


@pytest.mark.parametrize(
    ("epochs", "most"),
    [
        ({"east": 1, "west": 2}, 2),  # the old epoch was accepted after the new one, though not at one instant
        ({"east": 3, "west": 2}, 1),  # the lease had moved again
        ({"east": 2, "west": 2}, 1),  # not known to be the older one
        ({}, 1),
    ],
)
def test_a_write_of_a_lower_epoch_after_one_of_a_higher_is_a_conflict(epochs: dict[str, int], most: int) -> None:
    found = observed(record(epochs=epochs, east="--------++", west="--++------"), BEGIN)
    assert found["max_writable_primaries"] == most


def test_a_tenure_has_the_highest_epoch_that_it_came_to_show() -> None:
    """A region that was just promoted shows the epoch before until its guard has written its first heartbeat."""
    west = [line("west", 0, epoch=2), line("west", 0.05, epoch=2)]
    east = [line("east", 0, sign="-"), line("east", 1, epoch=1), line("east", 1.05, epoch=3)]
    assert observed([*west, line("west", 0.1, sign="-"), *east], BEGIN)["max_writable_primaries"] == 1


@pytest.mark.parametrize(
    ("began", "ended", "most", "undecided"),
    [
        (1.5, 4.0, 2, 0),  # begun after west had accepted one
        (0.5, 4.0, 1, 1),  # it may have been committed before
        (0.2, 0.9, 1, 0),  # answered before west began
    ],
)
def test_a_late_answer_proves_no_more_than_it_can(began: float, ended: float, most: int, undecided: int) -> None:
    unknown = line("east", began, 1.0, "?")
    late = line("east", began, ended - began, late=True, number=unknown["number"])
    west = [line("west", 1 + place * 0.05) for place in range(100)]
    found = observed([unknown, *west, late], BEGIN)
    assert (found["max_writable_primaries"], len(found["undecided"])) == (most, undecided)
    assert (found["unanswered"], found["rounds"]) == (0, 101)


def test_what_was_never_answered_is_counted_and_taken_for_nothing() -> None:
    found = observed(record(east="++??", west="--++"), BEGIN)
    assert (found["unanswered"], found["max_writable_primaries"]) == (2, 1)


def test_what_ended_before_the_beginning_does_not_count() -> None:
    found = observed(record(east="++++", west="++++"), BEGIN + dt.timedelta(seconds=60))
    assert (found["rounds"], found["max_writable_primaries"]) == (0, 0)


# -- against real servers ---------------------------------------------------------------------------------------------


def prepared(server: PostgresServer) -> PostgresServer:
    """A server with the guard's and the observer's tables."""
    server.sql(
        "create role dr_observer login password 'observing'",
        (REPOSITORY / "roles/lease_guard/files/schema.sql").read_text(),
        (REPOSITORY / "lab/observer/schema.sql").read_text(),
        "insert into dr.heartbeat values ('east', 7, 1, now(), '0/0')",
    )
    server.add_password("dr_observer", "observing")
    return server


@pytest.fixture
def server(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    """A primary of one's own, to be broken."""
    made = prepared(postgres_factory())
    yield made
    thaw(made)
    made.kill()


def thaw(server: PostgresServer) -> None:
    """Let everything of the server go on."""
    for one in processes_of(server):
        one.send(signal.SIGCONT)


def freeze(server: PostgresServer) -> None:
    """Stop everything of the server."""
    for one in processes_of(server):
        one.send(signal.SIGSTOP)


def processes_of(server: PostgresServer) -> list[ProcessId]:
    pid = server.pid()
    root = ProcessId.of(pid) if pid else None
    return family([root]) if root else []


@pytest.fixture
def observe(tmp_path: Path) -> Iterator[Callable[[PostgresServer], Callable[[], list[dict[str, Any]]]]]:
    """Begin to probe a server; gives a function that reads the record."""
    probes: list[RegionProbe] = []

    def begin(server: PostgresServer) -> Callable[[], list[dict[str, Any]]]:
        path = tmp_path / f"{len(probes)}.jsonl"
        dsn = {"host": server.host, "port": server.port, "user": "dr_observer", "dbname": "postgres"}
        probe = RegionProbe("east", {**dsn, "passfile": str(server.passfile)}, path, 20)
        probes.append(probe)
        probe.start()
        eventually(path.exists, "the record")
        return lambda: [json.loads(one) for one in path.read_text().splitlines(keepends=True) if one.endswith("\n")]

    yield begin
    for probe in probes:
        probe.stopping.set()
    for probe in probes:
        probe.join()


def test_accepted_writes_tell_the_epoch(server: PostgresServer, observe: Any) -> None:
    read = observe(server)
    last = eventually(lambda: [one for one in read() if one["accepted"]])[-1]
    assert (last["outcome"], last["epoch"], last["error"]) == ("accepted", 7, None)


def test_a_standby_refuses_and_an_absent_server_too(postgres_factory: PostgresFactory, observe: Any) -> None:
    primary = prepared(postgres_factory())
    standby = postgres_factory.standby_of(primary)
    standby.add_password("dr_observer", "observing")
    read = observe(standby)
    eventually(lambda: "read-only" in (read()[-1]["error"] if read() else ""), "the standby's refusal")
    standby.sql("select pg_promote()")
    eventually(lambda: read()[-1]["accepted"], "a write after the promotion, in the same session")
    standby.kill()
    seen = len(read())
    eventually(lambda: any(one["outcome"] == "refused" for one in read()[seen:]), "a refused connection")
    primary.kill()


def test_a_frozen_server_blocks_nothing_and_its_late_commit_is_seen(server: PostgresServer, observe: Any) -> None:
    read = observe(server)
    eventually(lambda: [one for one in read() if one["accepted"]])
    freeze(server)
    unknown = eventually(lambda: [one for one in read() if one["outcome"] == "unknown"], "a write without an answer")[0]
    eventually(lambda: "no session" in (read()[-1]["error"] or ""), "tries that go on, without a session")
    thaw(server)
    late = eventually(lambda: [one for one in read() if one["late"]], "the late answer")[0]
    assert (late["number"], late["accepted"], late["t"]) == (unknown["number"], True, unknown["t"])
    assert late["seconds"] > unknown["seconds"]
    eventually(lambda: read()[-1]["accepted"] and not read()[-1]["late"], "writes again")


def test_a_frozen_server_that_is_killed_leaves_its_write_unknown(server: PostgresServer, observe: Any) -> None:
    read = observe(server)
    eventually(lambda: [one for one in read() if one["accepted"]])
    freeze(server)
    eventually(lambda: [one for one in read() if one["outcome"] == "unknown"], "a write without an answer")
    for one in processes_of(server):
        one.send(signal.SIGKILL)
    eventually(lambda: "refused" in (read()[-1]["error"] or ""), "the server's end")
    assert not [one for one in read() if one["late"]]
    assert observed(read(), BEGIN)["unanswered"] >= 1


def test_a_write_that_waits_for_a_lock_is_cancelled_by_the_server(server: PostgresServer, observe: Any) -> None:
    read = observe(server)
    eventually(lambda: [one for one in read() if one["accepted"]])
    with contextlib.closing(server.connect()) as blocker, blocker.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute("lock table dr_observer.probe in access exclusive mode")
        eventually(lambda: "statement timeout" in (read()[-1]["error"] or ""), "the cancelled write")
        assert read()[-1]["outcome"] == "refused"


def test_the_probe_leaves_no_session_behind(server: PostgresServer, tmp_path: Path) -> None:
    dsn = {"host": server.host, "port": server.port, "user": "dr_observer", "dbname": "postgres"}
    probe = RegionProbe("east", {**dsn, "passfile": str(server.passfile)}, tmp_path / "o.jsonl", 20)
    probe.start()
    sessions = "select 1 from pg_stat_activity where usename = 'dr_observer'"
    eventually(lambda: server.sql(sessions), "the probe's session")
    probe.stopping.set()
    probe.join()
    eventually(lambda: not server.sql(sessions), "the end of its session")
    assert os.path.getsize(tmp_path / "o.jsonl") > 0
