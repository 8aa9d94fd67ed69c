"""The lease over one and over three real stores, with the failures that networks have."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import lease as lease_module
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import lease_patience
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import (
    Lease,
    LeaseLost,
    LeaseUnavailable,
    LeaseView,
)

from tests.unit.servers import S3Server, eventually
from tests.unit.tcp_proxy import TcpProxy

TTL, ALLOWANCE = 3.0, 1.0


class Witness:
    """Stores (one bucket, one prefix each) behind proxies, and leases over them."""

    def __init__(self, s3_server: S3Server, count: int) -> None:
        self.key = f"{uuid.uuid4().hex}.json"
        self.server = s3_server
        self.proxies = [TcpProxy(s3_server.endpoint_url) for _ in range(count)]
        self.options = [
            {
                **s3_server.store("leases", name=f"store-{number}", prefix=f"{number}/", timeout=0.7),
                "endpoint_url": proxy.endpoint_url,
            }
            for number, proxy in enumerate(self.proxies)
        ]

    def lease(self) -> Lease:
        return Lease.from_options({"key": self.key, "stores": self.options})

    def claim(self, holder: str, lease: Lease | None = None, view: LeaseView | None = None) -> LeaseView:
        lease = lease or self.lease()
        return lease.claim(view or lease.read(), holder, TTL, allowance=ALLOWANCE, claimed_by="test")

    def body(self, number: int) -> dict[str, Any]:
        answer = self.server.client().get_object(Bucket="leases", Key=f"{number}/{self.key}")
        return dict(json.loads(answer["Body"].read()))

    def holders(self) -> list[tuple[str, int]]:
        return [(self.body(number)["holder"], self.body(number)["epoch"]) for number in range(len(self.options))]


@pytest.fixture
def one(s3_server: S3Server) -> Iterator[Witness]:
    yield from _witness(s3_server, 1)


@pytest.fixture
def three(s3_server: S3Server) -> Iterator[Witness]:
    yield from _witness(s3_server, 3)


@pytest.fixture(params=[1, 3])
def witness(request: pytest.FixtureRequest, s3_server: S3Server) -> Iterator[Witness]:
    yield from _witness(s3_server, request.param)


def _witness(s3_server: S3Server, count: int) -> Iterator[Witness]:
    witness = Witness(s3_server, count)
    yield witness
    for proxy in witness.proxies:
        proxy.close()


def test_a_lease_is_claimed_renewed_and_taken_over(witness: Witness) -> None:
    east, west = witness.lease(), witness.lease()
    assert east.read().record is None
    view = witness.claim("east", east)
    view = east.renew(view, samples=(("2026-01-01T00:00:00Z", "0/10"),))
    view = east.renew(view)
    seen = west.read()
    assert seen.record is not None and seen.held_by("east") and seen.record.sequence == 2

    claimed = witness.claim("west", west, seen)
    assert claimed.record is not None and claimed.record.epoch == 2
    previous = claimed.record.previous
    assert previous is not None
    assert (previous.holder, previous.epoch, previous.samples) == ("east", 1, seen.record.samples)
    with pytest.raises(LeaseLost):
        east.renew(view)
    assert west.renew(claimed).held_by("west")


def test_of_claims_made_at_once_one_wins(witness: Witness) -> None:
    contenders = [witness.lease() for _ in range(6)]
    views = [lease.read() for lease in contenders]
    outcomes: list[str] = []

    def contend(number: int) -> None:
        try:
            witness.claim(f"region-{number}", contenders[number], views[number])
            outcomes.append(f"region-{number}")
        except (LeaseLost, LeaseUnavailable):
            pass

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(len(contenders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) <= 1
    if len(witness.options) == 1:
        assert len(outcomes) == 1
    view = witness.lease().read()
    assert all(view.held_by(winner) for winner in outcomes)


def test_the_same_claimant_twice_does_not_shorten_the_wait(one: Witness) -> None:
    """Two runs of one incident: the slower one must not put its older view of the holder over the newer one."""
    east, first, second = one.lease(), one.lease(), one.lease()
    view = one.claim("east", east)
    stale = first.read()
    eventually(lambda: first.read().observed_at > stale.observed_at)  # type: ignore[operator]
    east.renew(view)
    claimed = one.claim("west", second)
    with pytest.raises(LeaseLost):
        one.claim("west", first, stale)
    there = one.lease().read().record
    assert there is not None and claimed.record is not None and there.previous == claimed.record.previous


def test_the_predecessor_ends_after_its_last_write(witness: Witness) -> None:
    east = witness.lease()
    view = witness.claim("east", east)
    before = dt.datetime.now(dt.UTC)
    view = east.renew(view)
    claimed = witness.claim("west").record
    assert claimed is not None and claimed.previous is not None and claimed.previous.expires_at is not None
    assert from_iso(claimed.previous.expires_at) >= before + dt.timedelta(seconds=TTL + ALLOWANCE)
    lease = witness.lease()
    first = lease.remaining(claimed.previous, lease.read())
    assert first > 0

    def left() -> float:
        return lease.remaining(claimed.previous, lease.read())  # type: ignore[arg-type, union-attr]

    eventually(lambda: left() == 0.0, "the predecessor's end")
    assert dt.datetime.now(dt.UTC) >= before + dt.timedelta(seconds=TTL + ALLOWANCE)


def test_stores_with_other_clocks_change_nothing(three: Witness) -> None:
    """The holder's last write is known to a store whose clock is behind only; the claimant reads through others."""
    for proxy, skew in zip(three.proxies, (-600.0, 0.0, 45.0), strict=True):
        proxy.skew_seconds = skew
    east = three.lease()
    view = three.claim("east", east)
    three.proxies[1].set("refuse")
    written = dt.datetime.now(dt.UTC)
    east.renew(view)  # reaches stores 0 and 2
    three.proxies[1].set("pass")
    three.proxies[2].set("refuse")
    claimed = three.claim("west").record  # sees stores 0 and 1
    assert claimed is not None and claimed.previous is not None
    three.proxies[2].set("pass")
    three.proxies[0].set("refuse")
    lease = three.lease()  # sees stores 1 and 2
    eventually(lambda: lease.remaining(claimed.previous, lease.read()) == 0.0, "the end")  # type: ignore[arg-type]
    assert dt.datetime.now(dt.UTC) >= written + dt.timedelta(seconds=TTL + ALLOWANCE)


def test_a_released_lease_needs_no_wait(witness: Witness) -> None:
    lease = witness.lease()
    lease.release(witness.claim("east", lease))
    view = witness.lease().read()
    assert view.released and not view.held_by("east")
    claimed = witness.claim("west").record
    assert claimed is not None and claimed.previous is not None
    assert claimed.previous.expires_at is None
    assert view.remaining(claimed.previous) == 0.0


@pytest.mark.parametrize("mode", ["lose_answers", "hang"])
def test_a_renewal_whose_answer_was_lost_is_repeated(one: Witness, mode: str) -> None:
    lease = one.lease()
    view = one.claim("east", lease)
    one.proxies[0].set(mode)
    with pytest.raises(LeaseUnavailable, match="Check the witness"):
        lease.renew(view)
    one.proxies[0].set("pass")
    again = lease.renew(view)
    assert again.record is not None and again.record.sequence == 1
    assert lease.renew(again).held_by("east")


def test_a_claim_whose_answer_was_lost_keeps_the_first_story(one: Witness) -> None:
    east, west = one.lease(), one.lease()
    one.claim("east", east)
    seen = west.read()
    one.proxies[0].set("lose_answers")
    with pytest.raises(LeaseUnavailable):
        one.claim("west", west, seen)
    one.proxies[0].set("pass")
    view = west.read()
    assert view.held_by("west")
    assert view.record is not None and view.record.previous is not None and view.record.previous.holder == "east"


@pytest.mark.parametrize("mode", ["refuse", "hang"])
def test_a_majority_goes_on_without_one_store(three: Witness, mode: str) -> None:
    east = three.lease()
    view = three.claim("east", east)
    three.proxies[2].set(mode)
    for _ in range(3):
        view = east.renew(view)
    assert set(view.errors) == {"store-2"}
    assert three.lease().read().held_by("east")
    three.proxies[2].set("pass")
    east.renew(east.renew(view))
    # a renewal returns with the majority's answers; the last store's write may still be under way
    eventually(lambda: {three.body(number)["sequence"] for number in range(3)} == {5}, "the third store's write")


def test_a_store_that_hangs_is_not_waited_for_again_until_it_answers(three: Witness) -> None:
    lease = three.lease()
    hanging = lease.stores[0].place
    three.proxies[0].set("hang")
    view = three.claim("east", lease)
    assert lease_module._PATIENCE.grace(1.0, [hanging]) == lease_patience.NONE
    view = lease.renew(view)
    assert set(view.errors) == {"store-0"}
    three.proxies[0].set("pass")

    def answered() -> bool:
        lease.read()
        return lease_module._PATIENCE.grace(1.0, [hanging]) == lease_patience.LONGEST

    eventually(answered)
    assert not lease.renew(lease.read()).errors


def test_a_minority_can_do_nothing(three: Witness) -> None:
    east = three.lease()
    view = three.claim("east", east)
    for proxy in three.proxies[1:]:
        proxy.set("refuse")
    for attempt in (lambda: east.renew(view), east.read, lambda: three.claim("west")):
        with pytest.raises(LeaseUnavailable, match="1 of 3 witness stores answered, 2 are needed"):
            attempt()


def test_a_claim_that_reached_one_store_leaves_the_holder_in_the_others(three: Witness) -> None:
    east, west = three.lease(), three.lease()
    view = three.claim("east", east)
    seen = west.read()
    three.proxies[1].set("refuse")
    three.proxies[2].set("refuse")
    with pytest.raises(LeaseUnavailable):
        three.claim("west", west, seen)
    for proxy in three.proxies:
        proxy.set("pass")
    assert three.holders() == [("west", 2), ("east", 1), ("east", 1)]

    partial = three.lease().read()
    assert not partial.held_by("west") and not partial.held_by("east")
    with pytest.raises(LeaseLost, match="too few stores"):  # else it would take the others without a wait
        west.renew(partial)
    written = dt.datetime.now(dt.UTC)
    assert east.renew(view).held_by("east")

    south = three.claim("south").record
    assert south is not None and south.previous is not None and south.epoch == 3
    assert south.previous.holder == "east", "the claim that never stood is nobody's predecessor"
    assert from_iso(str(south.previous.expires_at)) >= written + dt.timedelta(seconds=TTL + ALLOWANCE)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_of_two_claims_of_one_epoch_only_the_majority_counts(three: Witness, odd: int) -> None:
    three.claim("east")
    west, south = three.lease(), three.lease()
    seen_by_west, seen_by_south = west.read(), south.read()
    for number, proxy in enumerate(three.proxies):
        proxy.set("pass" if number == odd else "refuse")
    with pytest.raises(LeaseUnavailable):
        three.claim("south", south, seen_by_south)
    for number, proxy in enumerate(three.proxies):
        proxy.set("refuse" if number == odd else "pass")
    claimed = three.claim("west", west, seen_by_west)
    for proxy in three.proxies:
        proxy.set("pass")
    assert sorted(three.holders()) == [("south", 2), ("west", 2), ("west", 2)]

    view = south.read()
    assert view.held_by("west") and not view.held_by("south")
    three.proxies[(odd + 1) % 3].set("refuse")  # one of each is seen: nobody has a majority to show
    half = south.read()
    assert not half.held_by("south") and not half.held_by("west")
    with pytest.raises(LeaseLost):
        south.renew(half)
    three.proxies[(odd + 1) % 3].set("pass")
    west.renew(claimed)
    assert three.holders() == [("west", 2)] * 3, "the holder's renewal heals the store that another had won"


def test_a_claimant_repeats_a_partial_claim_and_keeps_its_predecessor(three: Witness) -> None:
    east, west = three.lease(), three.lease()
    view = three.claim("east", east)
    seen = west.read()
    east.renew(view)  # two of the three move on under the claimant's view
    three.proxies[0].set("refuse")
    with pytest.raises((LeaseLost, LeaseUnavailable)):
        three.claim("west", west, seen)
    three.proxies[0].set("pass")
    again = three.claim("west", west).record
    assert again is not None and again.previous is not None and again.previous.holder == "east"
    assert three.lease().read().held_by("west")


def test_a_store_that_lost_everything_is_filled_again(three: Witness) -> None:
    east = three.lease()
    view = three.claim("east", east)
    three.server.client().delete_object(Bucket="leases", Key=f"1/{three.key}")
    east.renew(view)
    assert three.holders() == [("east", 1)] * 3


def test_a_store_that_slept_through_a_takeover_cannot_renew_the_old_holder(three: Witness) -> None:
    east, west = three.lease(), three.lease()
    view = three.claim("east", east)
    three.proxies[0].set("refuse")
    claimed = three.claim("west", west)
    three.proxies[0].set("pass")
    with pytest.raises(LeaseLost):
        east.renew(view)
    west.renew(claimed)
    assert three.holders() == [("west", 2)] * 3


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b'{"holder": "x"}', b'{"holder": 1, "unknown": 2}'])
def test_what_is_no_lease_is_refused(one: Witness, body: bytes) -> None:
    one.server.client().put_object(Bucket="leases", Key=f"0/{one.key}", Body=body)
    with pytest.raises(RecoveryError, match="not a lease record"):
        one.lease().read()


def test_options_that_name_no_store_or_one_twice_are_refused(one: Witness) -> None:
    with pytest.raises(RecoveryError, match="names no store"):
        Lease.from_options({"key": "k", "stores": []})
    with pytest.raises(RecoveryError, match="share a name"):
        Lease.from_options({"key": "k", "stores": one.options * 2})


def test_the_witness_clock_needs_a_majority(three: Witness) -> None:
    lease = three.lease()
    assert lease.time_at_least(time.monotonic()) is None
    three.proxies[0].skew_seconds = -100.0
    three.claim("east", lease)
    moment = time.monotonic()
    bound = lease.time_at_least(moment)
    assert bound is not None and bound <= dt.datetime.now(dt.UTC) - dt.timedelta(seconds=100)
