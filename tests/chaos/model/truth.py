"""What is really so in the witness stores, known to nobody in the model: who wrote what, and what a majority shows."""

from __future__ import annotations

import collections
import functools
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.chaos.model.world import World


@functools.lru_cache(64)
def _parsed(body: bytes) -> dict[str, Any]:
    return dict(json.loads(body))


class Truth:
    """The lease as it stands in the stores."""

    def __init__(self, world: World) -> None:
        self.world = world
        #: by region: the latest moment at which it may still serve, had it begun to count when its write landed
        self.until: dict[str, float] = {}
        #: by region: the epoch of its last claim or renewal that reached a majority
        self.epoch: dict[str, int] = {}
        self._landed: dict[tuple[str, int, str], set[str]] = collections.defaultdict(set)

    def written(self, store: str, key: str, old: bytes | None, new: bytes) -> None:
        """A store has a new object."""
        body = _parsed(new)
        if ".receipts/" in key:
            self.world.count("receipt")
            self.world.checker.receipt(body["subject"], body["epoch"])
            return
        if old is not None and _parsed(old)["epoch"] > body["epoch"]:
            self.world.checker.broken(f"{store}: the lease's epoch went back to {body['epoch']}")
        claim, sequence = body["claim"], body["sequence"]
        landed = self._landed[claim, sequence, body["renewed_at"]]
        landed.add(store)
        if len(landed) != len(self.world.stores) // 2 + 1:
            return
        holder = body["holder"]
        region = self.world.regions[holder]
        if sequence == 0:
            for one in self.world.stores.values():
                one.remember()
            self.world.say("witness", f"{holder} holds epoch {body['epoch']} (claimed by {body['claimed_by']})")
        self.until[holder] = self.world.engine.now + body["ttl_seconds"] / region.host.rate
        self.epoch[holder] = max(self.epoch.get(holder, 0), body["epoch"])
