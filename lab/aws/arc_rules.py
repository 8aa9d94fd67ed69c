"""Safety rules: what a change of routing controls has to respect, or override by the rule's ARN."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from lab.aws.arc_state import ArcError, ArcState, SafetyRule

RULE_TYPES = ("ATLEAST", "AND", "OR")


def holds(rule: SafetyRule, states: Sequence[bool]) -> bool:
    """Whether the rule's criterion is met by these states."""
    needed = {"AND": len(states), "OR": 1, "ATLEAST": rule.threshold}[rule.type]
    return (sum(states) >= needed) != rule.inverted


def check(state: ArcState, wanted: Mapping[str, bool], overridden: Collection[str], now: float) -> None:
    """Raise ConflictException for the first rule that forbids setting these controls so.

    An assertion rule looks at the states after the change, a gating rule at its gating controls before it. Neither
    allows any request within its wait period after the last change.
    """
    for rule in state.rules.values():
        guarded = rule.controls if rule.kind == "ASSERTION" else rule.targets
        if rule.arn in overridden or not set(guarded) & set(wanted):
            continue
        _check_wait(state, rule, guarded, now)
        if rule.kind == "ASSERTION":
            states = [wanted.get(arn, state.controls[arn].on) for arn in rule.controls]
            cause = "the asserted routing controls would not meet its criterion"
        else:
            states = [state.controls[arn].on for arn in rule.controls]
            cause = "its gating routing controls do not allow it"
        if not holds(rule, states):
            raise _violated(rule, cause)


def _check_wait(state: ArcState, rule: SafetyRule, guarded: Sequence[str], now: float) -> None:
    last = max((state.controls[arn].changed for arn in guarded), default=0.0)
    if now - last < rule.wait_ms / 1000:
        raise _violated(rule, f"its wait period of {rule.wait_ms} ms after the last change is not over")


def _violated(rule: SafetyRule, cause: str) -> ArcError:
    message = f"The request violates safety rule {rule.name} ({rule.arn}): {cause}."
    return ArcError("ConflictException", message, 400, resourceId=rule.arn, resourceType="SafetyRule")
