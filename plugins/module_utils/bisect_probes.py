# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks the plan's probes at one moment: good, bad, or nobody can tell.

PRIVATE to the collection.
"""

from __future__ import annotations

import decimal
import typing as t
from dataclasses import dataclass

from .errors import RecoveryError, Refused, failed
from .sql import SqlFailed
from .verify_facts import connectable
from .verify_invariants import value_of
from .verify_rung import FAILED, PASSED, Rung
from .verify_session import MISSING, Limits, Session

Probe = t.Mapping[str, t.Any]

PROBE: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "database": {"type": "str", "default": "postgres"},
    "query": {"type": "str", "required": True},
    "expect": {"type": "str"},
    "minimum": {"type": "float"},
    "maximum": {"type": "float"},
    "missing": {"type": "str", "choices": ["bad", "good"]},
}


class Unanswered(RecoveryError):
    """A probe could not be asked: of that moment nothing is known."""


@dataclass(frozen=True)
class Answer:
    """What the probes say of one moment, with the reasons where it is bad."""

    good: bool
    reasons: tuple[str, ...] = ()


def require_bounds(probes: t.Sequence[Probe]) -> None:
    """Raise Refused for a probe that expects nothing, and where there is none."""
    if not probes:
        raise Refused(
            failed("search", "the moment", "there is no probe", "Name a query whose answer the damage changed.")
        )
    for probe in probes:
        if all(probe.get(name) is None for name in ("expect", "minimum", "maximum")):
            remedy = "Give expect, minimum or maximum."
            raise Refused(failed("ask", f"probe {probe['name']}", "it says of no answer that it is good", remedy))


def ask(options: t.Mapping[str, t.Any], probes: t.Sequence[Probe], missing: str, limits: Limits) -> Answer:
    """Ask all of them; the moment is good where all are.

    `missing` says what a table, column or database that is not there means, unless the probe does. Raises Unanswered.
    """
    rung = Rung("probes")
    try:
        with Session(options, "template1", limits) as session:
            databases = connectable(session)
    except RecoveryError as error:
        raise Unanswered(str(error)) from error
    for probe in probes:
        _ask_one(rung, options, probe, databases, probe.get("missing") or missing, limits)
    if rung.outcome not in (PASSED, FAILED) or rung.reasons("unverified"):
        raise Unanswered("; ".join(rung.reasons("unverified")))
    return Answer(rung.outcome == PASSED, tuple(rung.reasons(FAILED)))


def _ask_one(
    rung: Rung, options: t.Mapping[str, t.Any], probe: Probe, databases: t.Container[str], missing: str, limits: Limits
) -> None:
    what = f"{probe['database']}: {probe['name']}"
    if probe["database"] not in databases:
        if missing == "bad":
            rung.failed(f"{what}: there is no such database")
        return
    try:
        with Session(options, probe["database"], limits, catalogue=False) as session:
            found = value_of(rung, session, what, probe["query"])
    except RecoveryError as error:
        if missing == "good" and isinstance(error, SqlFailed) and error.sqlstate in MISSING:
            return
        rung.caught(what, error, failing=MISSING)
        return
    if found is None:
        return
    if len(found) != 1:
        rung.failed(f"{what}: the query returned {len(found) or 'no'} rows, one was expected")
        return
    _judge(rung, what, probe, "NULL" if found[0][1] else str(found[0][0]))


def _judge(rung: Rung, what: str, probe: Probe, value: str) -> None:
    if probe.get("expect") is not None and value != str(probe["expect"]):
        rung.failed(f"{what}: {value}, expected {probe['expect']}")
    least, most = probe.get("minimum"), probe.get("maximum")
    if least is None and most is None:
        return
    try:
        number = decimal.Decimal(value)
    except decimal.InvalidOperation:
        if value == "NULL":
            rung.failed(f"{what}: NULL, a number was expected")
        else:
            rung.unverified(f"{what}: {value!r} is no number. Correct the query, or use expect.")
        return
    if (least is not None and number < least) or (most is not None and number > most):
        span = (
            f"at least {least:g}"
            if most is None
            else f"at most {most:g}"
            if least is None
            else f"{least:g} to {most:g}"
        )
        rung.failed(f"{what}: {value}, expected {span}")
