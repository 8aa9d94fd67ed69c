# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the incident_report module does: compute the report, write it with the ledger beside it, draw the table.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t
from pathlib import Path

from . import needs
from .connections import store_option
from .errors import RecoveryError, failed
from .execution import Params, Result, Specification
from .ledger import Ledger
from .ledger_status import status_of
from .report import Report, Sources, build
from .report_measurement import Measurement
from .report_table import render

SPECIFICATION = Specification(
    argument_spec={
        "incident": {"type": "str", "required": True},
        "mode": {"type": "str", "choices": ["incident", "drill"], "default": "incident"},
        "directory": {"type": "path", "required": True},
        "store": store_option(),
        "drill": {"type": "str"},
        "measurement": {"type": "path"},
        "objectives": {"type": "dict"},
        "output": {"type": "path"},
    },
    needs=needs.store(),
)


def run(params: Params, check_mode: bool) -> Result:
    """Return {changed, verdict, report, table, report_path, ledger_copy, diff}. Raises RecoveryError."""
    ledger = Ledger.from_record(params)
    report = _report(ledger, params)
    output = Path(params["output"]) if params.get("output") else None
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    before = _before(output)
    changed = output is not None and before != text
    copy = output.with_name("ledger.jsonl") if output else None
    if output is not None and copy is not None and not check_mode:
        _write(output, text.encode())
        _write(copy, _ledger_bytes(ledger))
    return {
        "changed": changed,
        "incident": ledger.incident,
        "verdict": report["verdict"],
        "report": report,
        "table": render(report, str(output) if output else None, str(copy or ledger.path)),
        "report_path": str(output) if output else None,
        "ledger_copy": str(copy) if copy else None,
        "diff": {"before": {"verdict": _verdict(before)}, "after": {"verdict": report["verdict"]}},
    }


def _report(ledger: Ledger, params: Params) -> Report:
    verification = ledger.verify()
    if not verification.events:
        reasons = [*map(str, verification.problems), *verification.unverified]
        what = f"the report of incident {ledger.incident}"
        remedy = "Name the directory or store that holds its ledger."
        raise RecoveryError(failed("compute", what, "; ".join(reasons), remedy))
    measurement = Measurement.read(params["measurement"]) if params.get("measurement") else None
    objectives = params.get("objectives") or status_of(verification.events).objectives or {}
    return build(Sources(verification, measurement, objectives, params.get("drill")))


def _ledger_bytes(ledger: Ledger) -> bytes:
    """Return the local file as it is, or, on a machine that has none, the store's events."""
    if ledger.path.exists():
        return ledger.path.read_bytes()
    return b"".join(event.to_bytes() + b"\n" for event in ledger.read())


def _before(output: Path | None) -> str:
    if output is None:
        return ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return output.read_text(encoding="utf-8")
    return ""


def _verdict(text: str) -> t.Any:
    with contextlib.suppress(ValueError, AttributeError):
        return json.loads(text).get("verdict")
    return None


def _write(path: Path, body: bytes) -> None:
    """Replace a file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(body)
        temporary.replace(path)
    except OSError as error:
        remedy = "Name another output, or make room there."
        raise RecoveryError(failed("write", f"the report {path}", error.strerror or error, remedy)) from error
