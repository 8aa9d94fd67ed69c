"""Defects, put in on purpose: each has to be found, or the checker proves nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import (
    fencing,
    fencing_receipts,
    guard_config,
    heartbeat,
    lease,
    promotion,
    promotion_order,
    promotion_rules,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_fence import Fence
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_keeper import Keeper
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_renewer import Renewer
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_watchdog import Watchdog

from tests.chaos.model import region
from tests.chaos.model.schedule import USUAL, Variant

_CUT = ("partition", "cut_witness", "slow_fence", "one_way")
_TIMING = {"ttl": 6.0, "allowance": 1.0, "renew": 1.0, "margin": 1.0}
#: All of the allowance is needed: clocks that differ by a seventh, and fences that take their time.
DRIFT = Variant(timing=_TIMING, drift=0.07, opposed=True, kinds=_CUT, stories=("failover",), probes=False)
_NO_ALLOWANCE = replace(DRIFT, timing={**_TIMING, "allowance": 0.0})
_NO_MARGIN = replace(DRIFT, timing={**_TIMING, "margin": 0.0}, drift=0.0)
_LATE = Variant(timing=_TIMING, kinds=(*_CUT, "slow_link", "slow_link"))
_HELD_UP = Variant(kinds=("cut_witness", "partition", "freeze_operator", "catch_operator", "cut_operator"))
_CAUGHT = Variant(kinds=("catch_guard", "slow_fence"))
_BACK = Variant(stories=("way back",))
_RIVALS = Variant(stories=("rivals",))


@dataclass(frozen=True)
class Mutant:
    """One defect: what is replaced by what, and under which schedules it is looked for."""

    name: str
    replaced: tuple[tuple[Any, str, Any], ...]
    variant: Variant = USUAL


@contextlib.contextmanager
def infected(mutant: Mutant) -> Iterator[None]:
    """Put the defect in, and take it out."""
    usual = [(owner, name, owner.__dict__[name]) for owner, name, _new in mutant.replaced]
    for owner, name, new in mutant.replaced:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, old in usual:
            setattr(owner, name, old)


def _at_once(_lease: Any, _view: Any, record: Any, subject: str) -> Any:
    previous = record.previous
    if previous is None or previous.holder != subject:
        return None
    return fencing_receipts.receipt(subject, "lease_expired", record.epoch, previous.expires_at)


def _without_condition(self: Any, store: Any, body: bytes, _etag: str | None) -> str:
    return str(store.put(self.key, body))


def _from_the_answer(self: Any, view: Any, _began: float, usual: Callable[..., None] = Keeper._publish) -> None:
    usual(self, view, guard_config.now())


def _alone(self: Any, key: str, stores: Any, usual: Callable[..., None] = lease.Lease.__init__) -> None:
    usual(self, key, stores)
    self.majority = 1


def _not_renewed(server: Any, _lease: Any, _region: str, seconds: int) -> Any:
    before = server.row("SELECT clock_timestamp()")[0]
    return server.row(promotion_order._ORDER, (before.replace(year=2100), seconds), seconds + 1.0)[0]


def _no_loss(_target: Any, _now: Any, usual: Callable[..., Any] = heartbeat.loss_bound) -> Any:
    bound = usual(_target, _now)
    return {**bound, "seconds": bound["seconds"] and min(0.1, bound["seconds"])}


def _only_its_end(_self: Any, link: Any) -> str:
    return "has ended" if link.ended else ""


def _of_the_present(self: Any) -> None:
    self.link.say({"until": self.keeper.standing.until})


def _is_ours(self: Any, view: Any) -> bool:
    return bool(view.held_by(self.config.region))


def _forgotten_end(self: Any) -> bool:
    return self.keeper.standing.until is not None


MUTANTS = (
    Mutant("no margin for the fence", (), _NO_MARGIN),
    Mutant("no allowance for clocks of other rates", (), _NO_ALLOWANCE),
    Mutant(
        "a promotion without receipts",
        (
            (fencing.Fencing, "_fence", lambda self, view: []),
            (promotion_rules.Proof, "sufficient", lambda self, given: [{"method": "none"}]),
            (fencing, "proven", lambda receipts: True),
        ),
    ),
    Mutant(
        "the lease's end is not awaited",
        ((fencing, "from_lease", _at_once), (promotion_rules, "from_lease", _at_once)),
    ),
    Mutant("a watchdog that watches nothing", ((Watchdog, "_problem", _only_its_end),)),
    Mutant("a watchdog that is not told of a lease that was lost", ((Renewer, "_tell", _of_the_present),), _CAUGHT),
    Mutant("a renewer that forgets the lease's end", ((Renewer, "may_serve", _forgotten_end),)),
    Mutant("writes without a condition", ((lease.Lease, "_put", _without_condition),)),
    Mutant("time counted from the answer", ((Keeper, "_publish", _from_the_answer),), _LATE),
    Mutant("a claim opens the server at once", ((Keeper, "_follows_nobody", lambda self, record: True),), _BACK),
    Mutant(
        "a claim over what nobody assessed",
        ((fencing.Fencing, "_refuse_unassessed", lambda self, view: None),),
        _RIVALS,
    ),
    Mutant("an order that outlives the lease", ((promotion, "order_promotion", _not_renewed),), _HELD_UP),
    Mutant("a server that starts open", ((region, "before_start", lambda config: None),)),
    Mutant("a time that is taken too late", ((lease.Lease, "time_at_least", lease.Lease.time_at_most),)),
    Mutant("a bound that is a guess", ((heartbeat, "loss_bound", _no_loss),)),
    Mutant(
        "a switchover that does not wait for replay",
        ((promotion.Promotion, "_await_everything", lambda self: None),),
        Variant(stories=("switchover",)),
    ),
    Mutant("a receipt before the fence", ((Fence, "is_up", property(lambda self: True)),)),
    Mutant("one store of three decides", ((lease.Lease, "__init__", _alone),), Variant(stores=(3,))),
    Mutant(
        "epochs are not compared",
        ((Keeper, "_is_ours", _is_ours),),
        Variant(kinds=("witness_goes_back",), stores=(1,), converge=False),
    ),
)

#: Too much by design: how long two primaries are writable then.
BEYOND = {
    name: Variant(kinds=(name, "partition", "cut_witness"), stories=("failover",), converge=False, measure=True)
    for name in ("freeze_both_guards", "freeze_all", "pause_machine")
}
