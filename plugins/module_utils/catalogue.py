# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the service catalogue (`dr_services`) and one region (`dr_region`) to what the modules take.

Every function raises RecoveryError naming the service and the key that is missing or wrong.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from urllib.parse import urlsplit

from .errors import RecoveryError

Service = t.Mapping[str, t.Any]
Services = t.Mapping[str, Service]
Region = t.Mapping[str, t.Any]


def objectives(services: Services, tiers: t.Mapping[t.Any, t.Any]) -> dict[str, t.Any]:
    """Return the strictest objectives of all services, and each service's own: seconds.

    `approval_required` is true where the tier of any of them asks for an approval of the plan.
    """
    each, approvals = {}, set()
    for name, service in services.items():
        tier = tiers.get(service.get("tier"), tiers.get(str(service.get("tier"))))
        if tier is None:
            known = ", ".join(str(number) for number in tiers)
            tier = service.get("tier")
            raise RecoveryError(f"Service {name} has tier {tier!r}, dr_tiers has {known}. Name one of them.")
        approval = tier.get("approval", "none")
        if approval not in ("none", "required"):
            raise RecoveryError(f"Tier {service['tier']} has approval {approval!r}. Set it to none or required.")
        approvals.add(approval)
        each[name] = {
            "tier": int(service["tier"]),
            "rto_seconds": float(tier["rto_seconds"]),
            "rpo_seconds": float(tier["rpo_seconds"]),
        }
    if not each:
        raise RecoveryError("The service catalogue dr_services is empty. Describe at least one service.")
    return {
        "rto_seconds": min(one["rto_seconds"] for one in each.values()),
        "rpo_seconds": min(one["rpo_seconds"] for one in each.values()),
        "approval_required": "required" in approvals,
        "services": each,
    }


def records(services: Services, region: Region) -> list[dict[str, t.Any]]:
    """Return all DNS records of all services as they are when `region` serves them."""
    found = []
    for name, service in services.items():
        for record in service.get("records", []):
            values = record.get("values") or _endpoint(name, region).get("values")
            if not values:
                raise RecoveryError(
                    f"Service {name} has no endpoint values in region {region['name']}. "
                    f"Set dr_region.endpoints['{name}'].values."
                )
            found.append({**record, "values": list(values)})
    return found


def workloads(services: Services, region: Region, role: str) -> list[dict[str, t.Any]]:
    """Return all workloads with the replicas of `role` (active or standby) and the secrets they need."""
    found = []
    for name, service in services.items():
        for workload in service.get("workloads", []):
            replicas = workload.get("replicas", {}).get(role)
            if replicas is None:
                what = f"Workload {workload.get('name')} of service {name}"
                raise RecoveryError(f"{what} has no replicas.{role}. Set it.")
            found.append(
                {
                    "namespace": workload["namespace"],
                    "name": workload["name"],
                    "replicas": int(replicas),
                    "secrets": list(workload.get("secrets", [])),
                }
            )
    return found


def checks(services: Services, region: Region | None = None) -> list[dict[str, t.Any]]:
    """Return all health checks: through the public names, or of one region's own endpoints when it is given.

    A check of a region says so in its name. A `postgresql` check needs a region; through the public name the
    service's own checks cover its database.
    """
    found = []
    for name, service in services.items():
        for check in service.get("health_checks", []):
            timing = {key: check[key] for key in ("timeout", "retries") if key in check}
            where = "" if region is None else f" in {region['name']}"
            base = {"name": check["name"] + where, "service": name, "kind": check["kind"], **timing}
            if check["kind"] == "postgresql":
                if region is not None:
                    found.append({**base, "postgres": _postgres(name, service, region)})
            else:
                found.append({**base, "url": _url(name, service, region) + check["path"], **_host(service, region)})
    return found


def deep_checks(services: Services, region: Region | None = None) -> list[dict[str, t.Any]]:
    """Return one write-then-read check a service with a `deep_check`: of `region`'s endpoint or the public name."""
    return [
        {
            "name": "writes and reads" + ("" if region is None else f" in {region['name']}"),
            "service": name,
            "kind": "write_read",
            "url": _url(name, service, region) + service["deep_check"]["path"],
            "read_url": _url(name, service, region) + service["deep_check"]["read_path"],
            "timeout": service["deep_check"].get("timeout", 5),
            **_host(service, region),
        }
        for name, service in services.items()
        if service.get("deep_check")
    ]


def invariants(services: Services, region: Region) -> list[dict[str, t.Any]]:
    """Return the data invariants of all services as PostgreSQL checks in `region`."""
    return [
        {
            "name": invariant["name"],
            "service": name,
            "kind": "postgresql",
            "postgres": _postgres(name, service, region),
            "query": invariant["query"],
            "expect": str(invariant["expect"]),
        }
        for name, service in services.items()
        for invariant in service.get("invariants", [])
    ]


def _endpoint(name: str, region: Region) -> t.Mapping[str, t.Any]:
    endpoint = region.get("endpoints", {}).get(name)
    if endpoint is None:
        raise RecoveryError(
            f"Service {name} has no endpoint in region {region.get('name')}. Set dr_region.endpoints['{name}']."
        )
    return endpoint


def _url(name: str, service: Service, region: Region | None) -> str:
    return str(service["url"] if region is None else _endpoint(name, region)["url"]).rstrip("/")


def _host(service: Service, region: Region | None) -> dict[str, t.Any]:
    """Ask a region's endpoint for the public host, as the service's clients do."""
    return {} if region is None else {"headers": {"Host": urlsplit(str(service["url"])).netloc}}


def _postgres(name: str, service: Service, region: Region) -> dict[str, t.Any]:
    database = service.get("database") or {}
    cluster = database.get("cluster")
    server = region.get("postgres", {}).get(cluster)
    if server is None:
        raise RecoveryError(
            f"Service {name} keeps its data in cluster {cluster!r}, which region {region.get('name')} does not have. "
            f"Set dr_region.postgres['{cluster}']."
        )
    return {**server, "database": database["name"]}
