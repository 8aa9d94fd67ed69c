# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service of s3_bucket_protection: what keeps a bucket's objects, checked, and set where S3 can be told.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import aws, needs
from .bucket_protection_lifecycle import (
    FAILED,
    UNVERIFIED,
    Check,
    Json,
    ask,
    expiry,
    name_of,
    overall,
    prefix_of,
    reasons,
    touching,
)
from .bucket_protection_replication import Bucket, observe
from .connections import record_option, store_option
from .errors import RecoveryError, failed
from .execution import Params, Result, Specification

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = type("BotoCoreError", (Exception,), {})  # type: ignore[assignment,misc]
    ClientError = type("ClientError", (Exception,), {})  # type: ignore[assignment,misc]

#: The one lifecycle rule that is ours.
RULE = "terragon-disaster-recovery"
_ABORT_DAYS = 7

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["checked", "present"], "default": "checked"},
        "store": store_option(required=True),
        "replica": store_option(),
        "retention_days": {"type": "int", "default": 30},
        "replication": {"type": "str", "choices": ["none", "observed", "configured"], "default": "observed"},
        "newest": {"type": "int", "default": 100},
        "maximum_lag_seconds": {"type": "float", "default": 900.0},
        "object_lock": {"type": "bool", "default": False},
        "public_access_blocked": {"type": "bool", "default": False},
        "record": record_option(),
    },
    required_if=[("replication", "observed", ["replica"]), ("replication", "configured", ["replica"])],
    needs=needs.all_of(needs.store(), needs.store("replica"), needs.recorded()),
)


class Protection:
    """One bucket, asked about each of its protections."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.bucket: str = params["store"]["bucket"]
        self.prefix: str = params["store"].get("prefix") or ""
        self.client = aws.client("s3", params["store"], attempts=3)

    def checks(self) -> list[Check]:
        """Answer everything that was asked for."""
        asked = [self._checked("versioning", self._versioning), self._checked("lifecycle", self._lifecycle)]
        if self.params["replication"] != "none":
            asked.append(self._replication())
        if self.params["replication"] == "configured":
            asked.append(self._checked("replication_configuration", self._configured))
        if self.params["object_lock"]:
            asked.append(self._checked("object_lock", self._object_lock))
        if self.params["public_access_blocked"]:
            asked.append(self._checked("public_access", self._public_access))
        return asked

    def versioning(self) -> str:
        """Return Enabled, Suspended, or an empty text where it never was."""
        return str((self._ask("get_bucket_versioning", "versioning") or {}).get("Status") or "")

    def rules(self) -> list[Json]:
        """Return the lifecycle rules."""
        return (self._ask("get_bucket_lifecycle_configuration", "lifecycle") or {}).get("Rules") or []

    def _ask(self, method: str, what: str) -> Json | None:
        return ask(self.client, method, f"the {what} of bucket {self.bucket}", Bucket=self.bucket)

    def _checked(self, name: str, look: t.Callable[[Check], None]) -> Check:
        check = Check(name)
        try:
            look(check)
        except RecoveryError as error:
            if error.facts.get("code") == "NoSuchBucket":
                check.fail(f"there is no bucket {self.bucket}")
            else:
                check.doubt(str(error))
        return check

    def _versioning(self, check: Check) -> None:
        status = self.versioning()
        check.facts = {"status": status}
        if status != "Enabled":
            check.fail(f"it is {status.lower() or 'off'} in bucket {self.bucket}: what is overwritten is lost")

    def _lifecycle(self, check: Check) -> None:
        wanted = self.params["retention_days"]
        rules = touching(self.rules(), self.prefix)
        check.facts = {"rules": [str(rule.get("ID") or "") for rule in rules]}
        for rule in rules:
            if when := expiry(rule):
                check.fail(f"{name_of(rule)} expires current versions {when}")
            days = (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays")
            if days is not None and days < wanted:
                check.fail(f"{name_of(rule)} removes noncurrent versions after {days} days, not {wanted}")

    def _replication(self) -> Check:
        replica = self.params["replica"]
        there = Bucket(aws.client("s3", replica, attempts=3), replica)
        here = Bucket(self.client, self.params["store"])
        return observe(here, there, self.params["newest"], self.params["maximum_lag_seconds"])

    def _configured(self, check: Check) -> None:
        held = self._ask("get_bucket_replication", "replication") or {}
        rules = (held.get("ReplicationConfiguration") or {}).get("Rules") or []
        arn = f"arn:aws:s3:::{self.params['replica']['bucket']}"
        fitting = [
            rule
            for rule in rules
            if rule.get("Status") == "Enabled" and (rule.get("Destination") or {}).get("Bucket") == arn
        ]
        if not fitting:
            check.fail(f"bucket {self.bucket} has no enabled rule that replicates to {arn}")
        elif not any(self.prefix.startswith(prefix_of(rule)) for rule in fitting):
            check.fail(f"no rule replicates everything below {self.prefix or 'the bucket'}")

    def _object_lock(self, check: Check) -> None:
        held = (self._ask("get_object_lock_configuration", "object lock") or {}).get("ObjectLockConfiguration") or {}
        if held.get("ObjectLockEnabled") != "Enabled":
            check.fail(f"it is off in bucket {self.bucket}: whoever may delete versions can delete all of them")

    def _public_access(self, check: Check) -> None:
        held = (self._ask("get_public_access_block", "public access block") or {}).get("PublicAccessBlockConfiguration")
        names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        if missing := [name for name in names if not (held or {}).get(name)]:
            check.fail(f"bucket {self.bucket} does not have {', '.join(missing)}")

    def put(self, method: str, what: str, **arguments: t.Any) -> None:
        """Set something. Raises RecoveryError."""
        try:
            getattr(self.client, method)(Bucket=self.bucket, **arguments)
        except (ClientError, BotoCoreError) as error:
            remedy = "Check that the bucket exists, and what the credentials may do."
            raise RecoveryError(failed("set", f"the {what} of bucket {self.bucket}", error, remedy)) from error


def run(params: Params, check_mode: bool) -> Result:
    """Check; with state present, set versioning and the lifecycle rule first."""
    protection = Protection(params)
    before: Json = {}
    after: Json = {}
    if params["state"] == "present":
        before, after = _set(protection, params["retention_days"], check_mode)
    checks = protection.checks()
    outcome = overall(checks)
    evidence = {"bucket": protection.bucket, "outcome": outcome, "checks": [check.as_dict() for check in checks]}
    return {
        "changed": before != after,
        "outcome": outcome,
        "problems": reasons(checks, FAILED),
        "unverified": reasons(checks, UNVERIFIED),
        "checks": evidence["checks"],
        "diff": {"before": before, "after": after},
        "evidence": evidence,
    }


def _set(protection: Protection, days: int, check_mode: bool) -> tuple[Json, Json]:
    """Set what is not so yet; return what was, and what is. Rules of others stay as they are."""
    rules, status = protection.rules(), protection.versioning()
    ours = {
        "ID": RULE,
        "Status": "Enabled",
        "Filter": {"Prefix": protection.prefix},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABORT_DAYS},
    }
    old = next((rule for rule in rules if rule.get("ID") == RULE), None)
    before = {"versioning": status, "lifecycle_rule": _essence(old) if old else {}}
    after = {"versioning": "Enabled", "lifecycle_rule": _essence(ours)}
    if check_mode:
        return before, after
    if status != "Enabled":  # first: without it the rule would keep nothing
        protection.put("put_bucket_versioning", "versioning", VersioningConfiguration={"Status": "Enabled"})
    if before["lifecycle_rule"] != after["lifecycle_rule"]:
        others = [rule for rule in rules if rule.get("ID") != RULE]
        configuration = {"Rules": [*others, ours]}
        protection.put("put_bucket_lifecycle_configuration", "lifecycle", LifecycleConfiguration=configuration)
    return before, after


def _essence(rule: Json) -> Json:
    """Return what of a rule counts, however a server writes it back."""
    return {
        "enabled": rule.get("Status") == "Enabled",
        "prefix": prefix_of(rule),
        "noncurrent_days": (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays"),
        "abort_days": (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation"),
    }
