# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes recovery points that are past their retention, and what was never sealed; holds points, and releases them.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import time
import typing as t
from concurrent.futures import ThreadPoolExecutor

from . import needs
from .clock import utc_now
from .connections import record_option
from .errors import RecoveryError, Refused
from .execution import Params, Result, Specification
from .recovery_points import STORES, opened_stores
from .recovery_points_component import assemble, read_proofs
from .recovery_points_expiry import UPLOADS, Expiry, Stays
from .recovery_points_hold import change_hold
from .recovery_points_model import FAILED, UNVERIFIED, Finding, Objectives, objectives_of, outcome_of
from .recovery_points_names import Place
from .recovery_points_removal import Removed, remove
from .recovery_points_seal import trusting
from .recovery_points_store import PointStore
from .recovery_points_summary import Cache, summaries
from .recovery_points_survey import survey

_AT_ONCE = 4

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["pruned", "held", "released"], "default": "pruned"},
        "service": {"type": "str"},
        "components": {"type": "list", "elements": "dict", "default": []},
        "component": {"type": "str"},
        "id": {"type": "str"},
        "reason": {"type": "str"},
        "stores": STORES,
        "public_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "leftover_hours": {"type": "float", "default": 24.0},
        "max_skew_seconds": {"type": "float", "default": 60.0},
        "cache": {"type": "path"},
        "record": record_option(),
    },
    required_if=[
        ("state", "pruned", ["components", "public_keys"]),
        ("state", "held", ["service", "component", "id", "reason"]),
        ("state", "released", ["service", "component", "id"]),
    ],
    needs=needs.all_of(needs.each("S3", needs.DATA, "stores"), needs.recorded()),
)


def run(params: Params, check_mode: bool) -> Result:
    """Bring about the state. Raises RecoveryError."""
    started = time.monotonic()
    stores = opened_stores(params["stores"])
    if params["state"] == "pruned":
        result = _pruned(params, stores, check_mode)
    else:
        name = Place.of(params["service"], params["component"]).point(params["id"])
        reason = params["reason"] if params["state"] == "held" else None
        if params["state"] == "held" and not (reason or "").strip():
            raise Refused(f"Refused to hold {name}: reason is empty. Say why it has to stay.")
        result = {**_EMPTY, **change_hold(stores, name, reason, check_mode)}
        result["evidence"] = {"point": str(name), "held": bool(reason), "reason": reason, "stores": result["stores"]}
    return {**result, "state": params["state"], "seconds": round(time.monotonic() - started, 3)}


_EMPTY: Result = {
    "removed": [],
    "stays": [],
    "bytes": 0,
    "findings": [],
    "unverified": [],
    "stores": [],
}


def _pruned(params: Params, stores: list[PointStore], check_mode: bool) -> Result:
    if params["leftover_hours"] < 0:
        raise Refused(f"Refused leftover_hours {params['leftover_hours']}: give a number of hours, not below zero.")
    asked = objectives_of(params["components"], params["service"])
    expiries = _expiries(params, asked, stores)
    candidates = [candidate for expiry in expiries for candidate in expiry.candidates]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="prune") as pool:
        done = list(pool.map(lambda candidate: remove(candidate, check_mode), candidates))
    by_place = {expiry.component.objectives.place: expiry for expiry in expiries}
    for one in done:
        _note(by_place[one.candidate.name.place], one)
    removed = [one.as_dict() for one in done if one.objects]
    for expiry in expiries:
        removed += _uploads(expiry, check_mode)
    return _result(expiries, removed, stores)


def _expiries(params: Params, asked: list[Objectives], stores: list[PointStore]) -> list[Expiry]:
    trust, cache = trusting(params["public_keys"]), Cache(params["cache"], params["public_keys"])
    views = survey(stores, [one.place for one in asked])
    found = []
    for one in asked:
        said = summaries(views[one.place], one.place, trust, cache)
        component = assemble(one, views[one.place], said)
        read_proofs(component, trust)
        expiry = Expiry(component, said, utc_now(), params["leftover_hours"] * 3600, params["max_skew_seconds"])
        try:
            expiry.decide()
        except RecoveryError as error:  # a store that went away meanwhile
            expiry.candidates.clear()
            component.find(UNVERIFIED, "unreachable_store", f"Nothing of {one.place} was removed: {error}")
        found.append(expiry)
    return found


def _note(expiry: Expiry, one: Removed) -> None:
    """Report what did not go."""
    name, store = one.candidate.name, one.candidate.store.name
    if one.stayed:
        expiry.stays.append(Stays(name, store, one.stayed))
    if one.error:
        text = f"{name} in {store} was not, or not wholly, removed: {one.error} Run again"
        expiry.component.find(UNVERIFIED, "unreachable_store", text, name.id, store)
    for line in one.refused[:5]:
        text = f"{line} ({len(one.refused)} of {name}). A lock or a policy keeps it"
        expiry.component.find(FAILED, "removal_refused", text, name.id, store)


def _uploads(expiry: Expiry, check_mode: bool) -> list[dict[str, t.Any]]:
    """End multipart uploads that nobody has completed for as long as leftovers may live."""
    place = expiry.component.objectives.place
    if any(view.error for view in expiry.component.views):
        return []
    until, found = expiry.now - dt.timedelta(seconds=expiry.leftover_seconds), []
    for view in expiry.component.views:
        if abs(view.skew_seconds or 0.0) > expiry.max_skew_seconds:
            continue
        try:
            for key, upload, begun in view.store.uploads(place.prefix):
                identifier, _rest = place.split(key)
                if not identifier or not key.startswith(place.prefix) or begun > until:
                    continue
                if not check_mode:
                    view.store.abort_upload(key, upload)
                subject = place.point(identifier).subject
                found.append({**subject, "store": view.store.name, "why": UPLOADS, "objects": 1, "bytes": 0})
        except RecoveryError as error:
            expiry.component.find(UNVERIFIED, "unreachable_store", f"{view.store.name}: {error}", store=view.store.name)
    return found


def _result(expiries: list[Expiry], removed: list[dict[str, t.Any]], stores: list[PointStore]) -> Result:
    findings = [finding for expiry in expiries for finding in expiry.component.findings]
    names = sorted(f"{one['store']}: {one['service']}/{one['component']}/{one['id']} ({one['why']})" for one in removed)
    stays = [{**one.name.subject, "store": one.store, "why": one.why} for expiry in expiries for one in expiry.stays]
    result: Result = {
        "changed": bool(removed),
        "removed": removed,
        "stays": stays,
        "bytes": sum(one["bytes"] for one in removed),
        "outcome": outcome_of(findings),
        "problems": _texts(findings, FAILED),
        "unverified": _texts(findings, UNVERIFIED),
        "findings": [one.as_dict() for one in findings],
        "stores": [store.name for store in stores],
        "diff": {"before": names, "after": []},
    }
    keys = ("removed", "bytes", "outcome", "problems", "unverified")
    return {**result, "evidence": {key: result[key] for key in keys}}


def _texts(findings: t.Iterable[Finding], level: str) -> list[str]:
    return list(dict.fromkeys(one.text for one in findings if one.level == level))
