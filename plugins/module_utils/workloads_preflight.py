# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks, before anything is changed, whether workloads exist and have what their pods need.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote

from .errors import RecoveryError
from .kubernetes_api import METADATA_ONLY, Denied, Json, KubernetesApi, NotFound
from .workloads_capacity import Capacity
from .workloads_change import Order, target
from .workloads_model import Observed, Wanted
from .workloads_registry import ImageMissing, Registry

T = t.TypeVar("T")
R = t.TypeVar("R")

#: Requests under way at one time.
_AT_ONCE = 16
_DIGEST = "@sha256:"


@dataclass
class Look:
    """What was found of one workload: what it lacks, what could not be told, and the digests that its pods run."""

    wanted: Wanted
    observed: Observed | None = None
    missing: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)
    running: dict[str, str] = field(default_factory=dict)

    @property
    def present(self) -> Observed:
        """The workload, which has to be there. Raises RecoveryError."""
        if self.observed is None:
            raise RecoveryError(f"Failed to read {self.wanted.key}: there is no such workload.")
        return self.observed


def look(api: KubernetesApi, wanted: t.Sequence[Wanted], order: Order, params: t.Mapping[str, t.Any]) -> list[Look]:
    """Look at all workloads at once. Raises Unreachable, or Denied where the workloads cannot be read."""
    looks = each(lambda one: _workload(api, one), wanted)
    each(lambda one: _needs(api, one), looks)
    if params["check_images"]:
        _images(looks, Registry(params["registry"]))
    if params["check_capacity"]:
        _capacity(api, looks, order)
    if order.state == "inspected":
        each(lambda one: _running(api, one), looks)
    return looks


def each(do: t.Callable[[T], R], things: t.Sequence[T]) -> list[R]:
    """Do something to all things at once, in their order; the first error is raised when all are done."""
    if len(things) < 2:
        return [do(thing) for thing in things]
    with ThreadPoolExecutor(min(_AT_ONCE, len(things))) as pool:
        return list(pool.map(do, things))


def _workload(api: KubernetesApi, wanted: Wanted) -> Look:
    try:
        return Look(wanted, Observed(api.get(wanted.key.path)))
    except NotFound:
        namespace = wanted.key.namespace
        if _exists(api, f"/api/v1/namespaces/{quote(namespace, safe='')}") is False:
            return Look(wanted, missing=[f"namespace {namespace}"])
        return Look(wanted, missing=[str(wanted.key)])


def _needs(api: KubernetesApi, found: Look) -> None:
    """Look for the secrets and config maps that a workload is said to need."""
    key = found.wanted.key
    for kind, names in (("secret", found.wanted.secrets), ("configmap", found.wanted.configmaps)):
        for name in names:
            there = _exists(api, f"/api/v1/namespaces/{quote(key.namespace, safe='')}/{kind}s/{quote(name, safe='')}")
            if there is None:
                found.unverified.append(f"{kind} {key.namespace}/{name}: the credentials may not read it")
            elif not there:
                found.missing.append(f"{kind} {key.namespace}/{name}")


def _exists(api: KubernetesApi, path: str) -> bool | None:
    try:
        api.get(path, METADATA_ONLY)
        return True
    except NotFound:
        return False
    except Denied:
        return None


def _images(looks: t.Sequence[Look], registry: Registry) -> None:
    """Ask the registries for every image that will run, once each."""
    wanted = {id(one): {**(one.observed.images if one.observed else {}), **one.wanted.images} for one in looks}
    names = sorted({image for images in wanted.values() for image in images.values() if image})

    def ask(image: str) -> RecoveryError | None:
        try:
            registry.digest(image)
        except RecoveryError as error:
            return error
        return None

    answers = dict(zip(names, each(ask, names), strict=True))
    for one in looks:
        for image in dict.fromkeys(wanted[id(one)].values()):
            error = answers.get(image)
            if isinstance(error, ImageMissing):
                one.missing.append(f"image {image} ({error.cause})")
            elif error is not None:
                one.unverified.append(f"image {image}: {error}")


def _capacity(api: KubernetesApi, looks: t.Sequence[Look], order: Order) -> None:
    alive = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}
    present = [one for one in looks if one.observed is not None]
    try:
        room = Capacity(api.get("/api/v1/nodes")["items"], api.get("/api/v1/pods", **alive)["items"])
    except Denied as error:
        for one in present:
            one.unverified.append(f"capacity: {error}")
        return
    for one in present:
        lacks = room.lacks(one.present, target(one.wanted, one.present.replicas, order))
        if lacks:
            one.missing.append(lacks)


def _running(api: KubernetesApi, found: Look) -> None:
    """Note the digests that ready containers run: what to go back to, where the template only names a tag."""
    if found.observed is None:
        return
    try:
        pods = api.get(f"/api/v1/namespaces/{quote(found.wanted.key.namespace, safe='')}/pods")["items"]
    except Denied:
        return
    for pod in pods:
        if found.observed.selects(pod) and found.observed.made(pod):
            found.running.update(_digests(pod))


def _digests(pod: Json) -> dict[str, str]:
    status = pod.get("status") or {}
    containers = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    images = {one["name"]: str(one.get("imageID") or "").rpartition("://")[2] for one in containers if one.get("ready")}
    return {name: image for name, image in images.items() if _DIGEST in image and not image.startswith("sha256:")}
