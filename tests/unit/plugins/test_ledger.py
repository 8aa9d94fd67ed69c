"""The ledger against a real S3: order, other writers, lost answers, interrupted writes, tampering, verification."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import (
    RecoveryError,
    Refused,
    Unreachable,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import AnotherWriter, Diverged, Ledger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_event import (
    GENESIS,
    Event,
    canonical,
    plain,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_file import DamagedLedger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore

from tests.unit.servers import S3Server

INCIDENT = "INC-7"
Make = Callable[..., Ledger]


@pytest.fixture
def store(s3_server: S3Server, request: pytest.FixtureRequest) -> ObjectStore:
    """A prefix of the test's own."""
    prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12] + "/"
    return ObjectStore(s3_server.store("ledgers", prefix=prefix))


@pytest.fixture
def make(store: ObjectStore, tmp_path: Path) -> Make:
    """Opens the ledger on a machine (a directory), as an actor with a token."""

    def opened(machine: str = "here", actor: str = "alice@here", token: int | None = 1, **more: Any) -> Ledger:
        given = {"mode": "drill", "store": store, **more}
        return Ledger(INCIDENT, directory=tmp_path / machine, actor=actor, token=token, **given)

    return opened


def fill(ledger: Ledger, count: int = 4) -> list[Event]:
    ledger.declare({"why": "a test"})
    for number in range(1, count):
        ledger.append("assess", f"step-{number}", "verified", {"number": number})
    return ledger.read()


# --- what an event is ------------------------------------------------------------------------------------------------


def test_events_are_chained_in_order(make: Make) -> None:
    events = fill(make())
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert [event.prev for event in events] == [GENESIS, *(event.hash for event in events[:-1])]
    assert events[0].step == "declare"
    assert {event.actor for event in events} == {"alice@here"}
    assert {event.mode for event in events} == {"drill"}


AWKWARD: list[Any] = [
    "plain",
    'quotes " and \\ and / and \t\n\r\b\f and \x01\x1f',
    "ünïcödé 数据 🚑 \u2028",
    "undecodable \udc80 and DEL \x7f",
    {"b": 1, "a": {"z": None, "ä": True}, "": []},
    [0, -1, 2**53, 2**53 + 1, 7304123456789012345, -(2**60)],
    [1.0, 1.5, 0.1, 2 / 3, 1e-9, -0.0, 1e15 + 0.5, 1e22, float("inf"), float("nan")],
]


@pytest.mark.parametrize("value", AWKWARD, ids=range(len(AWKWARD)))
def test_an_auditor_recomputes_the_hash_with_jq_and_sha256sum(make: Make, store: ObjectStore, value: Any) -> None:
    ledger = make()
    ledger.declare()
    event = ledger.append("assess", "look", "verified", {"value": value})
    command = "jq -jcS 'del(.hash)' | sha256sum"
    for body in (store.get(f"{INCIDENT}/000002.json").body, ledger.path.read_bytes().splitlines()[1]):
        found = subprocess.run(["bash", "-c", command], input=body, capture_output=True, check=True).stdout
        assert found.split()[0].decode() == event.hash
        printed = subprocess.run(["jq", "-jcS", "."], input=body, capture_output=True, check=True).stdout
        assert printed == body == event.to_bytes()


def test_canonical_form_is_stable() -> None:
    event = Event(
        7,
        "2026-11-23T10:31:00.250000Z",
        INCIDENT,
        "drill",
        "isolate",
        "fence",
        "verified",
        "a@b",
        3,
        {"é": 1.5},
        GENESIS,
    )
    assert canonical({"b": [1, {"d": None, "c": "é"}], "a": 1.5}) == '{"a":1.5,"b":[1,{"c":"é","d":null}]}'.encode()
    assert event.digest() == "8dc461da056b81dca47236c5ffd038589ada293c1999761f5a76d40bb55f1baf"


SECRETS = [
    ({"password": "hunter2"}, {"password": "[redacted]"}, ["password"]),
    ({"db": {"PGPASSWORD": "x"}}, {"db": {"PGPASSWORD": "[redacted]"}}, ["db.PGPASSWORD"]),
    (
        {"aws_secret_access_key": "x", "token": 7},
        {"aws_secret_access_key": "[redacted]", "token": 7},
        ["aws_secret_access_key"],
    ),
    ({"token": "s.abc"}, {"token": "[redacted]"}, ["token"]),
    ({"secrets": {"a": "b"}}, {"secrets": "[redacted]"}, ["secrets"]),
    ({"missing_secrets": ["db-credentials"]}, {"missing_secrets": ["db-credentials"]}, []),
    ({"passfile": "/etc/dr/pgpass", "secret_name": "x"}, {"passfile": "/etc/dr/pgpass", "secret_name": "x"}, []),
    ({"url": "https://u:pw@host/x"}, {"url": "https://[redacted]@host/x"}, ["url"]),
    ({"list": ["dsn host=a password=b"]}, {"list": ["dsn host=a [redacted]"]}, ["list[0]"]),
    ({"note": "AKIAABCDEFGHIJKLMNOP"}, {"note": "[redacted]"}, ["note"]),
    (
        {"pem": "x -----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY----- y"},
        {"pem": "x [redacted] y"},
        ["pem"],
    ),
]


@pytest.mark.parametrize(("given", "kept", "flagged"), SECRETS, ids=range(len(SECRETS)))
def test_secrets_do_not_get_into_the_ledger(given: dict[str, Any], kept: dict[str, Any], flagged: list[str]) -> None:
    told = plain(given)
    assert told.pop("redacted", []) == flagged
    assert told == kept


@pytest.mark.parametrize("incident", ["", "-x", ".", "..", "a/b", "a b", "x" * 65, "INC-7\n", "ä"])
def test_a_bad_identifier_is_refused(incident: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="an identifier is"):
        Ledger(incident, "drill", tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- declaring, closing ----------------------------------------------------------------------------------------------


def test_declaring_again_keeps_the_first_time(make: Make) -> None:
    first = make().declare({"why": "first"})
    assert first is not None
    assert make().declare({"why": "again"}) is None
    assert make().status().declared_at == first.time
    assert make().status().count == 1


def test_a_later_run_resumes_and_the_earlier_one_is_refused(make: Make) -> None:
    earlier, later = make(token=1), make("there", actor="bob@there", token=2)
    fill(earlier)
    resumed = later.declare({})
    assert resumed is not None
    assert (resumed.step, resumed.seq) == ("resume", 5)
    with pytest.raises(AnotherWriter, match=r"another writer appended event 5 \(bob@there with token 2"):
        earlier.append("assess", "late", "verified")
    assert [event.step for event in later.read()][-1] == "resume"


def test_an_old_token_is_refused_on_the_same_machine(make: Make) -> None:
    fill(make(token=1))
    make(token=2).declare()
    with pytest.raises(AnotherWriter):
        make(token=1).append("assess", "late", "verified")


def test_a_closed_incident_takes_nothing(make: Make) -> None:
    fill(make())
    closing = make().close({"report": "/srv/report.json"})
    assert closing is not None
    assert make().close() is None
    for act in (make().declare, lambda: make().append("close", "x", "verified"), make("elsewhere").declare):
        with pytest.raises(Refused, match=rf"Incident INC-7 is already closed \(at {closing.time}\).*/srv/report.json"):
            act()


def test_nothing_is_appended_before_the_declaration(make: Make) -> None:
    with pytest.raises(Refused, match="Declare it first"):
        make().append("assess", "x", "verified")


def test_an_incident_is_no_drill(make: Make) -> None:
    fill(make())
    with pytest.raises(Refused, match="declared as drill, not as incident"):
        make(mode="incident").append("assess", "x", "verified")


def test_a_ledger_without_a_store(make: Make) -> None:
    ledger = make(store=None)
    assert len(fill(ledger)) == 4
    assert ledger.verify().valid


# --- several writers, lost answers, interrupted runs -----------------------------------------------------------------


def test_a_second_writer_is_stopped_and_told_who(make: Make) -> None:
    mine, theirs = make(token=None), make("there", actor="bob@there", token=None)
    fill(mine)
    theirs.declare()
    theirs.append("assess", "their step", "verified")
    before = mine.path.read_bytes()
    with pytest.raises(AnotherWriter, match=r"another writer appended event 5 \(bob@there"):
        mine.append("assess", "my step", "verified")
    assert mine.path.read_bytes() == before


def _append(directory: str, options: dict[str, Any], number: int) -> None:
    ledger = Ledger(INCIDENT, "drill", directory, ObjectStore(options), actor="alice@here", token=1)
    for turn in range(5):
        ledger.append("assess", f"{number}-{turn}", "verified")


def test_processes_of_one_machine_take_turns(
    make: Make, s3_server: S3Server, store: ObjectStore, tmp_path: Path
) -> None:
    make().declare()
    options = s3_server.store("ledgers", prefix=store.prefix)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_append, args=(str(tmp_path / "here"), options, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(make().read()) == 16
    assert make().verify().valid


def test_another_machine_catches_up_from_the_store(make: Make) -> None:
    events = fill(make())
    elsewhere = make("elsewhere")
    elsewhere.append("assess", "goes on", "verified")
    assert elsewhere.read()[:4] == events
    assert elsewhere.verify().valid


def test_a_run_that_died_between_store_and_file(make: Make) -> None:
    ledger = make()
    fill(ledger)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[:-1]))
    ledger.append("assess", "goes on", "verified")
    assert [event.seq for event in ledger.read()] == [1, 2, 3, 4, 5]
    assert ledger.verify().valid


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_torn_end_is_set_aside(make: Make, kept: float) -> None:
    ledger = make()
    fill(ledger)
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    torn = lines[-1][: int(len(lines[-1]) * kept)]
    ledger.path.write_bytes(b"".join(lines[:-1]) + torn)
    found = ledger.verify()
    assert not found.valid
    assert found.problems[0].seq == 4
    event = ledger.append("assess", "goes on", "verified")
    assert event.data.get("torn_bytes_set_aside", 0) == len(torn)
    assert ledger.verify().valid
    if torn:
        (aside,) = ledger.path.parent.glob("ledger.torn-*")
        assert aside.read_bytes() == torn


def test_a_lost_answer_is_recognised(make: Make, store: ObjectStore) -> None:
    """The write landed, its answer did not arrive: the retry meets 412 and finds its own event."""
    ledger = make()
    fill(ledger)
    assert ledger.remote is not None
    last = ledger.file.last()
    event = ledger._event(last, "assess", "ambiguous", "verified", {})
    store.put(f"{INCIDENT}/000005.json", event.to_bytes(), absent=True)
    assert ledger.remote.create(event) is None


def test_an_unreachable_store_loses_nothing(
    s3_server_factory: Callable[[Path], S3Server], servers_directory: Path, tmp_path: Path
) -> None:
    server = s3_server_factory(servers_directory / "ledger-away")
    options = server.store("ledgers", timeout=1.0)

    def opened() -> Ledger:
        return Ledger(INCIDENT, "drill", tmp_path, ObjectStore(options), actor="alice@here", token=1)

    fill(opened())
    server.kill()
    before = opened().path.read_bytes()
    with pytest.raises(Unreachable, match="Nothing that was recorded is lost"):
        opened().append("isolate", "while away", "verified")
    assert opened().path.read_bytes() == before
    found = opened().verify()
    assert (found.outcome, found.valid) == ("unverified", False)
    # The operator goes on without it, and publishes afterwards.
    local = Ledger(INCIDENT, "drill", tmp_path, None, actor="alice@here", token=1)
    local.append("isolate", "while away", "verified")
    server.start()
    with pytest.raises(Diverged, match="state=published"):
        opened().declare()
    assert opened().unpublished() == [5]
    assert opened().publish() == [5]
    assert opened().publish() == []
    assert [event.step for event in opened().read()][-2:] == ["while away", "publish"]
    assert opened().verify().valid


def test_publishing_over_another_story_is_refused(make: Make) -> None:
    fill(make())
    make(store=None).append("assess", "here", "verified")
    make("elsewhere").append("assess", "there", "verified")
    with pytest.raises(Diverged, match="event 5 differs"):
        make().publish()


def test_events_are_retained(s3_server: S3Server, tmp_path: Path) -> None:
    options = s3_server.store("locked-ledgers", object_lock=True)
    ledger = Ledger(INCIDENT, "drill", tmp_path, ObjectStore(options), actor="a", token=1, retain_days=1)
    ledger.declare()
    head = s3_server.client().head_object(Bucket="locked-ledgers", Key=f"{INCIDENT}/000001.json")
    assert head["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(Exception, match=r"AccessDenied|denied|WORM|retention"):
        s3_server.client().delete_object(
            Bucket="locked-ledgers", Key=f"{INCIDENT}/000001.json", VersionId=head["VersionId"]
        )


# --- verification ----------------------------------------------------------------------------------------------------


def test_any_changed_byte_is_found_and_the_event_named(make: Make) -> None:
    ledger = make(store=None)
    fill(ledger, 3)
    good = ledger.path.read_bytes()
    assert ledger.verify().valid
    for position in range(len(good)):
        ledger.path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        found = ledger.verify()
        assert not found.valid, position
        expected = good[:position].count(b"\n") + 1
        assert found.problems[0].seq == expected, (position, found.problems)


def rewrite(line: bytes, **changes: Any) -> bytes:
    """An event changed by somebody who knows how to hash."""
    event = dataclasses.replace(Event.from_bytes(line), **changes)
    return dataclasses.replace(event, hash=event.digest()).to_bytes()


Lines = list[bytes]
TAMPERED: list[tuple[str, Callable[[Lines], Lines], int, str]] = [
    ("removed", lambda x: x[:1] + x[2:], 2, "is missing: event 3 stands in its place"),
    ("first removed", lambda x: x[1:], 1, "is missing"),
    ("doubled", lambda x: x[:2] + x[1:], 3, "event 2 stands in its place"),
    ("swapped", lambda x: [x[0], x[2], x[1], x[3]], 2, "is missing: event 3"),
    ("rewritten with a new hash", lambda x: [x[0], rewrite(x[1], step="x"), *x[2:]], 3, "does not follow event 2"),
    (
        "moved from another incident",
        lambda x: [rewrite(x[0], incident="INC-8"), *x[1:]],
        1,
        "belongs to incident INC-8",
    ),
    ("spaces added", lambda x: [x[0].replace(b'":', b'": '), *x[1:]], 1, "canonical"),
    ("member added", lambda x: [b'{"a":1,' + x[0][1:], *x[1:]], 1, "its members"),
    ("no JSON", lambda x: [*x[:3], b"x"], 4, "is not JSON"),
    ("empty line", lambda x: [*x[:2], b"", *x[2:]], 3, "is not JSON"),
]


@pytest.mark.parametrize(("how", "seq", "problem"), [case[1:] for case in TAMPERED], ids=[case[0] for case in TAMPERED])
def test_tampering_is_named(make: Make, how: Callable[[Lines], Lines], seq: int, problem: str) -> None:
    ledger = make(store=None)
    fill(ledger)
    lines = how(ledger.path.read_bytes().splitlines())
    ledger.path.write_bytes(b"".join(line + b"\n" for line in lines))
    found = ledger.verify()
    assert found.outcome == "failed"
    assert (found.problems[0].seq, found.problems[0].copy) == (seq, "local")
    assert problem in found.problems[0].problem


def test_the_end_cut_off_is_found_by_the_other_copy_or_the_head(make: Make, store: ObjectStore) -> None:
    ledger = make()
    events = fill(ledger)
    ledger.path.write_bytes(b"".join(ledger.path.read_bytes().splitlines(keepends=True)[:2]))
    found = ledger.verify()
    assert (found.problems[0].seq, found.problems[0].copy) == (3, "local")
    alone = make(store=None)
    assert alone.verify().valid  # one copy alone cannot show it
    assert "the end is missing" in alone.verify(events[-1].hash).problems[0].problem
    assert make("nowhere").verify(events[-1].hash).valid


def test_the_store_tampered_with_is_found(make: Make, store: ObjectStore) -> None:
    ledger = make()
    fill(ledger)
    body = store.get(f"{INCIDENT}/000003.json").body
    store.put(f"{INCIDENT}/000003.json", rewrite(body, step="nothing happened"))
    found = ledger.verify()
    assert [(problem.seq, problem.copy) for problem in found.problems] == [(4, "store"), (3, "both")]
    store._client.delete_object(Bucket=store.bucket, Key=f"{store.prefix}{INCIDENT}/000002.json")
    assert (2, "store") in [(problem.seq, problem.copy) for problem in ledger.verify().problems]
    with pytest.raises(Diverged, match="event 2 is missing in the store"):
        ledger.declare()


def test_a_store_that_ends_earlier_is_never_taken_silently(make: Make, store: ObjectStore) -> None:
    ledger = make()
    fill(ledger)
    store._client.delete_object(Bucket=store.bucket, Key=f"{store.prefix}{INCIDENT}/000004.json")
    assert (4, "store") in [(problem.seq, problem.copy) for problem in ledger.verify().problems]
    with pytest.raises(Diverged, match=r"the store ends at event 3, the local file at event 4.*state=published"):
        make().declare()


def test_no_ledger_is_no_pass(make: Make) -> None:
    found = make("nowhere").verify()
    assert (found.outcome, found.events) == ("unverified", [])


def test_a_damaged_file_is_not_appended_to(make: Make) -> None:
    ledger = make(store=None)
    fill(ledger)
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b"step-3", b"step-X"))
    with pytest.raises(DamagedLedger, match="state=verified"):
        ledger.append("assess", "x", "verified")


def test_a_long_last_line_is_read(make: Make) -> None:
    ledger = make(store=None)
    ledger.declare()
    long = ledger.append("assess", "long", "verified", {"text": "x" * 200_000})
    assert ledger.append("assess", "next", "verified").prev == long.hash


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / INCIDENT).write_text("not a directory")
    with pytest.raises(RecoveryError, match=r"Failed to write the ledger .*INC-7/ledger.jsonl"):
        Ledger(INCIDENT, "drill", tmp_path).declare()


def test_a_copy_is_whole(make: Make, tmp_path: Path) -> None:
    ledger = make(store=None)
    fill(ledger)
    ledger.copy_to(tmp_path / "copy.jsonl")
    shutil.copy(tmp_path / "copy.jsonl", ledger.path)
    assert ledger.verify().valid
    assert json.loads((tmp_path / "copy.jsonl").read_text().splitlines()[0])["seq"] == 1
    assert os.listdir(tmp_path / "here") == [INCIDENT]
