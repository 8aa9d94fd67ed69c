# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How each service's traffic is shifted (`traffic.method`): what the traffic modules take, and one result of them.

Every function raises RecoveryError naming the service and the key that is missing or wrong.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .catalogue import Region, Service, Services, records
from .errors import RecoveryError

RECORDS, CONTROLS, SWITCH = "records", "routing_controls", "switch"
METHODS = (RECORDS, CONTROLS, SWITCH)


def method_of(name: str, service: Service) -> str:
    """Return how a service's traffic is shifted; by records where the catalogue does not say."""
    method = str((service.get("traffic") or {}).get("method") or RECORDS)
    if method not in METHODS:
        raise RecoveryError(f"Service {name} has traffic.method {method!r}. Set it to one of {', '.join(METHODS)}.")
    return method


def traffic(services: Services, region: Region) -> dict[str, t.Any]:
    """Return what has to be so that `region` serves all services: `records`, `controls`, `switches`.

    `names` are, by method, the names that no record change moves, with what they answer then.
    """
    by_method: dict[str, dict[str, Service]] = {method: {} for method in METHODS}
    for name, service in services.items():
        by_method[method_of(name, service)][name] = service
    return {
        "records": records(by_method[RECORDS], region),
        "controls": list(_controls(by_method[CONTROLS], region)),
        "switches": list(_switches(by_method[SWITCH], region)),
        "names": {
            method: [
                {key: one[key] for key in ("name", "type", "values")} for one in records(by_method[method], region)
            ]
            for method in (CONTROLS, SWITCH)
        },
        "ttls": {one["name"]: one.get("ttl") for one in records(services, region)},
    }


def failover_records(
    services: Services,
    regions: t.Sequence[Region],
    routing_controls: t.Sequence[t.Mapping[str, t.Any]],
    switch_check: t.Mapping[str, t.Any],
) -> list[dict[str, t.Any]]:
    """Return the pairs that have to stand before a shift: of every service that no record change moves.

    `routing_controls` are those of M(terragon.disaster_recovery.arc_routing_control), with name and ARN; `switch_check`
    is the health check that looks for a switch, its path without the key.
    """
    arns = {one["name"]: one["arn"] for one in routing_controls}
    known = {str(region["name"]): region for region in regions}
    pairs = []
    for name, service in services.items():
        method = method_of(name, service)
        if method == RECORDS:
            continue
        places = {role: _region_of(name, service, role, known) for role in ("primary", "secondary")}
        values = {role: records({name: service}, known[place]) for role, place in places.items()}
        for number, record in enumerate(service.get("records", [])):
            halves = {
                role: {
                    "identifier": place,
                    "values": values[role][number]["values"],
                    **_check(name, service, method, role, place, arns, switch_check),
                }
                for role, place in places.items()
            }
            pairs.append({**{key: record[key] for key in ("zone", "name", "type", "ttl")}, **halves})
    return pairs


def result(wanted: t.Mapping[str, t.Any], results: t.Mapping[str, t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Return one result of up to three modules (`results` by method; a skipped task counts for nothing).

    `records` are all names, whichever way they are moved: with what they answer then, and what they answered `before`
    (by Route 53, or by the first resolver where no record changes). Worst outcome first: failed, unverified, passed.
    """
    told = {method: one for method, one in results.items() if one and not one.get("skipped")}
    shown = [{**one, "method": RECORDS} for one in told.get(RECORDS, {}).get("records", [])]
    for method in (CONTROLS, SWITCH):
        if method in told:
            shown += [_name_told(one, method, told[method], wanted["ttls"]) for one in wanted["names"][method]]
    outcomes = {one.get("outcome") for one in told.values()}
    return {
        "records": shown,
        "methods": sorted(told),
        "changed": any(one.get("changed") for one in told.values()),
        "problems": [problem for one in told.values() for problem in one.get("problems", [])],
        "unverified": [doubt for one in told.values() for doubt in one.get("unverified", [])],
        "outcome": next((one for one in ("failed", "unverified") if one in outcomes), "passed"),
        "controls": told.get(CONTROLS, {}).get("controls", []),
        "switches": told.get(SWITCH, {}).get("switches", []),
    }


def _name_told(
    one: t.Mapping[str, t.Any], method: str, told: t.Mapping[str, t.Any], ttls: t.Mapping[str, int]
) -> dict[str, t.Any]:
    name = str(one["name"]).rstrip(".") + "."
    answers = [
        seen["answer"] for seen in told.get("resolvers", []) if (seen["record"], seen["type"]) == (name, one["type"])
    ]
    before = sorted(answers[0]) if answers else []
    wanted = sorted(one["values"])
    return {
        "name": name,
        "type": one["type"],
        "ttl": ttls.get(str(one["name"])),
        "values": wanted,
        "before": {"values": before},
        "changed": bool(before) and before != wanted,
        "method": method,
    }


def _controls(services: Services, region: Region) -> t.Iterator[dict[str, str]]:
    """Return every control once: On for the region, Off for every other, those of one service side by side."""
    done: dict[str, str] = {}
    for name, service in services.items():
        controls = service["traffic"].get("controls") or {}
        if region["name"] not in controls:
            raise RecoveryError(
                f"Service {name} has no routing control for region {region['name']}. "
                f"Set traffic.controls['{region['name']}']."
            )
        for place, control in controls.items():
            state = "On" if place == region["name"] else "Off"
            if done.setdefault(control, state) != state:
                raise RecoveryError(f"Routing control {control} stands for several regions. Use one a region.")
    for control, state in done.items():
        yield {"name": control, "state": state}


def _switches(services: Services, region: Region) -> t.Iterator[dict[str, str]]:
    done: dict[str, str] = {}
    for name, service in services.items():
        places = {role: service["traffic"].get(role) for role in ("primary", "secondary")}
        roles = [role for role, place in places.items() if place == region["name"]]
        if len(roles) != 1:
            raise RecoveryError(
                f"Service {name} has its switch between {places['primary']} and {places['secondary']}, not "
                f"{region['name']}. Set traffic.primary and traffic.secondary."
            )
        key = _key(name, service)
        if done.setdefault(key, roles[0].upper()) != roles[0].upper():
            raise RecoveryError(f"Switch {key} stands for services with different primary regions. Use one key each.")
    for key, position in done.items():
        yield {"key": key, "position": position}


def _key(name: str, service: Service) -> str:
    return str(service["traffic"].get("key") or name)


def _region_of(name: str, service: Service, role: str, known: t.Mapping[str, Region]) -> str:
    place = str(service["traffic"].get(role))
    if place not in known:
        raise RecoveryError(f"Service {name} has traffic.{role} {place!r}. Name one of {', '.join(known)}.")
    return place


def _check(
    name: str,
    service: Service,
    method: str,
    role: str,
    place: str,
    arns: t.Mapping[str, str],
    switch_check: t.Mapping[str, t.Any],
) -> dict[str, t.Any]:
    """Return the health check of one half: its routing control, or the switch's object for the PRIMARY alone."""
    if method == SWITCH:
        if role == "secondary":
            return {}
        key = _key(name, service)
        path = f"{switch_check.get('path') or '/'}{key}"
        return {"health_check": {**switch_check, "name": f"switch-{key}", "path": path, "inverted": True}}
    control = str((service["traffic"].get("controls") or {}).get(place))
    if control not in arns:
        raise RecoveryError(
            f"Service {name} has no routing control for region {place}. Set traffic.controls['{place}']."
        )
    return {"health_check": {"name": control, "type": "RECOVERY_CONTROL", "routing_control": arns[control]}}
