"""Whether a killed run and the one after it came to what one run comes to, with every effect once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.chaos.kill.world import Snapshot, World

#: playbooks that lose nothing at all
PLANNED = ("region_switchover", "region_failback")


@dataclass(frozen=True)
class Story:
    """One trial whose last run succeeded: what was before and after it, where it was to go, and its incident."""

    playbook: str
    before: Snapshot
    after: Snapshot
    target: str
    incident: str

    @property
    def source(self) -> str:
        """The region that was active."""
        return self.before.active


def problems(world: World, story: Story) -> list[str]:
    """Everything that is not as it must be."""
    return [*_effects(story), *_ledger(world, story), *_report(world, story)]


def _effects(story: Story) -> Iterator[str]:
    before, after = story.before, story.after
    if after.active != story.target:
        yield f"{after.active} holds the lease, not {story.target}"
    if after.timeline != before.timeline + 1:
        yield f"timeline {before.timeline} became {after.timeline}: not one promotion"
    # One claim may take two epochs: a renewal that comes between its read and its write sends it back to begin again.
    if after.epoch <= before.epoch or after.follows != before.epoch:
        yield f"epoch {before.epoch} became {after.epoch}, which follows {after.follows}: not one claim"
    batches = after.dns_changes - before.dns_changes
    if len(batches) != 1:
        yield f"{len(batches)} DNS change batches"
    for region, found in after.generations.items():
        for name, generation in found.items():
            if generation > before.generations[region][name] + 1:
                yield f"{region}/{name} was changed {generation - before.generations[region][name]} times"
    if after.replicas[story.target] != before.replicas[story.source]:
        yield f"{story.target} has replicas {after.replicas[story.target]}, not {before.replicas[story.source]}"


def _ledger(world: World, story: Story) -> Iterator[str]:
    events, found = world.ledger(story.incident)
    if not found.valid:
        yield f"the ledger is {found.outcome}: {found.problems or found.unverified}"
    promoted = [one for one in events if one.step == "pg_promote" and one.state != "intent" and one.data.get("changed")]
    if len(promoted) > 1:
        yield f"{len(promoted)} promotions in the ledger"
    tokens = [one.token for one in events if one.token is not None]
    if tokens != sorted(tokens):
        yield f"tokens go back: {tokens}"
    declarations = [one.step for one in events if one.step in ("declare", "resume")]
    if declarations[:1] != ["declare"] or "declare" in declarations[1:]:
        yield f"declared as {declarations}"
    if len(set(tokens)) != len(declarations):
        yield f"{len(set(tokens))} tokens, but the story names {len(declarations)} runs"
    if not events or (events[-1].phase, events[-1].step) != ("close", "close"):
        yield "the ledger is not closed"


def _report(world: World, story: Story) -> Iterator[str]:
    report: dict[str, Any] | None = world.report(story.incident)
    if report is None:
        yield "there is no report"
        return
    events, _found = world.ledger(story.incident)
    if events and report["declared_at"] != events[0].time:
        yield f"the clock began at {report['declared_at']}, declared was {events[0].time}"
    if report["verdict"] != "passed":
        told = "; ".join(str(one) for one in report["findings"] if one.get("severity") != "note")
        yield f"verdict {report['verdict']}: {told[:500]}"
    if report["max_writable_primaries"] != 1:
        yield f"{report['max_writable_primaries']} writable primaries at once"
    lost, bound = report["lost_acknowledged_writes"], report["stated_loss_bound_seconds"]
    if story.playbook in PLANNED:
        if lost:
            yield f"{lost} acknowledged writes lost in a planned change"
    elif lost and (bound is None or report["rpo_seconds"] > bound):
        yield f"lost {report['rpo_seconds']} s of writes, stated were {bound} s"
