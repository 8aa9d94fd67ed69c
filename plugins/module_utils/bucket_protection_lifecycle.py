# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a bucket's lifecycle rules do to the objects below a prefix, and one question to S3 with its three answers.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .errors import RecoveryError, Unreachable, failed

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = type("BotoCoreError", (Exception,), {})  # type: ignore[assignment,misc]
    ClientError = type("ClientError", (Exception,), {})  # type: ignore[assignment,misc]

Json = dict[str, t.Any]

PASSED, FAILED, UNVERIFIED = "passed", "failed", "unverified"
#: Answers that say "nothing of that is set", by S3 and by what speaks like it.
_NOTHING_SET = (
    "NoSuchLifecycleConfiguration",
    "ReplicationConfigurationNotFoundError",
    "ObjectLockConfigurationNotFoundError",
    "NoSuchPublicAccessBlockConfiguration",
)


@dataclass
class Check:
    """One answer. `facts` are JSON-safe."""

    name: str
    outcome: str = PASSED
    reasons: list[str] = field(default_factory=list)
    facts: Json = field(default_factory=dict)

    def fail(self, reason: str) -> None:
        """Note a defect, which outweighs everything."""
        self.outcome = FAILED
        self.reasons.append(reason)

    def doubt(self, reason: str) -> None:
        """Note what could not be seen."""
        self.outcome = FAILED if self.outcome == FAILED else UNVERIFIED
        self.reasons.append(reason)

    def as_dict(self) -> Json:
        """Return {check, outcome, reasons} and the facts."""
        return {"check": self.name, "outcome": self.outcome, "reasons": self.reasons, **self.facts}


def overall(checks: t.Iterable[Check]) -> str:
    """Return failed if one failed, else unverified if one is, or there is none, else passed."""
    found = {check.outcome for check in checks}
    return FAILED if FAILED in found else PASSED if found == {PASSED} else UNVERIFIED


def reasons(checks: t.Iterable[Check], outcome: str) -> list[str]:
    """Return the reasons of the checks with that outcome."""
    return [f"{check.name}: {reason}" for check in checks if check.outcome == outcome for reason in check.reasons]


def ask(client: t.Any, method: str, what: str, **arguments: t.Any) -> Json | None:
    """Ask an AWS API; None where nothing of that is set. Raises RecoveryError: what was asked for is not known."""
    try:
        return getattr(client, method)(**arguments)
    except ClientError as error:
        told = error.response.get("Error", {})
        code = str(told.get("Code", ""))
        if code in _NOTHING_SET:
            return None
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        cause = f"{code}: {told.get('Message') or 'no more is said'}"
        remedy = "Check what its credentials may do." if status in (401, 403) else ""
        raise RecoveryError(failed("read", what, cause, remedy), code=code, status=status) from error
    except BotoCoreError as error:
        remedy = "Check the endpoint, the network to it and the credentials."
        raise Unreachable(failed("read", what, error, remedy)) from error


def prefix_of(rule: Json) -> str:
    """Return the prefix that a lifecycle or replication rule is for."""
    scope = rule.get("Filter") or {}
    return str(scope.get("Prefix") or (scope.get("And") or {}).get("Prefix") or rule.get("Prefix") or "")


def touching(rules: t.Iterable[Json], prefix: str) -> list[Json]:
    """Return the enabled rules that apply to some object below `prefix`."""
    enabled = [rule for rule in rules if rule.get("Status") == "Enabled"]
    return [rule for rule in enabled if prefix.startswith(prefix_of(rule)) or prefix_of(rule).startswith(prefix)]


def expiry(rule: Json) -> str:
    """Say when a rule removes current objects, or nothing where it does not."""
    told = rule.get("Expiration") or {}
    if told.get("Days"):
        return f"after {told['Days']} days"
    return f"on {told['Date']:%Y-%m-%d}" if told.get("Date") else ""


def name_of(rule: Json) -> str:
    """Return what a rule is called in messages."""
    return f"rule {rule.get('ID') or 'without a name'}" + (f" ({prefix_of(rule)}*)" if prefix_of(rule) else "")
