"""pg_fence against real witness stores, and a real guard where the fence itself is at stake."""

from __future__ import annotations

import datetime as dt
import json
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease, LeaseView
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease_record import receipt_key

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.guard_support import Guard, Witness, Writer, prepare_database
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server
from tests.unit.tcp_proxy import TcpProxy

TTL, ALLOWANCE = 0.6, 0.2
KEYS = {
    "changed", "claimed_at", "claimed_by", "diff", "epoch", "evidence", "expires_at", "fenced", "holder", "missing",
    "previous", "receipts", "remaining_seconds", "shutdown_lsn", "waits",
}  # fmt: skip


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def option(s3_server: S3Server) -> dict[str, Any]:
    """The `lease` option of a lease that nobody has claimed."""
    return {
        "key": f"{uuid.uuid4().hex}.json",
        "ttl_seconds": TTL,
        "clock_allowance_seconds": ALLOWANCE,
        "stores": [s3_server.store("fences")],
    }


@pytest.fixture
def server(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    server = postgres_factory()
    prepare_database(server)
    yield server
    server.stop()


def held(option: dict[str, Any], holder: str = "east") -> tuple[Lease, LeaseView]:
    lease = Lease.from_options(option)
    view = lease.claim(lease.read(), holder, TTL, allowance=ALLOWANCE, claimed_by="test")
    return lease, lease.renew(view)


def fence(both: BothWays, option: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
    regions = {} if more.get("state") == "observed" else {"subject": "east", "claimant": "west"}
    return both("pg_fence", {"lease": option, "claimed_by": "INC-7", **regions, **more}, check)


def test_a_silent_holder_is_fenced_once_its_time_has_certainly_passed(both: BothWays, option: dict[str, Any]) -> None:
    renewed = dt.datetime.now(dt.UTC)
    held(option)
    result = fence(both, option)
    assert set(result) == KEYS
    assert (result["changed"], result["fenced"], result["holder"], result["epoch"]) == (True, True, "west", 2)
    (receipt,) = result["receipts"]
    assert (receipt["subject"], receipt["method"], receipt["epoch"]) == ("east", "lease_expired", 2)
    assert from_iso(receipt["certain_at"]) == from_iso(result["expires_at"])
    assert from_iso(receipt["certain_at"]) >= renewed + dt.timedelta(seconds=TTL + ALLOWANCE)
    assert dt.datetime.now(dt.UTC) >= from_iso(receipt["certain_at"]), "it did not wait for the end"
    assert result["remaining_seconds"] == 0.0 and result["missing"] == []
    assert [wait["name"] for wait in result["waits"]] == ["lease_expiry"]
    assert result["diff"] == {"before": {"holder": "east", "epoch": 1}, "after": {"holder": "west", "epoch": 2}}
    assert renewed - dt.timedelta(seconds=2) < from_iso(result["claimed_at"]) < from_iso(receipt["certain_at"])

    again = fence(both, option)
    assert (again["changed"], again["fenced"], again["epoch"]) == (False, True, 2)
    assert again["receipts"] == result["receipts"]


def test_claiming_does_not_wait_and_fencing_goes_on_from_it(both: BothWays, option: dict[str, Any]) -> None:
    held(option)
    claimed = fence(both, option, state="claimed")
    assert (claimed["changed"], claimed["fenced"], claimed["holder"], claimed["receipts"]) == (True, False, "west", [])
    assert 0 < claimed["remaining_seconds"] <= TTL + ALLOWANCE + 1
    assert "east may write for another" in claimed["missing"][0]
    assert fence(both, option, state="claimed")["changed"] is False
    result = fence(both, option)
    assert (result["changed"], result["fenced"]) == (False, True)
    assert result["expires_at"] == claimed["expires_at"]


def test_a_holder_that_renews_all_the_time_is_claimed_from(both: BothWays, option: dict[str, Any]) -> None:
    lease, view = held(option)
    lost = threading.Event()

    def renew() -> None:
        nonlocal view
        while not lost.wait(0.05):
            try:
                view = lease.renew(view)
            except Exception:
                lost.set()

    holder = threading.Thread(target=renew, daemon=True)
    holder.start()
    result = fence(both, option, state="claimed")
    holder.join(30)
    assert result["holder"] == "west" and lost.is_set()


@pytest.mark.parametrize("state", ["claimed", "fenced"])
def test_check_mode_predicts_and_writes_nothing(both: BothWays, option: dict[str, Any], state: str) -> None:
    lease, view = held(option)
    predicted = fence(both, option, check=True, state=state)
    assert set(predicted) == KEYS
    assert (predicted["changed"], predicted["holder"], predicted["epoch"]) == (True, "west", 2)
    assert 0 < predicted["remaining_seconds"] <= TTL + ALLOWANCE + 1
    assert predicted["fenced"] is (state == "fenced")
    now = lease.read()
    assert now.record is not None and view.record is not None
    assert (now.record.holder, now.record.sequence) == ("east", view.record.sequence)
    real = fence(both, option, state=state)
    for key in ("changed", "holder", "epoch", "fenced", "expires_at", "diff"):
        assert real[key] == predicted[key], key


def test_check_mode_predicts_the_receipt_that_a_claim_still_waits_for(both: BothWays, option: dict[str, Any]) -> None:
    held(option)
    claimed = fence(both, option, state="claimed")
    predicted = fence(both, option, check=True)
    assert (predicted["changed"], predicted["fenced"], predicted["epoch"]) == (False, True, 2)
    assert predicted["evidence"]["predicted"] is True
    assert predicted["receipts"][0]["certain_at"] == claimed["expires_at"]
    assert predicted["remaining_seconds"] > 0


def test_looking_changes_nothing(both: BothWays, option: dict[str, Any]) -> None:
    nothing = fence(both, option, state="observed")
    assert set(nothing) == KEYS
    assert (nothing["holder"], nothing["epoch"], nothing["fenced"]) == (None, None, False)
    assert "there is no lease" in nothing["missing"][0]
    lease, view = held(option)
    seen = fence(both, option, state="observed")
    assert (seen["changed"], seen["holder"], seen["epoch"], seen["fenced"]) == (False, "east", 1, False)
    lease.release(view)
    assert fence(both, option, state="observed")["holder"] is None


def test_a_released_lease_is_a_receipt_at_once(both: BothWays, option: dict[str, Any]) -> None:
    lease, view = held(option)
    lease.release(view)
    result = fence(both, option)
    assert [one["method"] for one in result["receipts"]] == ["lease_released"]
    assert result["fenced"] and from_iso(result["receipts"][0]["certain_at"]) <= dt.datetime.now(dt.UTC) + dt.timedelta(
        seconds=1
    )


def test_a_region_that_never_held_the_lease_is_not_known_to_be_guarded(both: BothWays, option: dict[str, Any]) -> None:
    result = fence(both, option)
    assert (result["changed"], result["fenced"], result["holder"], result["receipts"]) == (True, False, "west", [])
    assert "east is not known to be guarded" in result["missing"][0]


def test_the_guards_receipt_ends_the_wait_early(both: BothWays, option: dict[str, Any], s3_server: S3Server) -> None:
    long = {**option, "ttl_seconds": 600.0}
    lease = Lease.from_options(long)
    lease.claim(lease.read(), "east", 600.0, allowance=ALLOWANCE, claimed_by="test")
    claimed = fence(both, long, state="claimed")
    assert claimed["remaining_seconds"] > 500
    body = {"subject": "east", "epoch": 2, "method": "guard_fenced", "fenced_at": "2026-01-01T00:00:00Z"}
    key = receipt_key(option["key"], "east", 2)
    client = s3_server.client()
    for wrong in (b"no json", json.dumps({**body, "epoch": 1}).encode(), json.dumps({**body, "subject": "x"}).encode()):
        client.put_object(Bucket="fences", Key=key, Body=wrong)
        assert fence(both, long, wait_timeout=0)["fenced"] is False
    client.put_object(Bucket="fences", Key=key, Body=json.dumps(body).encode())
    result = fence(both, long)
    assert [one["method"] for one in result["receipts"]] == ["guard_fenced"] and result["fenced"]


def test_a_wait_that_is_too_short_says_what_is_left(both: BothWays, option: dict[str, Any]) -> None:
    held({**option, "ttl_seconds": 600.0})
    result = fence(both, {**option, "ttl_seconds": 600.0}, wait_timeout=0)
    assert (result["fenced"], result["receipts"]) == (False, [])
    assert "east may write for another" in result["missing"][0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"claimant": "east"}, "it is the claimant, too"),
        ({"subject": "south"}, "is held by east (epoch 1), which is neither south nor west"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    both: BothWays, option: dict[str, Any], change: dict[str, str], says: str
) -> None:
    lease, view = held(option)
    result = fence(both, option, **change)
    assert result["failed"] and says in result["msg"]
    now = lease.read().record
    assert now is not None and view.record is not None and now.sequence == view.record.sequence


def test_an_unreachable_witness_is_named(both: BothWays, option: dict[str, Any], s3_server: S3Server) -> None:
    proxy = TcpProxy(s3_server.endpoint_url)
    proxy.set("refuse")
    away = {**option, "stores": [{**option["stores"][0], "endpoint_url": proxy.endpoint_url}]}
    result = fence(both, away)
    proxy.close()
    assert result["failed"] and "store witness" in result["msg"] and "Check the witness" in result["msg"]


def test_a_refused_write_supports_and_an_accepted_one_refutes(
    both: BothWays, option: dict[str, Any], server: PostgresServer
) -> None:
    held(option)
    probe = server.options("dr_operator")
    result = fence(both, option, postgres=probe)
    assert result["failed"] and "still accepts writes" in result["msg"] and "by hand" in result["msg"]
    assert result["holder"] == "west"
    wrong = fence(both, option, postgres=server.options("nobody"))
    assert wrong["fenced"] and "not decided" in wrong["evidence"]["probe"]
    server.stop()
    result = fence(both, option, postgres=probe)
    assert [one["method"] for one in result["receipts"]] == ["lease_expired", "write_refused"]
    assert "Connection refused" in result["evidence"]["probe"]


def test_nothing_is_acknowledged_after_the_fence_is_certain(
    both: BothWays, server: PostgresServer, s3_server: S3Server
) -> None:
    """The whole protocol: a guard cut off from its witness, and a claimant that sees only the witness."""
    witness = Witness(s3_server)
    guard = Guard(server, "east", witness.option(), bootstrap=True)
    try:
        guard.start().becomes("serving")
        writer = Writer(server).start(lambda: dt.datetime.now(dt.UTC).timestamp())
        witness.set("refuse")
        direct = [{**store, "endpoint_url": s3_server.endpoint_url} for store in witness.stores]
        result = fence(both, {**witness.option(), "stores": direct}, postgres=server.options("dr_operator"))
        last = writer.stop()[-1][1]
    finally:
        guard.end()
        witness.close()
    assert result["fenced"], result
    proof = next(one for one in result["receipts"] if one["method"] == "lease_expired")
    assert last < from_iso(proof["certain_at"]).timestamp()
    assert "write_refused" in [one["method"] for one in result["receipts"]]
