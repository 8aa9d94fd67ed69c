"""The ledger where its disk is full or its store is late: a clear error, nothing half written, nothing twice."""

from __future__ import annotations

import contextlib
import hashlib
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError, Unreachable
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore

from tests.unit.servers import S3Server, eventually
from tests.unit.tcp_proxy import TcpProxy

INCIDENT = "INC-9"


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[TcpProxy]:
    """The network to the store, to be broken."""
    made = TcpProxy(s3_server.endpoint_url)
    yield made
    made.close()


@pytest.fixture
def options(s3_server: S3Server, proxy: TcpProxy, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The store behind that network, under a prefix of the test's own."""
    prefix = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12] + "/"
    given = s3_server.store("ledgers", name="ledger", prefix=prefix, timeout=1.0)
    return {**given, "endpoint_url": proxy.endpoint_url}


def opened(directory: Path, options: dict[str, Any] | None) -> Ledger:
    """A run's ledger."""
    store = ObjectStore(options) if options else None
    return Ledger(INCIDENT, "drill", directory, store, actor="alice@here", token=1)


def story(ledger: Ledger) -> list[str]:
    """The steps, after a check that the chain holds."""
    found = ledger.verify()
    assert (found.outcome, found.problems) == ("passed", []), found
    return [event.step for event in ledger.read()]


@contextlib.contextmanager
def room_for(path: Path, more: int) -> Iterator[None]:
    """The file can grow by so many bytes: what is longer is written in part, as where a disk gets full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("with_store", [True, False])
@pytest.mark.parametrize("room", [0, 40])
def test_a_full_disk_is_named_and_leaves_nothing_half_written(
    tmp_path: Path, options: dict[str, Any], with_store: bool, room: int
) -> None:
    def run() -> Ledger:
        return opened(tmp_path, options if with_store else None)

    run().declare()
    before = run().path.read_bytes()
    with room_for(run().path, room), pytest.raises(RecoveryError) as failure:
        run().append("isolate", "fence", "intent", {"text": "x" * 200})
    assert f"Failed to write the ledger {run().path}: File too large. Free space there" in str(failure.value)
    assert run().path.read_bytes() == before
    run().append("isolate", "fence again", "verified")
    # The store had taken the event before the disk refused it; the next append takes it in.
    assert story(run()) == ["declare", *(["fence"] if with_store else []), "fence again"]
    assert not list(run().path.parent.glob("ledger.torn-*"))


def test_no_space_left_on_device_is_named(tmp_path: Path, options: dict[str, Any]) -> None:
    """/dev/full refuses every byte as a full disk does, with ENOSPC."""
    ledger = opened(tmp_path, options)
    ledger.path.parent.mkdir()
    ledger.path.symlink_to("/dev/full")
    with pytest.raises(RecoveryError, match=r"ledger\.jsonl: No space left on device\. Free space there"):
        ledger.declare()
    ledger.path.unlink()
    opened(tmp_path, options).append("assess", "look", "verified")
    assert story(opened(tmp_path, options)) == ["declare", "look"]


def in_background(ledger: Ledger, step: str) -> tuple[threading.Thread, list[Any]]:
    """Append in a thread; its outcome is in the list."""
    outcome: list[Any] = []

    def append() -> None:
        try:
            outcome.append(ledger.append("assess", step, "verified"))
        except RecoveryError as error:
            outcome.append(error)

    thread = threading.Thread(target=append)
    thread.start()
    return thread, outcome


def test_an_append_whose_answer_was_lost_is_written_once(
    tmp_path: Path, options: dict[str, Any], proxy: TcpProxy, s3_server: S3Server
) -> None:
    ledger = opened(tmp_path, options)
    ledger.declare()
    direct = ObjectStore({**options, "endpoint_url": s3_server.endpoint_url})
    proxy.set("lose_answers")
    thread, outcome = in_background(ledger, "look")
    eventually(lambda: f"{INCIDENT}/000002.json" in set(direct.keys(INCIDENT)), "the write to land")
    proxy.set("pass")
    thread.join()
    assert outcome[0].step == "look", outcome
    assert story(opened(tmp_path, options)) == ["declare", "look"]


def test_answers_that_stay_lost_are_an_error_and_the_event_is_taken_in_later(
    tmp_path: Path, options: dict[str, Any], proxy: TcpProxy
) -> None:
    ledger = opened(tmp_path, options)
    ledger.declare()
    proxy.set("lose_answers")
    with pytest.raises(Unreachable) as failure:
        ledger.append("assess", "look", "verified")
    assert f"Failed to record event 2 of incident {INCIDENT}: Failed to write {INCIDENT}/000002.json" in str(
        failure.value
    )
    assert "restore access to the store and run the same command again" in str(failure.value)
    proxy.set("pass")
    opened(tmp_path, options).append("assess", "look again", "verified")
    assert story(opened(tmp_path, options)) == ["declare", "look", "look again"]


def test_a_store_that_answers_late_is_waited_for(
    s3_server_factory: Any, servers_directory: Path, tmp_path: Path
) -> None:
    server = s3_server_factory(servers_directory / "ledger-late")
    options = server.store("ledgers", name="ledger", timeout=1.0)
    ledger = opened(tmp_path, options)
    ledger.declare()
    server.pause()
    thread, outcome = in_background(ledger, "look")
    threading.Timer(1.5, server.resume).start()  # after the first try was given up
    thread.join()
    assert outcome[0].step == "look", outcome
    assert story(opened(tmp_path, options)) == ["declare", "look"]


def test_a_store_that_stays_silent_is_named_with_what_to_do(
    tmp_path: Path, options: dict[str, Any], proxy: TcpProxy
) -> None:
    ledger = opened(tmp_path, options)
    ledger.declare()
    proxy.set("hang")
    with pytest.raises(Unreachable, match=r"Read timeout.*Nothing that was recorded is lost"):
        ledger.append("assess", "look", "verified")
    with pytest.raises(Unreachable, match=r"Failed to list .*Check the store's endpoint"):
        opened(tmp_path, options).declare()
    proxy.set("pass")
    ledger.append("assess", "look", "verified")
    assert story(opened(tmp_path, options))[0] == "declare"
