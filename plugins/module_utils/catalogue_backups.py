# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the catalogue and the tiers to what is backed up, how often, how long it is kept, and how often it is proven.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .catalogue import Service, Services
from .errors import RecoveryError

#: Kinds of components, each with what its entry has to say. docs/backups.md explains them.
KINDS: dict[str, tuple[str, ...]] = {
    "pgbackrest": ("stanza",),
    "pg_dump": (),
    "s3_versions": ("buckets",),
    "git": ("repository",),
    "directory": ("path",),
    "k8s_manifests": (),
    "k8s_secrets": (),
    "certificates": (),
    "log_retention": (),
}
#: Kinds whose points are not in dr_backup_stores: they are in pgBackRest's repositories, in the bucket itself, nowhere.
ELSEWHERE = {"pgbackrest", "s3_versions", "log_retention"}
#: How often a point is proven by restoring it, in seconds; a month is 31 days.
PROOFS = {"daily": 86400, "weekly": 7 * 86400, "monthly": 31 * 86400}

_OBJECTIVES = ("every_seconds", "retention_days", "minimum_points", "copies", "prove")


def backups(
    services: Services,
    clusters: t.Mapping[str, t.Mapping[str, t.Any]],
    tiers: t.Mapping[t.Any, t.Any],
    stores: t.Sequence[t.Mapping[str, t.Any]],
) -> list[dict[str, t.Any]]:
    """Return every component of every service and cluster, with its objectives: seconds, days, numbers.

    A component takes its objectives from its service's tier, a cluster's from the strictest tier of the services
    that keep their data in it, and may state its own. Raises RecoveryError naming the entry and the key.
    """
    found: list[dict[str, t.Any]] = []
    for name, service in services.items():
        tier = service.get("tier")
        namespaces = sorted({workload["namespace"] for workload in service.get("workloads", [])})
        for entry in service.get("backups", []):
            found.append(_component(name, entry, _tier(f"Service {name}", tier, tiers), tier, stores))
            found[-1].setdefault("namespaces", namespaces)
            found[-1].setdefault("database", dict(service.get("database") or {}))
    for name, cluster in clusters.items():
        if cluster.get("backups"):
            tier = _strictest(name, services)
            for entry in cluster["backups"]:
                found.append(_component(name, entry, _tier(f"Cluster {name}", tier, tiers), tier, stores))
                found[-1].setdefault("database", {"cluster": name})
    _refuse_twice(found)
    return found


def stores_of(
    stores: t.Sequence[t.Mapping[str, t.Any]], copies: int, active_region: str = ""
) -> list[t.Mapping[str, t.Any]]:
    """Return the stores that a point with so many copies is in: those outside the active region first.

    A single copy beside what it is a copy of would be lost with it.
    """
    return sorted(stores, key=lambda store: store.get("region") == active_region)[:copies]


def _component(
    owner: str,
    entry: t.Mapping[str, t.Any],
    tier: t.Mapping[str, t.Any],
    number: t.Any,
    stores: t.Sequence[t.Mapping[str, t.Any]],
) -> dict[str, t.Any]:
    what = f"Backup {entry.get('component', entry.get('kind', '?'))!r} of {owner}"
    kind = entry.get("kind")
    if kind not in KINDS:
        raise RecoveryError(f"{what} has kind {kind!r}, there are: {', '.join(KINDS)}. Name one of them.")
    for key in ("component", *KINDS[kind]):
        if not entry.get(key):
            raise RecoveryError(f"{what} has no {key}. Set it: see docs/backups.md.")
    objectives = {**tier.get("backup", {}), **{key: entry[key] for key in _OBJECTIVES if key in entry}}
    for key in _OBJECTIVES:
        if key not in objectives:
            raise RecoveryError(f"{what} has no {key}, nor has tier {number}. Set it in dr_tiers.")
    prove = objectives["prove"]
    if prove not in PROOFS:
        raise RecoveryError(f"{what} is to be proven {prove!r}. Set prove to one of: {', '.join(PROOFS)}.")
    rest = {key: value for key, value in entry.items() if key not in _OBJECTIVES}
    return {
        **rest,
        "service": owner,
        "tier": int(number),
        "every_seconds": _positive(what, "every_seconds", objectives),
        "retention_days": _positive(what, "retention_days", objectives),
        "minimum_points": _positive(what, "minimum_points", objectives),
        "copies": _copies(what, kind, objectives["copies"], stores),
        "prove": prove,
        "prove_every_seconds": PROOFS[prove],
    }


def _copies(what: str, kind: str, asked: t.Any, stores: t.Sequence[t.Mapping[str, t.Any]]) -> int:
    if asked == "all":
        return max(1, len(stores))
    number = _positive(what, "copies", {"copies": asked})
    if number > len(stores) and kind not in ELSEWHERE:
        names = ", ".join(str(store["name"]) for store in stores) or "none"
        raise RecoveryError(f"{what} asks for {number} copies, dr_backup_stores has: {names}. Add a store.")
    return number


def _positive(what: str, key: str, objectives: t.Mapping[str, t.Any]) -> int:
    try:
        number = int(objectives[key])
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise RecoveryError(f"{what} has {key} {objectives[key]!r}. Set it to a whole number above zero.")
    return number


def _tier(what: str, number: t.Any, tiers: t.Mapping[t.Any, t.Any]) -> t.Mapping[str, t.Any]:
    tier = tiers.get(number, tiers.get(str(number)))
    if tier is None:
        known = ", ".join(str(one) for one in tiers)
        raise RecoveryError(f"{what} has tier {number!r}, dr_tiers has {known}. Name one of them.")
    return tier


def _strictest(cluster: str, services: t.Mapping[str, Service]) -> int:
    """The tier of the most important service that keeps its data in the cluster."""
    tiers = [int(one["tier"]) for one in services.values() if (one.get("database") or {}).get("cluster") == cluster]
    if not tiers:
        raise RecoveryError(
            f"Cluster {cluster} has backups, but no service of dr_services keeps its data there, so that no tier says "
            "how often. Describe the service, or leave the backups out."
        )
    return min(tiers)


def _refuse_twice(found: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    seen: set[tuple[str, str]] = set()
    for one in found:
        key = (one["service"], one["component"])
        if key in seen:
            raise RecoveryError(f"Backup {key[1]!r} of {key[0]} is described twice. Give one of them another name.")
        seen.add(key)


#: Steps that divide an hour or a day, in seconds: what a calendar timer can keep evenly.
_STEPS = tuple(
    [60 * minutes for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)]
    + [3600 * hours for hours in (1, 2, 3, 4, 6, 8, 12, 24)]
)
_JOBS = {"backup": "every_seconds", "backup_validation": "prove_every_seconds", "recovery_points": "every_seconds"}
#: Daily jobs run in this order, minutes after two in the morning, each after the one before has had its time.
_MINUTE = {"backup": 7, "backup_validation": 37, "recovery_points": 57}


def schedule(components: t.Sequence[t.Mapping[str, t.Any]]) -> list[dict[str, t.Any]]:
    """Return the jobs that keep the components' objectives: name, `every_seconds`, `on_calendar` and `cron`.

    A job does what is due and nothing else, so one timer a playbook is enough: it fires as often as the most
    frequent component asks for, rounded down to a step that divides the hour or the day, and daily at least.
    """
    if not components:
        raise RecoveryError("Nothing is backed up: no service of dr_services has backups. Describe them first.")
    jobs = []
    for name, key in _JOBS.items():
        asked = min(int(one[key]) for one in components)
        step = max((one for one in _STEPS if one <= asked), default=_STEPS[0])
        jobs.append(
            {"name": name.replace("_", "-"), "playbook": f"{name}.yml", "every_seconds": step, **_calendar(name, step)}
        )
    return jobs


def _calendar(name: str, step: int) -> dict[str, str]:
    """The step as systemd's OnCalendar and as five fields of cron, in UTC."""
    minute = _MINUTE[name]
    if step < 3600:
        every = step // 60
        first = minute % every
        return {"on_calendar": f"*-*-* *:{first}/{every}:00 UTC", "cron": f"{first}-59/{every} * * * *"}
    hours = step // 3600
    if hours == 24:
        return {"on_calendar": f"*-*-* 02:{minute:02}:00 UTC", "cron": f"{minute} 2 * * *"}
    return {"on_calendar": f"*-*-* 0/{hours}:{minute:02}:00 UTC", "cron": f"{minute} */{hours} * * *"}
