# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every recovery point of every component: what can be restored, to which moment, and when that was last shown.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from . import needs
from .clock import utc_now
from .connections import record_option
from .execution import Params, Result, Specification
from .recovery_points import STORES, opened_stores
from .recovery_points_backrest_judge import judge_repositories
from .recovery_points_component import Component, assemble, note_strangers, read_proofs
from .recovery_points_judge import Judge, Limits
from .recovery_points_model import FAILED, UNVERIFIED, Finding, Objectives, objectives_of, outcome_of
from .recovery_points_pgbackrest import Repository, points, repositories
from .recovery_points_seal import trusting
from .recovery_points_store import PointStore
from .recovery_points_summary import Cache, summaries
from .recovery_points_survey import survey
from .recovery_points_table import table

#: Kinds of which there is no point to list: what they are is looked at where it is.
NO_POINTS = frozenset({"log_retention"})

PGBACKREST: dict[str, t.Any] = {
    "service": {"type": "str", "required": True},
    "component": {"type": "str", "default": "database"},
    "repository": {"type": "str", "required": True},
    "region": {"type": "str", "default": ""},
    "repository_key": {"type": "int", "no_log": False},  # a number that counts repositories
    "documents": {"type": "list", "elements": "dict", "default": []},
    "archived_until": {"type": "str"},
    "error": {"type": "str"},
}

SPECIFICATION = Specification(
    argument_spec={
        "service": {"type": "str"},
        "components": {"type": "list", "elements": "dict", "required": True},
        "stores": STORES,
        "public_keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
        "pgbackrest": {"type": "list", "elements": "dict", "default": [], "options": PGBACKREST},
        "grace": {"type": "float", "default": 0.2},
        "leftover_hours": {"type": "float", "default": 24.0},
        "max_skew_seconds": {"type": "float", "default": 60.0},
        "cache": {"type": "path"},
        "record": record_option(),
    },
    needs=needs.all_of(
        needs.tolerating(
            needs.each("S3", needs.DATA, "stores"), lambda _options: True, "a store that is away is reported"
        ),
        needs.recorded(),
    ),
)


def run(params: Params, check_mode: bool) -> Result:
    """List and judge. Raises RecoveryError for options that make no sense; what is wrong in stores is a finding."""
    del check_mode  # it only looks
    started = time.monotonic()
    asked = objectives_of(params["components"], params["service"])
    stores = opened_stores(params["stores"])
    components, judges = _judged(params, asked, stores)
    findings = [finding for one in components for finding in one.findings]
    now = judges[0].limits.now
    listed = [point.as_dict(now) for one in components for point in one.points]
    result: Result = {
        "changed": False,
        "outcome": outcome_of(findings),
        "problems": _texts(findings, FAILED),
        "unverified": _texts(findings, UNVERIFIED),
        "findings": [one.as_dict() for one in findings],
        "components": [_component(one, judge) for one, judge in zip(components, judges, strict=True)],
        "points": listed,
        "due": [judge.due for judge in judges if judge.due],
        "proof_due": [judge.proof_due for judge in judges if judge.proof_due],
        "calls": {store.name: store.calls for store in stores},
        "seconds": round(time.monotonic() - started, 3),
    }
    result["table"] = table(result)
    keys = ("outcome", "problems", "unverified", "components", "due", "proof_due")
    return {**result, "evidence": {key: result[key] for key in keys}}


def _judged(params: Params, asked: list[Objectives], stores: list[PointStore]) -> tuple[list[Component], list[Judge]]:
    trust, cache = trusting(params["public_keys"]), Cache(params["cache"], params["public_keys"])
    elsewhere = repositories(params["pgbackrest"])
    views = survey(stores, [one.place for one in asked])

    def put_together(one: Objectives) -> Component:
        said = summaries(views[one.place], one.place, trust, cache)
        component = assemble(one, views[one.place], said)
        component.points += points(one.place, one.kind, elsewhere.get(one.place, []))
        component.points.sort(key=lambda point: (point.moment_to, point.id), reverse=True)
        read_proofs(component, trust)
        note_strangers(component)
        return component

    with ThreadPoolExecutor(2, thread_name_prefix="components") as pool:
        components = list(pool.map(put_together, asked))
    limits = Limits(utc_now(), params["grace"], params["leftover_hours"] * 3600, params["max_skew_seconds"])
    judges = [Judge(component, limits) for component in components]
    for judge in judges:
        _judge(judge, elsewhere.get(judge.place, []))
    return components, judges


def _judge(judge: Judge, holders: list[Repository]) -> None:
    asked = judge.asked
    if asked.kind in NO_POINTS:
        return
    if asked.kind == "pgbackrest" and not holders:
        text = f"{judge.place} is kept by pgBackRest, and nothing was said about its repositories: give pgbackrest"
        judge.component.find(UNVERIFIED, "not_observed", text)
        return
    judge.judge()
    if holders:
        judge_repositories(judge, holders)


def _texts(findings: t.Iterable[Finding], level: str) -> list[str]:
    return list(dict.fromkeys(one.text for one in findings if one.level == level))


def _component(component: Component, judge: Judge) -> dict[str, t.Any]:
    """Return what is reported of a component as a whole."""
    asked, usable = component.objectives, [point for point in component.points if point.usable]
    newest = next((point for point in usable if point.moment_to <= judge.limits.now), None)
    proofs = [(one.time, point.id, one) for point in component.points for one in point.proofs if one.conclusive]
    last = max(proofs, key=lambda item: item[0]) if proofs else None
    reported = newest.as_dict(judge.limits.now) if newest else None
    return {
        "service": asked.place.service,
        "component": asked.place.component,
        "kind": asked.kind,
        "outcome": "passed" if asked.kind in NO_POINTS else outcome_of(component.findings),
        "every_seconds": asked.every_seconds,
        "retention_days": asked.retention_days,
        "copies": asked.copies,
        "prove_every_seconds": asked.prove_every_seconds,
        "points": len(component.points),
        "usable_points": len(usable),
        "bytes": sum(point.bytes for point in component.points),
        "newest": reported["id"] if reported else None,
        "age_seconds": reported["age_seconds"] if reported else None,
        "window": _window(component),
        "complete_in": [copy["store"] for copy in reported["copies"] if copy["state"] == "complete"]
        if reported
        else [],
        "last_proof": {**last[2].as_dict(), "id": last[1]} if last else None,
        "leftovers": [
            {"id": one.id, "store": one.store, "objects": one.objects, "bytes": one.bytes}
            for one in component.leftovers
        ],
    }


def _window(component: Component) -> dict[str, str] | None:
    """Return the first and last moment that any usable point restores."""
    usable = [point.as_dict(point.moment_to)["window"] for point in component.points if point.usable]
    if not usable:
        return None
    return {"from": min(one["from"] for one in usable), "to": max(one["to"] for one in usable)}
