# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Climbs the proof ladder on a PostgreSQL cluster that runs: each rung asked for answers passed, failed or unverified.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import time
import typing as t

from . import needs
from .clock import Deadline
from .connections import postgres_option, record_option
from .errors import RecoveryError
from .execution import Params, Result, Specification
from .verify_completeness import completeness
from .verify_extensions import Extensions
from .verify_facts import CHEAP, capture, connectable
from .verify_freshness import freshness
from .verify_invariants import invariants
from .verify_isolated import isolated
from .verify_options import EXPECTATIONS
from .verify_pool import Pool, Progress
from .verify_rung import FAILED, UNVERIFIED, Rung, overall
from .verify_session import Limits, Session
from .verify_structure import structure

#: in this order
RUNGS = ("isolated", "structure", "completeness", "invariants", "freshness")

SPECIFICATION = Specification(
    argument_spec={
        "postgres": postgres_option(),
        "databases": {"type": "list", "elements": "str"},
        "rungs": {"type": "list", "elements": "str", "choices": list(RUNGS)},
        "expectations": {"type": "dict", "default": {}, "options": EXPECTATIONS},
        "scratch": {"type": "bool", "default": False},
        "capture": {"type": "bool", "default": False},
        "count_bytes": {"type": "int", "default": CHEAP},
        "statement_timeout": {"type": "float", "default": 600.0},
        "lock_timeout": {"type": "float", "default": 5.0},
        "timeout": {"type": "float", "default": 14400.0},
        "jobs": {"type": "int"},
        "progress_file": {"type": "path"},
        "record": record_option(),
    },
    needs=needs.all_of(needs.postgres("postgres"), needs.recorded()),
)


def run(params: Params, check_mode: bool) -> Result:
    """Return what each rung found, or the facts of the cluster. Raises RecoveryError when facts cannot be taken."""
    began = time.monotonic()
    limits = Limits(params["statement_timeout"], params["lock_timeout"], Deadline(params["timeout"]))
    if params["capture"]:
        facts = capture(params["postgres"], limits, params["databases"], params["count_bytes"])
        return _result([], [], began, facts)
    ladder = _Ladder(params, limits, check_mode)
    return _result(ladder.climb(), ladder.extensions.added, began, None)


class _Ladder:
    """One run over all rungs that were asked for."""

    def __init__(self, params: Params, limits: Limits, check_mode: bool) -> None:
        options = params["postgres"]
        self.home = options.get("database") or "postgres"
        self.scratch: bool = params["scratch"]
        self.expected: dict[str, t.Any] = params["expectations"] or {}
        asked = params["rungs"] or [name for name in RUNGS if self.scratch or name != "isolated"]
        self.rungs = [Rung(name) for name in RUNGS if name in asked]
        self.pool = Pool(
            connect=lambda database: Session(options, database, limits),
            open=lambda database: Session(options, database, limits, catalogue=False),
            jobs=params["jobs"] or os.cpu_count() or 1,
            progress=Progress(params["progress_file"]),
        )
        self.extensions = Extensions(options, limits, self.scratch, check_mode)
        self._wanted: list[str] | None = params["databases"]

    def climb(self) -> list[Rung]:
        """Return all rungs. A cluster that does not answer leaves them unverified."""
        try:
            with self.pool.connect(self.home) as session:
                existing = connectable(session)
        except RecoveryError as error:
            for rung in self.rungs:
                rung.unverified(str(error))
            return self.rungs
        chosen = [name for name in existing if self._wanted is None or name in self._wanted]
        missing = [name for name in self._wanted or () if name not in existing]
        for rung in self.rungs:
            rung.begin()
            self.pool.progress.tell(f"{rung.name}: begins", now=True)
            self._check(rung, existing, chosen, missing)
            rung.end()
            self.pool.progress.tell(f"{rung.name}: {rung.outcome}", now=True)
        return self.rungs

    def _check(self, rung: Rung, existing: list[str], chosen: list[str], missing: list[str]) -> None:
        pool, home, expected = self.pool, self.home, self.expected
        if rung.name == "isolated":
            isolated(rung, pool, home, chosen, expected)
        elif rung.name == "structure":
            checksums = expected.get("page_checksums") or "required"
            structure(rung, pool, chosen, self.extensions, self.scratch, checksums)
            for name in missing:
                rung.unverified(f"database {name} is missing: nothing of it was checked")
        elif rung.name == "completeness":
            completeness(rung, pool, home, chosen, expected, self.scratch)
            for name in missing:
                if name not in ((expected.get("facts") or {}).get("databases") or {}):
                    rung.failed(f"database {name} is missing. Restore it, or correct databases.")
        elif rung.name == "invariants":
            invariants(rung, pool, home, existing, expected)
        else:
            freshness(rung, pool, home, expected)


def _result(rungs: list[Rung], added: list[str], began: float, facts: dict[str, t.Any] | None) -> Result:
    outcome = overall([rung.outcome for rung in rungs]) if facts is None else "passed"
    problems = [f"{rung.name}: {reason}" for rung in rungs for reason in rung.reasons(FAILED)]
    unverified = [f"{rung.name}: {reason}" for rung in rungs for reason in rung.reasons(UNVERIFIED)]
    found = [rung.as_dict() for rung in rungs]
    evidence: dict[str, t.Any] = {"outcome": outcome, "rungs": found}
    if facts is not None:
        kept = ("captured", "server_version", "system_identifier", "timeline", "lsn")
        evidence = {name: facts[name] for name in kept} | {"databases": list(facts["databases"])}
    return {
        "changed": bool(added),
        "outcome": outcome,
        "rungs": found,
        "problems": problems,
        "unverified": unverified,
        "facts": facts,
        "added_extensions": added,
        "seconds": round(time.monotonic() - began, 3),
        "evidence": evidence,
    }
