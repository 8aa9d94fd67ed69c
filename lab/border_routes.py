"""What crosses a region's edge, and by which way: the configuration of its border."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.catalogue import other
from lab.layout import Lab

#: with whom a region talks across its edge, beside the other region
WORLD, WITNESS = "world", "witness"


def rules_file(lab: Lab, region: str) -> Path:
    """The rules of a region's border."""
    return lab.state("border", region) / "rules.json"


def applied_file(lab: Lab, region: str) -> Path:
    """Where a region's border says which rules are in force."""
    return lab.state("border", region) / "applied"


def border_config(lab: Lab, region: str) -> dict[str, Any]:
    """The configuration of a region's border."""
    return {
        "region": region,
        "source": lab.address("border", region),
        "rules": str(rules_file(lab, region)),
        "applied": str(applied_file(lab, region)),
        "routes": [*_from_world(lab, region), *_from_other_region(lab, region), *_outward(lab, region)],
    }


def _from_world(lab: Lab, region: str) -> Iterator[dict[str, Any]]:
    """The public addresses. A cluster of the user's own is not behind the border."""
    ports = {"postgres": lab.port("postgres"), "store": lab.stores(region)["s3"], "registry": lab.port("registry")}
    if region not in lab.kubeconfigs:
        ports["kubernetes"] = lab.port("kubernetes")
    ports |= {service.name: lab.port("loadbalancer") for service in lab.services}
    for kind, port in ports.items():
        yield _route(kind, WORLD, "in", (lab.address(kind, region), port), (lab.inner(kind, region), port))
    for port in _store_tls(lab, region):
        listen, forward = (lab.address("store", region), port), (lab.inner("store", region), port)
        yield _route("store, TLS", WORLD, "in", listen, forward)


def _from_other_region(lab: Lab, region: str) -> Iterator[dict[str, Any]]:
    for kind, port in _shared_by_regions(lab, region):
        listen, forward = (lab.entry(kind, region), port), (lab.inner(kind, region), port)
        yield _route(f"{kind} for {other(region)}", other(region), "in", listen, forward)


def _outward(lab: Lab, region: str) -> Iterator[dict[str, Any]]:
    port = lab.stores(None)["s3"]
    yield _route(WITNESS, WITNESS, "out", (lab.outbound(WITNESS, region), port), (lab.address(WITNESS), port))
    there = other(region)
    for kind, port in _shared_by_regions(lab, there):
        listen, forward = (lab.outbound(kind, region), port), (lab.entry(kind, there), port)
        yield _route(f"{kind} of {there}", there, "out", listen, forward)


def _shared_by_regions(lab: Lab, region: str) -> list[tuple[str, int]]:
    """What a region lets the other one use, with its ports."""
    stores = [("store", port) for port in (lab.stores(region)["s3"], *_store_tls(lab, region))]
    return [("postgres", lab.port("postgres")), *stores]


def _store_tls(lab: Lab, region: str) -> list[int]:
    """The store's port for TLS, where the lab has backups."""
    return [lab.stores(region)["s3.https"]] if lab.backups else []


def _route(name: str, peer: str, opens: str, listen: tuple[str, int], forward: tuple[str, int]) -> dict[str, Any]:
    return {"name": name, "peer": peer, "opens": opens, "listen": listen, "forward": forward}
