# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what an assessment found to a plan's steps and to the state that an approval binds to.

Findings are what the role failover_assess registers, under these names: `source`, `target` (names of regions), `leases`
(results of pg_fence), `databases` (of pg_heartbeat, the target's server first), `workloads` (of k8s_workload), `wanted`
(the workloads as the catalogue has them), `records` (of route53_traffic, or what the filter traffic_result made of all
ways that traffic is shifted in) and `objectives` (service_objectives).

What is observed is stable while nothing that matters changes: who holds which lease and its epoch, what the standby is,
what runs and whether there is room for more, what traffic follows. Positions in the WAL, seconds and messages are left
out; they change by themselves.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from .errors import RecoveryError

Findings = t.Mapping[str, t.Any]
Entry = dict[str, t.Any]


def steps(findings: Findings, kind: str = "failover") -> list[Entry]:
    """Return what is going to be done, in order, as {name, object, from, to}. Raises RecoveryError for gaps."""
    source, target = _need(findings, "source"), _need(findings, "target")
    fence = "hand over" if kind in ("switchover", "failback") else "fence"
    found = [_step(fence, f"cluster {one['name']}", one["holder"], target) for one in _leases(findings)]
    found += [_step("promote", f"cluster {one['name']}", source, target) for one in _leases(findings)]
    for observed, wanted in _paired(findings):
        before = observed["replicas"] or 0
        found.append(_step("scale", observed["name"], before, max(before, wanted.get("replicas") or 0)))
    services = (_need(findings, "objectives").get("services")) or {}
    found += [_step("prove", f"service {name}", "", target) for name in sorted(services)]
    found += [
        _step("shift", _record_name(one), _joined((one.get("before") or {}).get("values")), _joined(one["values"]))
        for one in _records(findings)
    ]
    return found + [_step("shift", one["name"], one["state"], one["after"]) for one in _controls(findings)]


def observed(findings: Findings) -> Entry:
    """Return the state that the steps rest on, by section. Raises RecoveryError for gaps."""
    return {
        "leases": [{key: one[key] for key in ("name", "holder", "epoch", "receipt")} for one in _leases(findings)],
        "objectives": _need(findings, "objectives"),
        "records": [{"name": _record_name(one), **(one.get("before") or {})} for one in _records(findings)],
        "regions": {"source": _need(findings, "source"), "target": _need(findings, "target")},
        "routing_controls": [{"name": one["name"], "state": one["state"]} for one in _controls(findings)],
        "standbys": [_standby(one) for one in _results(findings, "databases")],
        "workloads": [{**one, "wanted": wanted.get("replicas")} for one, wanted in _paired(findings)],
    }


def _leases(findings: Findings) -> list[Entry]:
    found = []
    for one in _results(findings, "leases"):
        before = (one.get("diff") or {}).get("before") or {}
        # Without a remaining time no receipt can come, so that somebody has to accept the loss.
        receipt = one.get("remaining_seconds") is not None
        holder, epoch = before.get("holder"), before.get("epoch")
        found.append({"name": _name(one), "holder": holder, "epoch": epoch, "receipt": receipt})
    return found


def _standby(one: Findings) -> Entry:
    server = (one.get("servers") or [{}])[0]
    known = (
        "region",
        "reachable",
        "in_recovery",
        "system_identifier",
        "timeline",
        "replay_paused",
        "streaming",
        "slot",
    )
    bound = one.get("loss_bound") or {}
    return {
        "name": _name(one),
        **{key: server[key] for key in known if key in server},
        "loss_is_bounded": bound.get("seconds") is not None,
    }


def _paired(findings: Findings) -> list[tuple[Entry, t.Mapping[str, t.Any]]]:
    """Return every workload as it was seen, with what the catalogue wants of it."""
    wanted = {(one["namespace"], one["name"]): one for one in _need(findings, "wanted")}
    return [
        (_workload(one), wanted.get((one["namespace"], one["name"]), {}))
        for one in _need(findings, "workloads").get("workloads") or []
    ]


def _workload(one: Findings) -> Entry:
    before = one.get("before") or {}
    missing = [str(line) for line in one.get("missing") or []]
    unknown = [str(line) for line in one.get("unverified") or []]
    return {
        "name": f"{one['kind']} {one['namespace']}/{one['name']}",
        "replicas": before.get("replicas"),
        "images": sorted(set((before.get("images") or {}).values())),
        # How much room is missing, and where, changes with every pod of anybody's: whether there is enough counts.
        "capacity": "too little"
        if _about(missing, "capacity")
        else "unknown"
        if _about(unknown, "capacity")
        else "enough",
        "missing": sorted(line.partition(" (")[0] for line in missing if not line.startswith("capacity")),
    }


def _about(lines: t.Sequence[str], word: str) -> bool:
    return any(line.startswith(word) for line in lines)


def _records(findings: Findings) -> list[Entry]:
    """Return the records that are changed; a name that is switched by health has none, only what answers for it."""
    found = (findings.get("records") or {}).get("records") or []
    return [one for one in found if one.get("method", "records") == "records"]


def _record_name(one: Findings) -> str:
    return " ".join(str(part) for part in (one["name"], one["type"], one.get("set_identifier")) if part)


def _controls(findings: Findings) -> list[Entry]:
    """Return the routing controls and switches as they are (`state`), and as they will be (`after`)."""
    traffic = findings.get("records") or {}
    found = [
        {"name": f"routing control {one['name']}", "state": one.get("before"), "after": one.get("state")}
        for one in traffic.get("controls") or []
    ]
    return found + [
        {"name": f"switch {one['key']}", "state": one.get("before"), "after": one.get("position")}
        for one in traffic.get("switches") or []
    ]


def _results(findings: Findings, name: str) -> list[Findings]:
    """Return the results of a loop over the clusters."""
    return list(_need(findings, name).get("results") or [])


def _name(one: Findings) -> str:
    item = one.get("item") or {}
    return str(item.get("key") or "") if isinstance(item, t.Mapping) else str(item)


def _need(findings: Findings, name: str) -> t.Any:
    if not findings.get(name):
        raise RecoveryError(f"Failed to plan: the findings lack {name}. Give what the assessment registered.")
    return findings[name]


def _step(name: str, what: str, before: t.Any, after: t.Any) -> Entry:
    return {"name": name, "object": what, "from": "" if before is None else str(before), "to": str(after)}


def _joined(values: t.Any) -> str:
    return ", ".join(sorted(str(value) for value in values or []))
