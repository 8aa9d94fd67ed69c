# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a plan is the one that was approved: what the module recovery_plan does.

An approval that was accepted stays good for as long as its own run is under way: what that run has changed is no
drift. The ledger says so, by an effect that it recorded after the acceptance.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import needs
from .connections import record_option
from .errors import RecoveryError, Refused
from .execution import Params, Result, Specification
from .ledger import Ledger
from .ledger_event import Event, plain
from .plan_changes import changes, summary
from .plan_token import SHAPE, STEPS, Plan, Token

KINDS = ("failover", "switchover", "failback", "commit", "rollback")
#: phases that change something: an intent in one of them, and the plan is under way
_ACTING = ("isolate", "recover", "validate", "close")

SPECIFICATION = Specification(
    argument_spec={
        "incident": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": list(KINDS), "required": True},
        "regions": {
            "type": "dict",
            "required": True,
            "options": {"source": {"type": "str", "required": True}, "target": {"type": "str", "required": True}},
        },
        "steps": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "name": {"type": "str", "required": True},
                "object": {"type": "str", "required": True},
                "from": {"type": "str", "default": ""},
                "to": {"type": "str", "default": ""},
            },
        },
        "observed": {"type": "dict", "required": True},
        "approval": {"type": "str", "default": ""},
        "required": {"type": "bool", "default": False},
        "record": record_option(),
    },
    needs=needs.recorded(),
)


def run(params: Params, check_mode: bool) -> Result:
    """Serve the module recovery_plan. Raises Refused where the plan may not be carried out."""
    return Approval(params, check_mode).run()


class Approval:
    """One plan, and the approval that was given for it or was not."""

    def __init__(self, params: Params, check_mode: bool) -> None:
        steps = params["steps"]
        self.plan = Plan(params["incident"], params["kind"], params["regions"], steps, params["observed"])
        self.given = (params.get("approval") or "").strip()
        self.required = bool(params["required"])
        self.record: dict[str, t.Any] | None = params.get("record")
        self.check_mode = check_mode
        self.drifted: list[str] = []
        self.approved = False
        self.resumed = False
        self.before: dict[str, t.Any] | None = None
        if not steps:
            raise Refused(
                f"Failed to plan the {params['kind']} of {params['incident']}: it has no step. List its steps."
            )

    def run(self) -> Result:
        """Return the module's result."""
        try:
            self._check()
        except RecoveryError as error:
            error.facts = {**self.result(), **error.facts}
            raise
        return self.result()

    def _check(self) -> None:
        if not self.given:
            if self.required and not self._under_way(None) and not self.check_mode:
                raise Refused(f"Failed to go on without an approval of {self._what}. {self._remedy}")
            return
        token = Token.parse(self.given)
        self.given = str(token)
        if token.incident != self.plan.incident:
            raise Refused(
                f"Failed to accept the approval of {self._what}: it was given for incident {token.incident}. "
                f"Nothing was changed. {self._remedy}"
            )
        drifted = self.plan.drifted(token)
        if not drifted:
            self.approved = True
        elif not self._under_way(token):
            self.drifted = drifted
            raise Refused(
                f"Failed to accept the approval of {self._what}: since it was approved, this has changed: "
                f"{self._told(token)}. Nothing was changed. {self._remedy}"
            )

    @property
    def _what(self) -> str:
        plan = self.plan
        return f"the {plan.kind} {plan.regions['source']} to {plan.regions['target']} of incident {plan.incident}"

    @property
    def _remedy(self) -> str:
        return (
            "Look at the plan as it is now (--check --diff), have it approved, then run again with "
            f"-e dr_approval={self.plan.token()}"
        )

    def _under_way(self, token: Token | None) -> bool:
        """True when the ledger has this approval, any where none is named, as accepted, and effects after it."""
        accepted = ""
        for event in self._events():
            evidence = _evidence(event)
            if evidence.get("approved") and evidence.get("kind") == self.plan.kind and event.state == "verified":
                accepted = str(evidence.get("approval"))
            elif accepted and _acts(event) and (token is None or accepted == str(token)) and self._still_ours(accepted):
                self.approved = self.resumed = True
                self.given = accepted
                return True
        return False

    def _still_ours(self, accepted: str) -> bool:
        """False where somebody moved the leases since: what this incident did is undone, and to do it again is new.

        Before its own claim they stand as they were approved; after it the target holds one at least.
        """
        if "leases" not in self.plan.drifted(Token.parse(accepted)):
            return True
        target = self.plan.regions["target"]
        return any(lease.get("holder") == target for lease in self.plan.observed.get("leases") or [])

    def _told(self, token: Token) -> str:
        """Return the names of the sections that drifted and, where the approved plan is known, what changed."""
        if self.drifted == [SHAPE]:
            return "the sections of the plan, as by another version of this collection"
        now = self.plan.sections()
        approved = self._approved_plan(token)
        self.before = approved
        # The steps follow from what was observed: named for themselves only where nothing else says why.
        names = [name for name in self.drifted if name != STEPS] or self.drifted
        if approved is None:
            return f"{', '.join(names)} (what it was is in the output of the --check that was approved)"
        lines = {name: changes(approved.get(name), plain({name: now[name]})[name]) for name in names}
        return "; ".join(f"{name}: {summary(found)}" for name, found in lines.items())

    def _approved_plan(self, token: Token) -> dict[str, t.Any] | None:
        """Return the sections of the plan that was approved, where a run recorded it."""
        for event in reversed(self._events()):
            evidence = _evidence(event)
            if evidence.get("plan_hash") == str(token):
                return dict(evidence.get("plan") or {})
        return None

    def _events(self) -> list[Event]:
        """Return the incident's story so far. Where it cannot be read there is none: nothing is taken as approved."""
        if not self.record:
            return []
        try:
            return Ledger.from_record(self.record).read()
        except RecoveryError:
            return []

    def result(self) -> Result:
        """Return every return value, as far as it is known."""
        token, now = str(self.plan.token()), self.plan.sections()
        story = {"kind": self.plan.kind, "approval": self.given, "approved": self.approved, "resumed": self.resumed}
        return {
            "changed": False,
            "plan_hash": token,
            "sections": self.plan.digests(),
            "required": self.required,
            "approved": self.approved,
            "resumed": self.resumed,
            "drifted": self.drifted,
            "evidence": {**story, "plan_hash": token, "drifted": self.drifted, "plan": now},
            "diff": {"before": now if self.before is None else self.before, "after": now},
        }


def _acts(event: Event) -> bool:
    return event.phase in _ACTING and event.state in ("intent", "effect", "verified")


def _evidence(event: Event) -> dict[str, t.Any]:
    found = event.data.get("evidence") if event.step == "recovery_plan" else None
    return found if isinstance(found, dict) else {}
