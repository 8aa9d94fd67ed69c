# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Route 53's API with the retries it asks for: zones, the record sets of a name, change batches, INSYNC.

PRIVATE to the collection.
"""

from __future__ import annotations

import datetime as dt
import random
import re
import typing as t
from dataclasses import dataclass

from . import aws
from .clock import Deadline, utc_now
from .errors import RecoveryError, Refused, TimedOut, Unreachable, failed
from .traffic_records import RecordSet, normalise_name

try:
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = ClientError = ConnectionError = HTTPClientError = Exception  # type: ignore[assignment,misc]

RETRIED = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "PriorRequestNotComplete")
CREDENTIALS = ("InvalidClientTokenId", "SignatureDoesNotMatch", "AccessDenied", "ExpiredToken", "IncompleteSignature")
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
ZONE_ID = re.compile(r"(/hostedzone/)?(?P<id>Z[A-Z0-9]{3,})")


@dataclass(frozen=True)
class Zone:
    """One hosted zone; `name` with its closing dot."""

    id: str
    name: str

    def __str__(self) -> str:
        return f"hosted zone {self.name} ({self.id})"


@dataclass
class Change:
    """One change batch on its way. Times in UTC; `seconds` from submission to INSYNC, None until then."""

    id: str
    zone: Zone
    status: str
    submitted: dt.datetime
    insync: dt.datetime | None = None
    seconds: float | None = None


class Route53:
    """Calls are repeated with jittered backoff while Route 53 throttles or fails, up to `timeout` seconds each."""

    def __init__(self, options: t.Mapping[str, t.Any], timeout: float) -> None:
        self._client = aws.client("route53", options)
        self._timeout = timeout

    def zone(self, name_or_id: str) -> Zone:
        """Return the hosted zone. Raises Refused where there is none, or several public ones of that name."""
        match = ZONE_ID.fullmatch(name_or_id)
        if match:
            return self._zone_by_id(match["id"])
        name = normalise_name(name_or_id)
        answer = self._call("find", f"hosted zone {name}", "list_hosted_zones_by_name", DNSName=name, MaxItems="10")
        zones = [one for one in answer["HostedZones"] if normalise_name(one["Name"]) == name]
        public = [one for one in zones if not one.get("Config", {}).get("PrivateZone")]
        if len(public) != 1:
            found = "there is none of that name" if not public else f"there are {len(public)} public ones of that name"
            remedy = "Create it." if not public else "Name the zone by its id."
            raise Refused(failed("find", f"hosted zone {name}", found, remedy))
        return Zone(public[0]["Id"].rpartition("/")[2], name)

    def _zone_by_id(self, zone_id: str) -> Zone:
        answer = self._call("find", f"hosted zone {zone_id}", "get_hosted_zone", Id=zone_id)
        return Zone(zone_id, normalise_name(answer["HostedZone"]["Name"]))

    def record_sets(self, zone: Zone, name: str) -> list[RecordSet]:
        """Return every record set of one name; reads no more of the zone than that."""
        found: list[RecordSet] = []
        start: dict[str, t.Any] = {"StartRecordName": name}
        while True:
            answer = self._call(
                "read", f"{name} in {zone}", "list_resource_record_sets", HostedZoneId=zone.id, MaxItems="100", **start
            )
            page = answer["ResourceRecordSets"]
            found += [one for one in page if normalise_name(one["Name"]) == name]
            if not answer["IsTruncated"] or normalise_name(answer["NextRecordName"]) != name:
                return found
            start = {"StartRecordName": name, "StartRecordType": answer["NextRecordType"]}
            if answer.get("NextRecordIdentifier"):
                start["StartRecordIdentifier"] = answer["NextRecordIdentifier"]

    def record_sets_of(self, zone: Zone, names: t.Iterable[str]) -> dict[str, list[RecordSet]]:
        """Return every record set of each name. Names that stand close together in the zone cost one call."""
        wanted = sorted(set(names), key=lambda name: name.split(".")[::-1])  # much as the API lists them
        known: dict[str, list[RecordSet]] = {}
        for name in wanted:
            if name not in known:
                known |= self._page_from(zone, name)
        return {name: known[name] for name in wanted}

    def _page_from(self, zone: Zone, name: str) -> dict[str, list[RecordSet]]:
        """Return the record sets of one name, and of those after it that came with them as a whole."""
        answer = self._call(
            "read",
            f"{name} in {zone}",
            "list_resource_record_sets",
            HostedZoneId=zone.id,
            MaxItems="300",
            StartRecordName=name,
        )
        found: dict[str, list[RecordSet]] = {name: []}
        for one in answer["ResourceRecordSets"]:
            found.setdefault(normalise_name(one["Name"]), []).append(one)
        if answer["IsTruncated"]:
            cut = normalise_name(answer["NextRecordName"])
            if cut == name:
                return {name: self.record_sets(zone, name)}
            found.pop(cut, None)
        return found

    def has_health_check(self, check_id: str) -> bool:
        """Whether a health check exists."""
        try:
            self._call("find", f"health check {check_id}", "get_health_check", HealthCheckId=check_id)
        except Refused:
            return False
        return True

    def upsert(self, zone: Zone, record_sets: t.Sequence[RecordSet], comment: str) -> Change:
        """Submit one batch, all or nothing. UPSERT, so that repeating a call of unknown outcome does no harm."""
        return self._submit(zone, [{"Action": "UPSERT", "ResourceRecordSet": one} for one in record_sets], comment)

    def _submit(self, zone: Zone, changes: list[dict[str, t.Any]], comment: str) -> Change:
        names = ", ".join(sorted({one["ResourceRecordSet"]["Name"] for one in changes}))
        answer = self._call(
            "change",
            f"{names} in {zone}",
            "change_resource_record_sets",
            HostedZoneId=zone.id,
            ChangeBatch={"Comment": comment[:256], "Changes": changes},
        )
        info = answer["ChangeInfo"]
        return Change(info["Id"].rpartition("/")[2], zone, info["Status"], utc_now())

    def wait_insync(self, change: Change, deadline: Deadline) -> None:
        """Poll until the change has reached every name server; fills `status`, `insync` and `seconds`."""
        taken = Deadline(deadline.seconds)
        pause = FIRST_PAUSE_SECONDS
        while change.status != "INSYNC":
            if deadline.expired:
                raise TimedOut(
                    f"Timed out after {deadline.seconds:g} s waiting for change {change.id} of {change.zone} "
                    f"to be INSYNC: it is {change.status}. It may still arrive; run again to see."
                )
            deadline.rest(pause)
            pause = min(pause * 1.5, 2.0)
            answer = self._call("read", f"change {change.id} of {change.zone}", "get_change", Id=change.id)
            change.status = answer["ChangeInfo"]["Status"]
        change.insync = utc_now()
        change.seconds = round(taken.elapsed, 3)

    def _call(self, verb: str, what: str, operation: str, **arguments: t.Any) -> t.Any:
        deadline = Deadline(self._timeout)
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return getattr(self._client, operation)(**arguments)
            except (BotoCoreError, ClientError) as error:
                if not _worth_repeating(error):
                    raise _final(verb, what, error) from error
                if deadline.expired:
                    tried = f"still so after {self._timeout:g} s of retries: {error}"
                    raise Unreachable(failed(verb, what, tried, "Run again when the API answers.")) from error
            deadline.rest(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _worth_repeating(error: Exception) -> bool:
    response = getattr(error, "response", None)
    if response is None:
        return isinstance(error, (ConnectionError, HTTPClientError))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return response.get("Error", {}).get("Code") in RETRIED or (status >= 500 and status != 501)


def _final(verb: str, what: str, error: Exception) -> RecoveryError:
    response = getattr(error, "response", None)
    if response is None:
        return Unreachable(failed(verb, what, error, "Check aws.endpoint_url and the credentials."))
    code, message = response["Error"].get("Code", ""), response["Error"].get("Message", "")
    if code in CREDENTIALS:
        return RecoveryError(failed(verb, what, f"{code}: {message}", "Check the credentials and their rights."))
    kind = Refused if code.startswith(("NoSuch", "Invalid")) else RecoveryError
    return kind(failed(verb, what, f"{code}: {message}"))
