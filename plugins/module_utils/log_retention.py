# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service of log_retention_info: are logs kept long enough, and do new ones still arrive?

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import typing as t

from . import aws, needs
from .bucket_protection_lifecycle import FAILED, UNVERIFIED, Check, Json, ask, name_of, overall, reasons, touching
from .clock import Deadline, to_iso, utc_now
from .connections import aws_option, record_option, store_option
from .errors import RecoveryError
from .execution import Params, Result, Specification

_WANTED: dict[str, t.Any] = {
    "minimum_days": {"type": "int", "default": 30},
    "newest_within_seconds": {"type": "float"},
}
_BUCKET = store_option()["options"]

SPECIFICATION = Specification(
    argument_spec={
        "aws": aws_option(),
        "log_groups": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"name": {"type": "str", "required": True}, **_WANTED},
        },
        "buckets": {"type": "list", "elements": "dict", "default": [], "options": {**_BUCKET, **_WANTED}},
        "timeout": {"type": "float", "default": 60.0},
        "record": record_option(),
    },
    needs=needs.all_of(
        needs.given("CloudWatch Logs", needs.CONTROL, "aws"), needs.each("S3", needs.DATA, "buckets"), needs.recorded()
    ),
)


def run(params: Params, _check_mode: bool) -> Result:
    """Ask about every log group and bucket; it changes nothing, in check mode or not."""
    checks: list[Check] = []
    if params["log_groups"]:
        logs = aws.client("logs", params["aws"] or {}, attempts=3)
        checks += [_checked(f"log group {one['name']}", _group, logs, one, params) for one in params["log_groups"]]
    for one in params["buckets"]:
        store = aws.client("s3", one, attempts=3)
        name = f"bucket {one['bucket']}" + (f"/{one['prefix']}" if one["prefix"] else "")
        checks.append(_checked(name, _bucket, store, one, params))
    outcome = overall(checks)
    told = [check.as_dict() for check in checks]
    return {
        "changed": False,
        "outcome": outcome,
        "problems": reasons(checks, FAILED),
        "unverified": reasons(checks, UNVERIFIED) or ([] if checks else ["nothing was asked for"]),
        "logs": told,
        "evidence": {"outcome": outcome, "logs": told},
    }


def _checked(
    name: str, look: t.Callable[[Check, t.Any, Json, Deadline], None], client: t.Any, wanted: Json, params: Params
) -> Check:
    check = Check(name, facts={"retention_days": None, "newest": None})
    try:
        look(check, client, wanted, Deadline(params["timeout"]))
    except RecoveryError as error:
        if error.facts.get("code") in ("NoSuchBucket", "ResourceNotFoundException"):
            check.fail("it does not exist")
        else:
            check.doubt(str(error))
    return check


def _group(check: Check, client: t.Any, wanted: Json, deadline: Deadline) -> None:
    name = wanted["name"]
    pages = _pages(client, "describe_log_groups", name, deadline, logGroupNamePrefix=name)
    group = next((one for page in pages for one in page["logGroups"] if one["logGroupName"] == name), None)
    if group is None:
        check.fail("it does not exist")
        return
    _retention(check, group.get("retentionInDays"), wanted["minimum_days"])
    if wanted["newest_within_seconds"] is not None:
        _newest_event(check, client, name, wanted["newest_within_seconds"], deadline)


def _retention(check: Check, days: int | None, minimum: int) -> None:
    """Judge a retention; none is for ever."""
    check.facts["retention_days"] = days
    if days is not None and days < minimum:
        check.fail(f"it keeps events for {days} days, not {minimum}")


def _newest_event(check: Check, client: t.Any, name: str, within: float, deadline: Deadline) -> None:
    """Look for any event in the time that counts: the streams' own newest time is up to an hour late."""
    since = utc_now() - dt.timedelta(seconds=within)
    start = int(since.timestamp() * 1000)
    for page in _pages(client, "filter_log_events", name, deadline, logGroupName=name, startTime=start):
        if page["events"]:
            newest = max(event["timestamp"] for event in page["events"]) / 1000
            check.facts["newest"] = to_iso(dt.datetime.fromtimestamp(newest, dt.UTC))
            return
    check.fail(f"no event has come since {to_iso(since)} ({within:.0f} s)")


def _bucket(check: Check, client: t.Any, wanted: Json, deadline: Deadline) -> None:
    name, prefix = wanted["bucket"], wanted["prefix"]
    held = ask(client, "get_bucket_lifecycle_configuration", f"the lifecycle of bucket {name}", Bucket=name)
    for rule in touching((held or {}).get("Rules") or [], prefix):
        expiration = rule.get("Expiration") or {}
        if expiration.get("Days"):
            days = min(filter(None, (check.facts["retention_days"], expiration["Days"])))
            check.facts["retention_days"] = days
            if expiration["Days"] < wanted["minimum_days"]:
                told = f"{name_of(rule)} removes objects after {expiration['Days']} days, not {wanted['minimum_days']}"
                check.fail(told)
        elif expiration.get("Date"):
            check.fail(f"{name_of(rule)} removes objects on {expiration['Date']:%Y-%m-%d}, however young they are")
    if wanted["newest_within_seconds"] is not None:
        _newest_object(check, client, wanted, deadline)


def _newest_object(check: Check, client: t.Any, wanted: Json, deadline: Deadline) -> None:
    newest: dt.datetime | None = None
    name, within = wanted["bucket"], wanted["newest_within_seconds"]
    for page in _pages(client, "list_objects_v2", name, deadline, Bucket=name, Prefix=wanted["prefix"]):
        for one in page.get("Contents") or []:
            newest = max(filter(None, (newest, one["LastModified"])))
    if newest is None:
        check.fail("there is no object")
        return
    check.facts["newest"] = to_iso(newest)
    age = (utc_now() - newest).total_seconds()
    if age > within:
        check.fail(f"the newest object is {age:.0f} s old, not {within:.0f}")


def _pages(client: t.Any, method: str, name: str, deadline: Deadline, **arguments: t.Any) -> t.Iterator[Json]:
    """Yield the pages of a list, as long as there is time. Raises RecoveryError."""
    token = "ContinuationToken" if method == "list_objects_v2" else "nextToken"
    following: Json = {}
    while True:
        page = ask(client, method, name, **arguments, **following) or {}
        yield page
        next_token = page.get("NextContinuationToken") or page.get("nextToken")
        if not next_token:
            return
        if deadline.expired:
            raise RecoveryError(f"Timed out after {deadline.seconds:g} s reading {name}. Raise timeout.")
        following = {token: next_token}
