# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes of one workload: scale, restart, other images. A dry run asks the API whether it would take them.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from dataclasses import dataclass

from .clock import from_iso, utc_now
from .errors import RecoveryError, Refused, failed
from .kubernetes_api import MERGE_PATCH, STRATEGIC_PATCH, Conflict, Json, KubernetesApi
from .workloads_model import RESTARTED_AT, Observed, Wanted

#: How often a change is decided anew because somebody, mostly the controller, wrote in between.
_TRIES = 20
#: States that look at the replicas asked for.
SCALING = ("scaled", "rolled_back", "inspected")


@dataclass(frozen=True)
class Order:
    """What a task wants done to each of its workloads."""

    state: str
    allow_scale_down: bool = False
    restarted_since: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class Change:
    """What is different after an order: replicas, images, and whether pods are made anew."""

    replicas: int
    images: dict[str, str]
    restarts: bool = False
    changed: bool = False


def target(wanted: Wanted, replicas: int, order: Order) -> int:
    """Return how many replicas there will be where there are `replicas`: never fewer, unless that is allowed."""
    if wanted.replicas is None or order.state not in SCALING:
        return replicas
    return wanted.replicas if order.allow_scale_down else max(wanted.replicas, replicas)


def validate(wanted: Wanted, observed: Observed, order: Order) -> None:
    """Raise Refused when an order cannot be carried out on what is there."""
    unknown = sorted(set(wanted.images) - set(observed.images))
    if unknown:
        known = ", ".join(observed.images)
        raise Refused(failed("change", str(wanted.key), f"it has no container {', '.join(unknown)}, it has {known}"))
    if observed.paused and order.state in ("restarted", "rolled_back"):
        remedy = f"Resume it: kubectl rollout resume deployment/{wanted.key.name} -n {wanted.key.namespace}"
        raise Refused(failed("change", str(wanted.key), "its rollout is paused", remedy))


def carry_out(api: KubernetesApi, wanted: Wanted, observed: Observed, order: Order) -> Change:
    """Make one workload as asked, patching only what differs. Returns what is then asked of it."""
    images = {name: image for name, image in wanted.images.items() if observed.images[name] != image}
    rolls = bool(images) and order.state == "rolled_back"
    restarts = order.state == "restarted" and not _restarted(observed, order)
    if rolls or restarts:
        template = _with_images(observed, images) if rolls else _with_restart()
        _patch_template(api, wanted, template, order)
    replicas, scaled = _scale(api, wanted, observed, order)
    after = {**observed.images, **(images if rolls else {})}
    return Change(replicas, after, restarts, rolls or restarts or scaled)


def _scale(api: KubernetesApi, wanted: Wanted, observed: Observed, order: Order) -> tuple[int, bool]:
    """Set the scale under the condition that it is decided on; decide again when that does not hold."""
    path = f"{wanted.key.path}/scale"
    replicas, version = observed.replicas, observed.resource_version
    for attempt in range(_TRIES):
        goal = target(wanted, replicas, order)
        if replicas == goal:
            return goal, False
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": goal}}
        try:
            api.patch(path, body, MERGE_PATCH, order.dry_run)
            return goal, True
        except Conflict:
            _step_aside(attempt)
            scale = api.get(path)
            replicas, version = int(scale["spec"].get("replicas", 0)), str(scale["metadata"]["resourceVersion"])
    raise RecoveryError(failed("scale", str(wanted.key), f"somebody else changed it {_TRIES} times meanwhile"))


def _step_aside(attempt: int) -> None:
    """Give whoever writes at the same time a moment, another one each time."""
    threading.Event().wait(random.uniform(0, 0.01 * 2 ** min(attempt, 4)))


def _with_images(observed: Observed, images: dict[str, str]) -> Json:
    spec = observed.template["spec"]
    changed = {
        kind: [
            {"name": one["name"], "image": images[one["name"]]} for one in spec.get(kind) or [] if one["name"] in images
        ]
        for kind in ("containers", "initContainers")
    }
    return {"spec": {kind: found for kind, found in changed.items() if found}}


def _with_restart() -> Json:
    return {"metadata": {"annotations": {RESTARTED_AT: utc_now().isoformat(timespec="seconds")}}}


def _patch_template(api: KubernetesApi, wanted: Wanted, template: Json, order: Order) -> None:
    for attempt in range(_TRIES):
        try:
            api.patch(wanted.key.path, {"spec": {"template": template}}, STRATEGIC_PATCH, order.dry_run)
            return
        except Conflict:
            _step_aside(attempt)
    raise RecoveryError(failed("change", str(wanted.key), f"somebody else changed it {_TRIES} times meanwhile"))


def _restarted(observed: Observed, order: Order) -> bool:
    """True when a restart at or after `restarted_since` has been asked for already."""
    if not order.restarted_since or not observed.restarted_at:
        return False
    try:
        return from_iso(observed.restarted_at) >= from_iso(order.restarted_since).replace(microsecond=0)
    except ValueError:
        return False


def parse_moment(text: str) -> dt.datetime:
    """Read the option `restarted_since`. Raises Refused."""
    try:
        return from_iso(text)
    except ValueError as error:
        remedy = "Give RFC 3339 with a zone, for example 2026-11-23T10:31:00Z."
        raise Refused(failed("read", f"restarted_since {text!r}", error, remedy)) from error
