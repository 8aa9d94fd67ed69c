"""The invariants, checked at every event that can break one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import StoreClock

from tests.chaos.model.database import Entry

if TYPE_CHECKING:
    from tests.chaos.model.region import Region
    from tests.chaos.model.world import World


class Broken(BaseException):
    """An invariant does not hold. No `except Exception` of the code under test may swallow it."""


@dataclass
class Promoted:
    """One promotion: on what it rested, and what it cost."""

    region: str
    at: float
    planned: bool
    accepted: bool
    history: set[int]
    lost: list[Entry] = field(default_factory=list)
    bound: dict[str, Any] | None = None


class Checker:
    """Raises Broken."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.acknowledged: list[Entry] = []
        self.promotions: list[Promoted] = []
        #: by region and by who orders its promotion: what that run has in hand
        self.grounds: dict[tuple[str, str], dict[str, Any]] = {}
        self.waived_until = 0.0
        #: regions whose own writes somebody has given up knowingly, by going back to another one
        self.given_up: set[str] = set()
        self.last_epoch = 0
        self.failure = ""
        #: measure two writable primaries instead of failing
        self.measure = False
        self.both_longest = 0.0
        self.wrong = 0
        self._both_since: float | None = None

    def broken(self, what: str) -> None:
        """Stop the schedule."""
        self.failure = self.failure or what
        self.world.say("CHECKER", what)
        raise Broken(what)

    def look(self) -> None:
        """Never two writable primaries."""
        writable = [region.name for region in self.world.regions.values() if region.database.writable]
        if self.measure:
            self._measure(len(writable) > 1)
        elif len(writable) > 1 and self.world.engine.now > self.waived_until:
            self.broken(f"two writable primaries: {' and '.join(writable)}")

    def _measure(self, both: bool) -> None:
        now = self.world.engine.now
        if self._both_since is not None:
            self.both_longest = max(self.both_longest, now - self._both_since)
        self._both_since = (now if self._both_since is None else self._both_since) if both else None

    def committed(self, region: Region, entry: Entry) -> None:
        """A client's write is durable."""
        self.look()
        now, truth = self.world.engine.now, self.world.truth
        if self.measure:
            return
        if region.name in truth.until and now > truth.until[region.name] + 0.001:
            late = now - truth.until[region.name]
            self.broken(f"{region.name} committed {late:.3f} s after the end of its last renewal")
        epoch = truth.epoch.get(region.name, 0)
        if epoch < self.last_epoch and now > self.waived_until:
            self.broken(f"{region.name} committed under epoch {epoch}, after a commit under epoch {self.last_epoch}")
        self.last_epoch = max(self.last_epoch, epoch)

    def acknowledge(self, entry: Entry) -> None:
        """A client was told that its write is durable."""
        entry.acknowledged = True
        self.acknowledged.append(entry)
        for promotion in self.promotions[-1:] if not self.given_up else []:
            if entry.region != promotion.region and id(entry) not in promotion.history:
                self.wrong += 1
                if self.measure:
                    continue
                promotion.lost.append(entry)
                self._weigh(promotion)

    def receipt(self, subject: str, epoch: int) -> None:
        """A guard says that its server cannot be written to until the subject gets a later epoch than this one."""
        if self.world.regions[subject].database.writable and self.world.truth.epoch.get(subject, 0) < epoch:
            self.broken(f"{subject} is writable and its guard wrote a receipt that it is not")

    def promotion_ordered(self, region: Region, by: str) -> None:
        """No promotion without a sufficient receipt or a typed acceptance."""
        grounds = self.grounds.get((region.name, by))
        if grounds is None or not (grounds["receipts"] or grounds["acceptance"]):
            self.broken(f"{region.name} was promoted without a receipt or an acceptance")

    def promoted(self, region: Region, by: str) -> None:
        """A server left recovery: what is lost now?"""
        grounds = self.grounds.get((region.name, by), {})
        accepted = not grounds.get("receipts")
        if accepted:
            self.world.count("promotion by acceptance")
            others = [until for name, until in self.world.truth.until.items() if name != region.name]
            self.waived_until = max([self.waived_until, *others])
        history = {id(entry) for entry in region.database.log}
        before = {id(entry) for promotion in self.promotions for entry in promotion.lost}
        lost = [one for one in self.acknowledged if id(one) not in history and id(one) not in before]
        promotion = Promoted(
            region.name, self.world.engine.now, bool(grounds.get("planned")), accepted, history, lost,
            grounds.get("bound"),
        )  # fmt: skip
        self.promotions.append(promotion)
        self.world.count("promotion")
        if promotion.planned:
            self.world.count("switchover")
        if lost:
            self.world.count("loss")
        self.world.say(region.name, f"promoted; {len(lost)} acknowledged writes lost, bound {promotion.bound}")
        self._weigh(promotion)

    def _weigh(self, promotion: Promoted) -> None:
        """A switchover loses nothing; else the stated bound covers the loss."""
        lost, bound = promotion.lost, promotion.bound
        if not lost or self.measure:
            return
        if promotion.planned:
            self.broken(f"a switchover to {promotion.region} lost {len(lost)} acknowledged writes")
        if bound is None:
            self.broken(f"{promotion.region} was promoted without a stated bound")
            return
        if bound["seconds"] is None or 2 * self.world.drift > StoreClock.RATE:
            return  # the lease bears clocks that differ by more, times of different machines do not
        first, last = min(one.at for one in lost), max(one.at for one in lost)
        slowest = min(store.rate for store in self.world.stores.values())
        if bound["seconds"] < (last - first) * slowest:
            self.broken(f"a loss of {last - first:.3f} s was stated as at most {bound['seconds']:.3f} s")
        if len(self.world.stores) == 1:  # with several the bound spans the differences of their clocks
            store = next(iter(self.world.stores.values()))
            if from_iso(bound["from"]) > store.time(first):
                self.broken(f"a write was lost that was committed {self._seconds(bound['from'], first)} s too early")
            if from_iso(bound["until"]) < store.time(last):
                self.broken(f"a write was lost that was committed {self._seconds(bound['until'], last)} s too late")

    def _seconds(self, text: str, moment: float) -> float:
        store = next(iter(self.world.stores.values()))
        return round(abs(from_iso(text) - store.time(moment)) / dt.timedelta(seconds=1), 3)

    def finish(self, primary: Region) -> None:
        """At the end: what was acknowledged is there, or was counted as lost."""
        history = {id(entry) for entry in primary.database.log}
        counted = {id(entry) for promotion in self.promotions for entry in promotion.lost}
        missing = [
            one
            for one in self.acknowledged
            if id(one) not in history and id(one) not in counted and one.region not in self.given_up
        ]
        if missing:
            self.broken(f"{len(missing)} acknowledged writes are gone, and no promotion accounts for them")
