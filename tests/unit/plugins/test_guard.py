"""The lease guard: two real processes beside a real PostgreSQL, broken in the ways that regions break."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_keeper import receipt_key
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore

from tests.unit.plugins.guard_support import ROOT, Guard, Witness, Writer, know_passwords, prepare_database
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, eventually

MakeGuard = Callable[..., Guard]


@pytest.fixture
def server(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    server = postgres_factory()
    prepare_database(server)
    yield server
    server.stop()


@pytest.fixture
def witness(s3_server: S3Server) -> Iterator[Witness]:
    witness = Witness(s3_server)
    yield witness
    witness.close()


@pytest.fixture
def guards() -> Iterator[list[Guard]]:
    """Guards that end with the test."""
    made: list[Guard] = []
    yield made
    for guard in made:
        guard.end()


@pytest.fixture
def guard(server: PostgresServer, witness: Witness, guards: list[Guard]) -> Guard:
    """A guard of a primary that serves."""
    guards.append(Guard(server, "east", witness.option(), bootstrap=True))
    guards[0].start().becomes("serving")
    return guards[0]


def writes(server: PostgresServer, user: str = "app") -> bool:
    """True when a new session commits a write, whatever it takes."""
    try:
        with contextlib.closing(server.connect(user)) as connection, connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute("INSERT INTO writes (at) VALUES (now())")
            return True
    except psycopg2.Error:
        return False


def test_a_first_primary_creates_the_lease_and_leaves_samples_and_heartbeats(
    guard: Guard, server: PostgresServer, witness: Witness
) -> None:
    record = eventually(lambda: (found := witness.read().record) and len(found.samples) > 3 and found)
    assert (record.holder, record.epoch) == ("east", 1)
    times = [time for time, _lsn in record.samples]
    assert times == sorted(times)
    region, epoch, sequence, behind = server.sql(
        "SELECT region, epoch, sequence, pg_current_wal_insert_lsn() - lsn FROM dr.heartbeat"
    )[0]
    assert (region, epoch) == ("east", 1) and sequence > 1 and behind >= 0
    assert writes(server)
    shown = json.loads(guard.run("status").stdout)
    assert shown["guard_running"] and shown["state"] == "serving" and shown["hba"] == "open"


@pytest.mark.parametrize("mode", ["refuse", "hang", "lose_answers"])
def test_without_the_witness_it_fences_before_the_lease_ends_and_serves_again_with_it(
    guard: Guard, server: PostgresServer, witness: Witness, mode: str
) -> None:
    writer = Writer(server).start(time.time)
    witness.set(mode)
    guard.fenced()
    stopped = writer.stop()
    assert not writes(server)
    witness.set("pass")
    record = witness.read().record
    assert record is not None and record.holder == "east"
    expires = witness.read().expires_at(allowance=0.0)
    assert expires is not None and stopped[-1][1] < expires.timestamp(), "a write was acknowledged after the lease"
    guard.becomes("serving")
    eventually(lambda: writes(server), "writes after the outage")
    assert len(server.sql("SELECT id FROM writes")) > len(stopped)


def test_a_store_that_died_for_good_is_a_witness_lost(
    server: PostgresServer, guards: list[Guard], s3_server_factory: Any, servers_directory: Any
) -> None:
    store = s3_server_factory(servers_directory / "doomed-s3")
    witness = Witness(store)
    guards.append(Guard(server, "east", witness.option(), bootstrap=True))
    guards[0].start().becomes("serving")
    store.kill()
    guards[0].fenced()
    guards[0].becomes("fenced")
    assert not writes(server)
    witness.close()


def test_another_holder_fences_it_and_a_receipt_says_so(guard: Guard, server: PostgresServer, witness: Witness) -> None:
    writer = Writer(server).start(time.time)
    record = witness.claim("west").record
    assert record is not None and record.epoch == 2
    guard.fenced()
    last = writer.stop()[-1][1]
    store = ObjectStore(witness.stores[0])

    def receipt() -> dict[str, Any] | None:
        with contextlib.suppress(Exception):
            return dict(json.loads(store.get(receipt_key(witness.key, "east", 2)).body))
        return None

    found = eventually(receipt, "the receipt")
    assert (found["subject"], found["epoch"], found["method"]) == ("east", 2, "guard_fenced")
    assert last <= from_iso(found["fenced_at"]).timestamp()
    assert found["server"]["cluster state"].startswith("shut down")
    assert guard.becomes("fenced")["holder"] == "west"


@pytest.mark.parametrize(
    ("victim", "number"),
    [("renewer", signal.SIGSTOP), ("renewer", signal.SIGKILL), ("watchdog", signal.SIGKILL)],
)
def test_its_own_death_does_not_leave_the_database_writable(
    guard: Guard, server: PostgresServer, witness: Witness, victim: str, number: signal.Signals
) -> None:
    writer = Writer(server).start(time.time)
    renewer = guard.renewer_pid()
    os.kill(renewer if victim == "renewer" else guard.process.pid, number)  # type: ignore[union-attr]
    eventually(lambda: "FENCED" in guard.log.read_text(), "the fence")
    if victim == "watchdog":
        guard.fenced()
        assert not writes(server)
    record = witness.read()
    if number == signal.SIGSTOP:
        expires = record.expires_at(allowance=0.0)
        fenced_at = guard.log.read_text().split(" lease-guard[east]: FENCED")[0].rsplit("\n", 1)[-1]
        assert expires is not None and from_iso(fenced_at) <= expires
    if victim == "renewer":  # the watchdog starts another one, which finds the lease still its own
        eventually(lambda: guard.renewer_pid() != renewer and guard.status()["state"] == "serving", "a new renewer")
        eventually(lambda: writes(server), "writes")
    writer.stop()


def test_a_planned_stop_fences_and_the_next_start_serves(guard: Guard, server: PostgresServer) -> None:
    assert guard.process is not None
    guard.process.terminate()
    assert guard.process.wait(30) == 0
    assert guard.closed() and server.pid() is None
    assert guard.run("status").returncode == 3
    guard.start().becomes("serving")
    eventually(lambda: writes(server), "writes")


def test_nothing_gets_past_the_fence(guard: Guard, server: PostgresServer, witness: Witness) -> None:
    """Sessions from before with their own settings, new ones, one amid its login, a start behind the guard's back."""
    old = server.connect("app")
    with old.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = off")
        cursor.execute("SET idle_in_transaction_session_timeout = 0")
    old.autocommit = False
    with old.cursor() as cursor:
        cursor.execute("INSERT INTO writes (at) VALUES ('2000-01-01')")
    slow = slow_login(server)
    witness.claim("west")
    guard.fenced()
    with pytest.raises(psycopg2.Error):
        old.commit()
    assert ended(slow)
    assert not writes(server)
    assert not writes(server, "postgres")

    server.run("pg_ctl", "start", "-w", "-s", "-D", server.data, "-l", server.directory / "log")
    assert not writes(server)
    assert not writes(server, "postgres")
    local = psycopg2.connect
    with pytest.raises(psycopg2.Error):
        local(host=str(server.directory), port=server.port, user="postgres", dbname="postgres")
    eventually(lambda: server.pid() is None, "the guard to stop what was started behind its back")


def slow_login(server: PostgresServer) -> socket.socket:
    """A connection that has sent its startup packet, was asked for a password, and says nothing more."""
    connection = socket.create_connection((server.host, server.port))
    body = struct.pack("!I", 196608) + b"user\0app\0database\0postgres\0\0"
    connection.sendall(struct.pack("!I", len(body) + 4) + body)
    assert connection.recv(1) == b"R"
    return connection


def ended(connection: socket.socket) -> bool:
    connection.settimeout(10)
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return True


def test_a_frozen_server_is_killed(guard: Guard, server: PostgresServer, witness: Witness) -> None:
    pid = server.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    witness.claim("west")
    guard.fenced()
    assert "server stopped: kill" in guard.log.read_text()


def test_a_returned_primary_starts_closed_and_stays_closed(
    guard: Guard, server: PostgresServer, witness: Witness, guards: list[Guard]
) -> None:
    guard.end()
    server.kill()  # the machine is gone, nothing was fenced
    assert not guard.closed()
    witness.claim("west")
    assert guard.run("pre-start").returncode == 0
    server.start()
    assert not writes(server)
    guard.start().becomes("fenced")
    guard.fenced()
    assert not writes(server)


def test_a_server_started_without_a_lease_is_fenced(
    server: PostgresServer, witness: Witness, guards: list[Guard]
) -> None:
    guards.append(Guard(server, "east", witness.option()))
    guards[0].start().becomes("fenced")
    assert "there is no lease" in guards[0].status()["reason"]
    guards[0].fenced()


def test_a_lease_that_vanished_is_not_bootstrapped_again(
    guard: Guard, server: PostgresServer, witness: Witness, s3_server: S3Server
) -> None:
    guard.end()
    s3_server.client().delete_object(Bucket="guard-leases", Key=f"0/{witness.key}")
    guard.start().becomes("fenced")
    assert "epoch 1 is remembered" in guard.status()["reason"]
    assert witness.read().record is None


def test_a_first_start_without_a_witness_waits_and_harms_nobody(
    server: PostgresServer, witness: Witness, guards: list[Guard]
) -> None:
    witness.set("refuse")
    guards.append(Guard(server, "east", witness.option(), bootstrap=True))
    guards[0].start().becomes("waiting")
    assert writes(server)
    witness.set("pass")
    guards[0].becomes("serving")


def test_a_first_start_with_a_broken_configuration_harms_nobody(
    server: PostgresServer, witness: Witness, guards: list[Guard]
) -> None:
    broken = [{**store, "credentials_file": "/nonexistent"} for store in witness.stores]
    guards.append(Guard(server, "east", {**witness.option(), "stores": broken}, bootstrap=True))
    guards[0].start()
    eventually(lambda: guards[0].log.read_text().count("started renewer") > 1, "a second try")
    assert "no such file or profile" in guards[0].log.read_text()
    assert writes(server)


def test_without_its_rules_file_the_server_is_stopped_all_the_same(
    guard: Guard, server: PostgresServer, witness: Witness
) -> None:
    guard.hba.rename(guard.hba.with_suffix(".away"))
    witness.claim("west")
    eventually(lambda: server.pid() is None, "the end of the server")
    assert "could not close" in guard.log.read_text()


def test_a_standby_stays_open_and_its_promotion_needs_the_lease(
    guard: Guard, server: PostgresServer, witness: Witness, guards: list[Guard], postgres_factory: PostgresFactory
) -> None:
    standby = postgres_factory.standby_of(server)
    know_passwords(standby)  # the base backup brought the roles
    other = Guard(standby, "west", witness.option())
    guards.append(other)
    other.start().becomes("standby")
    assert standby.sql("SELECT pg_is_in_recovery()") == [(True,)]
    assert other.run("pre-start").returncode == 0
    assert not other.closed()

    with contextlib.suppress(psycopg2.Error):
        standby.sql("SELECT pg_promote(true, 30)")  # by hand, without the lease
    other.fenced()
    other.becomes("fenced")
    assert writes(server), "the holder goes on"
    standby.stop()


def test_a_promotion_with_the_lease_serves_and_renews(
    guard: Guard, server: PostgresServer, witness: Witness, guards: list[Guard], postgres_factory: PostgresFactory
) -> None:
    standby = postgres_factory.standby_of(server)
    know_passwords(standby)  # the base backup brought the roles
    other = Guard(standby, "west", witness.option())
    guards.append(other)
    other.start().becomes("standby")
    witness.claim("west")
    guard.fenced()
    standby.sql("SELECT pg_promote(true, 30)")
    other.becomes("serving")
    assert writes(standby)
    before = witness.read().record
    assert before is not None and before.holder == "west" and before.epoch == 2
    eventually(lambda: (now := witness.read().record) and now.sequence > before.sequence, "renewals")
    eventually(lambda: standby.sql("SELECT 1 FROM dr.heartbeat WHERE region = 'west' AND epoch = 2"), "heartbeats")
    standby.stop()


def test_a_majority_of_three_keeps_serving_without_one(
    server: PostgresServer, s3_server: S3Server, guards: list[Guard]
) -> None:
    witness = Witness(s3_server, count=3)
    guards.append(Guard(server, "east", witness.option(), bootstrap=True))
    guards[0].start().becomes("serving")
    witness.proxies[2].set("hang")
    before = witness.read().record
    assert before is not None
    eventually(lambda: (now := witness.read().record) and now.sequence > before.sequence + 10, "ten renewals")
    assert "FENCED" not in guards[0].log.read_text()
    witness.proxies[1].set("refuse")
    guards[0].fenced()
    witness.close()


def test_a_clock_that_is_minutes_off_changes_nothing(
    server: PostgresServer, witness: Witness, guards: list[Guard]
) -> None:
    """The witness's clock is ten minutes behind this machine's: samples follow the witness."""
    witness.proxies[0].skew_seconds = -600.0
    guards.append(Guard(server, "east", witness.option(), bootstrap=True))
    guards[0].start().becomes("serving")
    record = eventually(lambda: (found := witness.read().record) and found.samples and found)
    newest = from_iso(record.samples[-1][0]).timestamp()
    assert newest <= time.time() - 600


def test_settings_that_cannot_hold_are_refused(server: PostgresServer, witness: Witness) -> None:
    guard = Guard(server, "east", witness.option())
    for changes, says in (
        ({"fence_margin_seconds": 4.5}, "must leave room for two renewals"),
        ({"colour": "red"}, "unknown ['colour']"),
    ):
        guard.write_config(**changes)
        done = guard.run("run")
        assert done.returncode == 1 and says in done.stderr
    guard.config.write_text("{")
    assert "Failed to read the lease guard's configuration" in guard.run("status").stderr


def test_the_original_rules_survive_every_order_of_events(guard: Guard, server: PostgresServer) -> None:
    original = guard.hba.read_bytes()
    mode = guard.hba.stat()
    assert guard.process is not None
    guard.process.terminate()
    guard.process.wait(30)
    for _ in range(2):
        assert guard.run("pre-start").returncode == 0
    assert guard.closed()
    closed = guard.hba.stat()
    assert (closed.st_uid, closed.st_gid, closed.st_mode) == (mode.st_uid, mode.st_gid, mode.st_mode)
    assert "replication" in guard.hba.read_text()
    guard.start().becomes("serving")
    assert guard.hba.read_bytes() == original


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_it_keeps_the_owner_of_the_rules(server: PostgresServer, witness: Witness) -> None:
    guard = Guard(server, "east", witness.option())
    owner = guard.hba.stat().st_uid
    done = subprocess.run(guard.command("pre-start"), env=guard.environment(), check=False, cwd="/")
    assert done.returncode == 0 and guard.closed()
    assert guard.hba.stat().st_uid == owner


def test_it_needs_nothing_of_ansible_and_its_watchdog_nothing_that_talks() -> None:
    package = "ansible_collections.terragon.disaster_recovery.plugins.module_utils"
    code = (
        "import importlib, sys\n"
        f"importlib.import_module('{package}.guard')\n"
        "assert not {'boto3', 'botocore', 'psycopg2'} & set(sys.modules), 'the watchdog loads too much'\n"
        f"importlib.import_module('{package}.guard_renewer')\n"
        "assert 'ansible' not in sys.modules, 'the guard needs Ansible'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
