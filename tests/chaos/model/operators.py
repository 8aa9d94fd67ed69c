"""Who runs the playbooks: the same modules in the same order, killed at any step, run again, with or without a rival.

The playbooks' own task files are not executed; `Run.steps` follows failover_assess, region_fence and region_recover.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import fencing, heartbeat, promotion
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError, Refused

from tests.chaos.model.engine import Process
from tests.chaos.model.network import NoAnswer

if TYPE_CHECKING:
    from tests.chaos.model.world import World


class Run:
    """One command: fail over or switch over from `source` to `target`."""

    def __init__(
        self, world: World, host: str, source: str, target: str, *, planned: bool = False, accept: bool = False
    ) -> None:
        self.world = world
        self.host = host
        self.source = source
        self.target = target
        self.planned = planned
        self.accept = accept
        #: seconds between what was assessed and the claim: somebody reads the plan and types
        self.confirm_seconds = 0.0
        self.wait_seconds: float | None = None
        self.retries = 0
        self.epoch: int | None = None
        self.done = False
        self.refused = ""
        self.process: Process | None = None

    @property
    def lease(self) -> dict[str, Any]:
        """The shared option."""
        return self.world.lease_option()

    def begin(self, pause: float = 2.0) -> None:
        """Type the command; whoever types it types it again after an error, and after it was killed."""

        def work() -> None:
            try:
                self.steps()
                self.done, self.refused = True, ""
            except RecoveryError as error:
                self.refused = str(error)
                self.world.count("refusal")
                self.world.say(self.host, f"failed: {error}")

        def again() -> None:
            if not self.done and self.retries > 0:
                self.retries -= 1
                self.begin(pause)

        verb = "switchover" if self.planned else "failover"
        self.world.say(self.host, f"{verb} {self.source} -> {self.target}")
        self.process = self.world.engine.process(self.host, self.world.hosts[self.host], work)
        self.process.on_exit.append(lambda: self.world.engine.at(pause, again))

    @property
    def busy(self) -> bool:
        """It runs."""
        return self.process is not None and self.process.alive

    def steps(self) -> None:
        """The playbook. Raises RecoveryError."""
        self._assess()
        self.world.engine.sleep(self.confirm_seconds)
        self.world.step("claim")
        self._fence("claimed", None)
        self.world.step("fence")
        fenced = self._fence("fenced", self.wait_seconds)
        bound = self._look()["loss_bound"]
        acceptance = self._accepted(fenced, bound)
        self.world.step("promote")
        self._promote(fenced, bound, acceptance)
        self.world.step("traffic")
        self._shift()
        self.world.say(self.host, f"done: {self.target} serves")

    def _assess(self) -> None:
        self.epoch = None
        look = self._look()
        server = look["servers"][0]
        predicted = self._fencing("fenced", None, check_mode=True)
        self.epoch = predicted["diff"]["before"]["epoch"]
        if not server["reachable"]:
            raise Refused(f"{self.target} does not answer: {server['error']}")
        if not server["in_recovery"] and predicted["diff"]["before"]["holder"] != self.target:
            raise Refused(f"{self.target} is not a standby: there is nothing to promote")

    def _look(self) -> dict[str, Any]:
        server = {"region": self.target, "postgres": {"host": self.target, "user": "dr", "connect_timeout": 1}}
        given = {"state": "observed", "servers": [server], "lease": self.lease, "target": self.target}
        return heartbeat.run({**given, "wait_timeout": 30.0}, False)

    def _fence(self, state: str, wait: float | None) -> dict[str, Any]:
        return self._fencing(state, wait, check_mode=False)

    def _fencing(self, state: str, wait: float | None, check_mode: bool) -> dict[str, Any]:
        return fencing.run(
            {
                "state": state,
                "lease": self.lease,
                "subject": self.source,
                "claimant": self.target,
                "claimed_by": self.host,
                "assessed_epoch": self.epoch,
                "planned": self.planned,
                "postgres": {"host": self.source, "user": "dr", "connect_timeout": 1}
                if state == "fenced" and self.world.probes
                else None,
                "wait_timeout": wait,
            },
            check_mode,
        )

    def _accepted(self, fenced: dict[str, Any], bound: dict[str, Any]) -> str | None:
        if fenced["fenced"]:
            return None
        if not self.accept:
            raise Refused(f"no receipt: {'; '.join(fenced['missing'])}")
        known = bound["seconds"] is not None
        loses = f"up to {math.ceil(bound['seconds'] * 1.5 + 60)} s" if known else "an unknown amount"
        return f"promote {self.target} without a fence receipt, losing {loses}"

    def _promote(self, fenced: dict[str, Any], bound: dict[str, Any], acceptance: str | None) -> None:
        self.world.checker.grounds[self.target, self.host] = {
            "receipts": [one for one in fenced["receipts"] if one["method"] in fencing_methods()],
            "acceptance": acceptance,
            "bound": bound,
            "planned": self.planned,
        }
        promotion.run(
            {
                "postgres": {"host": self.target, "user": "dr", "connect_timeout": 1},
                "region": self.target,
                "subject": self.source,
                "lease": self.lease,
                "receipts": fenced["receipts"],
                "acceptance": acceptance,
                "loss_bound_seconds": bound["seconds"],
                "planned": self.planned,
                "shutdown_lsn": fenced.get("shutdown_lsn"),
                "wait_timeout": 10,
            },
            False,
        )

    def _shift(self) -> None:
        """Change the record; an order whose answer was lost is given again."""
        for _try in range(5):
            try:
                self.world.network.request("names", self._change, 2.0, "names")
                return
            except NoAnswer:
                continue
        raise RecoveryError("the name service does not answer")

    def _change(self, reply: Callable[[Any], None]) -> None:
        def publish() -> None:
            self.world.name = self.target
            reply(True)

        self.world.engine.at(self.world.rng.uniform(0.0, 1.0), publish)


class WayBack(Run):
    """Go back to a region that kept what it had: by a claim alone, giving up what the other one has written since.

    Follows region_failover_rollback: the guard of the region that gets the lease back opens what it keeps.
    """

    def steps(self) -> None:
        """The playbook. Raises RecoveryError."""
        self.epoch = None
        if not any(run.done for run in self.world.runs if run.target == self.source):
            raise Refused("nothing was failed over")
        self.world.checker.given_up.add(self.source)
        self.world.step("claim")
        self._fence("claimed", None)
        self.world.step("fence")
        fenced = self._fence("fenced", self.wait_seconds)
        if not fenced["fenced"]:
            raise Refused(f"no receipt: {'; '.join(fenced['missing'])}")
        self.world.step("traffic")
        self._shift()
        self.world.count("way back")


def fencing_methods() -> tuple[str, ...]:
    """Methods that prove a fence, spelt out here: the checker does not ask the code that it checks."""
    return ("lease_expired", "guard_fenced", "lease_released")
