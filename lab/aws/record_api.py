"""Route 53's operations on record sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dns.rcode

from lab.aws.batches import RecordChange, apply_batch
from lab.aws.errors import invalid_input
from lab.aws.record_sets import from_api, to_api
from lab.aws.store import Store
from lab.aws.zone_api import change_info, page
from lab.dns.answers import Answerer
from lab.dns.records import RecordSet, normalise_name

Params = dict[str, Any]
MAX_PAGE = 300


class RecordApi:
    """Operations by their names in the API, in snake case."""

    def __init__(self, store: Store, answerer: Answerer, processing_seconds: Callable[[], float]) -> None:
        self._store = store
        self._answerer = answerer
        self._processing_seconds = processing_seconds

    def change_resource_record_sets(self, params: Params) -> Params:
        """ChangeResourceRecordSets: one batch, all or nothing, PENDING until it has reached the name servers."""
        batch = params["ChangeBatch"]
        changes = [_change(item) for item in batch["Changes"]]
        if not changes:
            raise invalid_input("The change batch has no changes")
        with self._store.read() as state:
            zone_id = self._store.zone(state, params["HostedZoneId"]).id
        with self._store.changing(zone_id, self._processing_seconds()), self._store.write() as state:
            zone = self._store.zone(state, zone_id)
            zone.records = apply_batch(zone.ref, zone.records, changes, state.health_checks.keys())
            return {"ChangeInfo": change_info(self._store.add_change(zone, batch.get("Comment") or ""))}

    def list_resource_record_sets(self, params: Params) -> Params:
        """ListResourceRecordSets, in DNS order (labels reversed), then type, then set identifier."""
        if params.get("StartRecordType") and not params.get("StartRecordName"):
            raise invalid_input("StartRecordType needs a StartRecordName")
        if params.get("StartRecordIdentifier") and not params.get("StartRecordType"):
            raise invalid_input("StartRecordIdentifier needs a StartRecordType")
        with self._store.read() as state:
            records = sorted(self._store.zone(state, params["HostedZoneId"]).records.values(), key=_order)
        start = sum(_order(record) < _first(params) for record in records)
        shown, following, size = page(records, start, params, MAX_PAGE)
        result: Params = {
            "ResourceRecordSets": [to_api(record) for record in shown],
            "IsTruncated": following is not None,
            "MaxItems": str(size),
        }
        if following is not None:
            coming = to_api(records[following])
            result |= {"NextRecordName": coming["Name"], "NextRecordType": coming["Type"]}
            result |= {"NextRecordIdentifier": coming["SetIdentifier"]} if "SetIdentifier" in coming else {}
        return result

    def test_dns_answer(self, params: Params) -> Params:
        """TestDNSAnswer: what the name servers say now."""
        with self._store.read() as state:
            zone = self._store.zone(state, params["HostedZoneId"])
            name_server = zone.name_servers[0]
        found = self._answerer.answer(params["RecordName"], params["RecordType"])
        return {
            "Nameserver": name_server,
            "RecordName": normalise_name(params["RecordName"]),
            "RecordType": params["RecordType"],
            "RecordData": [rdata.to_text() for rrset in found.answer for rdata in rrset],
            "ResponseCode": dns.rcode.to_text(found.rcode),
            "Protocol": "UDP",
        }


def _change(item: Params) -> RecordChange:
    action = item["Action"]
    if action not in ("CREATE", "UPSERT", "DELETE"):
        raise invalid_input(f"Invalid action '{action}': it must be CREATE, UPSERT or DELETE")
    return RecordChange(action, from_api(item["ResourceRecordSet"]))


def _order(record: RecordSet) -> tuple[list[str], str, str]:
    return (_labels(record.name), record.type, record.set_identifier or "")


def _first(params: Params) -> tuple[list[str], str, str]:
    name = params.get("StartRecordName")
    return (
        _labels(normalise_name(name)) if name else [],
        params.get("StartRecordType") or "",
        params.get("StartRecordIdentifier") or "",
    )


def _labels(name: str) -> list[str]:
    return name.rstrip(".").split(".")[::-1]
