# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the incident_ledger module does: declare, append, read, verify, publish and close.

PRIVATE to the collection.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import asdict
from pathlib import Path

from . import needs
from .connections import store_option
from .errors import RecoveryError, failed
from .execution import Params, Result, Specification
from .ledger import Ledger
from .ledger_event import PHASES, STATES, Event
from .ledger_status import Status, status_of

SPECIFICATION = Specification(
    argument_spec={
        "state": {
            "type": "str",
            "choices": ["declared", "appended", "present", "verified", "published", "closed"],
            "default": "present",
        },
        "incident": {"type": "str", "required": True},
        "mode": {"type": "str", "choices": ["incident", "drill"], "default": "incident"},
        "phase": {"type": "str", "choices": list(PHASES)},
        "step": {"type": "str"},
        "event_state": {"type": "str", "choices": list(STATES), "default": "verified"},
        "data": {"type": "dict", "default": {}},
        "objectives": {"type": "dict"},
        "report": {"type": "path"},
        "expect_head": {"type": "str"},
        "directory": {"type": "path", "required": True},
        "store": store_option(),
        "retain_days": {"type": "int"},
        "actor": {"type": "str"},
        "token": {"type": "int", "no_log": False},
    },
    required_if=[("state", "appended", ("phase", "step"))],
    needs=needs.store(),
)


def run(params: Params, check_mode: bool) -> Result:
    """Do what `state` asks. Raises RecoveryError."""
    ledger = Ledger.from_record(params)
    act = {
        "declared": _declared,
        "appended": _appended,
        "present": _present,
        "verified": _verified,
        "published": _published,
        "closed": _closed,
    }[params["state"]]
    return act(ledger, params, check_mode)


def _declared(ledger: Ledger, params: Params, check_mode: bool) -> Result:
    data = dict(params["data"])
    if params.get("objectives"):
        data["objectives"] = params["objectives"]
    if not check_mode:
        event = ledger.declare(data)
        return _result(ledger, ledger.status(), event, changed=event is not None)
    events = ledger.read()
    if events:
        ledger.refuse(events[-1])
    status = status_of(events)
    new = not events or (ledger.token is not None and events[-1].token != ledger.token)
    result = _result(ledger, status, None, changed=new, predicted=1 if new else 0)
    return {**result, "objectives": status.objectives or params.get("objectives")}


def _appended(ledger: Ledger, params: Params, check_mode: bool) -> Result:
    if not check_mode:
        event = ledger.append(params["phase"], params["step"], params["event_state"], params["data"])
        return _result(ledger, ledger.status(), event, changed=True)
    events = ledger.read()  # an incident not yet declared is no error here: its declaration was a preview too
    if events:
        ledger.refuse(events[-1])
    return _result(ledger, status_of(events), None, changed=True, predicted=1)


def _present(ledger: Ledger, params: Params, check_mode: bool) -> Result:
    events = ledger.read()
    return {**_result(ledger, status_of(events), None, changed=False), "events": [asdict(event) for event in events]}


def _verified(ledger: Ledger, params: Params, check_mode: bool) -> Result:
    found = ledger.verify(params.get("expect_head"))
    return {
        **_result(ledger, status_of(found.events), None, changed=False),
        "outcome": found.outcome,
        "valid": found.valid,
        "problems": [str(problem) for problem in found.problems],
        "unverified": list(found.unverified),
        "first_bad_event": asdict(found.problems[0]) if found.problems else None,
    }


def _published(ledger: Ledger, params: Params, check_mode: bool) -> Result:
    missing = ledger.unpublished() if check_mode else ledger.publish()
    result = _result(ledger, ledger.status(), None, changed=bool(missing), predicted=len(missing) if check_mode else 0)
    return {**result, "published": missing}


def _closed(ledger: Ledger, params: Params, check_mode: bool) -> Result:
    data = {**params["data"], **_report_data(params.get("report"))}
    if check_mode:
        events = ledger.read()
        status = status_of(events)
        open_still = status.closed_at is None
        return _result(ledger, status, None, changed=open_still, predicted=1 if open_still else 0)
    event = ledger.close(data)
    if event is not None and "report_sha256" in data:
        ledger.copy_to(Path(params["report"]).with_name("ledger.jsonl"))
    return _result(ledger, ledger.status(), event, changed=event is not None)


def _report_data(path: str | None) -> dict[str, t.Any]:
    if not path:
        return {}
    try:
        return {"report": path, "report_sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}
    except FileNotFoundError:  # it is going to be written
        return {"report": path}
    except OSError as error:
        raise RecoveryError(failed("read", f"the report {path}", error.strerror or error)) from error


def _result(ledger: Ledger, status: Status, event: Event | None, changed: bool, predicted: int = 0) -> Result:
    before = status.count - (1 if event else 0)
    return {
        "changed": changed,
        "incident": ledger.incident,
        "mode": status.mode or ledger.mode,
        "declared_at": status.declared_at,
        "closed_at": status.closed_at,
        "closing": status.closing,
        "objectives": status.objectives,
        "count": status.count,
        "head": status.head,
        "event": asdict(event) if event else None,
        "ledger_path": str(ledger.path),
        "diff": {"before": {"events": before}, "after": {"events": status.count + predicted}},
    }
