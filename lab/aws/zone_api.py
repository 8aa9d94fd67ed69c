"""Route 53's operations on hosted zones, their changes and tags."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lab.aws.errors import ApiError, invalid_input, not_found
from lab.aws.state import Change, State, Zone
from lab.aws.store import Store
from lab.dns.records import normalise_name

Params = dict[str, Any]
MAX_PAGE = 100


def change_info(change: Change) -> Params:
    """A ChangeInfo."""
    info = {
        "Id": f"/change/{change.id}",
        "Status": change.status,
        "SubmittedAt": datetime.fromtimestamp(change.submitted, UTC),
    }
    return info | ({"Comment": change.comment} if change.comment else {})


def page(items: list[Any], start: int, params: Params, largest: int = MAX_PAGE) -> tuple[list[Any], int | None, int]:
    """One page of a list: its items, the index where the next page starts (None at the end), and the page size."""
    try:
        size = int(params.get("MaxItems") or largest)
    except ValueError:
        raise invalid_input(f"MaxItems must be a number, not {params['MaxItems']!r}") from None
    if size < 1:
        raise invalid_input("MaxItems must be at least 1")
    size = min(size, largest)
    following = start + size if start + size < len(items) else None
    return items[start : start + size], following, size


def start_after_marker(ids: list[str], marker: str | None) -> int:
    """The index that a marker (the id of the page's first item) stands for."""
    if not marker:
        return 0
    if marker not in ids:
        raise invalid_input(f"The marker {marker} is not valid")
    return ids.index(marker)


class ZoneApi:
    """Operations by their names in the API, in snake case."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create_hosted_zone(self, params: Params) -> Params:
        """CreateHostedZone, public zones only."""
        config = params.get("HostedZoneConfig") or {}
        if params.get("VPC") or config.get("PrivateZone"):
            raise invalid_input("The lab's Route 53 serves public hosted zones only")
        name, reference = normalise_name(params["Name"]), params["CallerReference"]
        with self._store.write() as state:
            if any(zone.caller_reference == reference for zone in state.zones.values()):
                message = f"A hosted zone has already been created with the specified caller reference {reference}."
                raise ApiError("HostedZoneAlreadyExists", message, 409)
            zone = self._store.add_zone(name, reference, config.get("Comment", ""))
            change = self._store.add_change(zone)
            return {
                "HostedZone": _zone_to_api(zone),
                "ChangeInfo": change_info(change),
                "DelegationSet": {"NameServers": zone.name_servers},
                "Location": f"https://route53.amazonaws.com/2013-04-01/hostedzone/{zone.id}",
            }

    def get_hosted_zone(self, params: Params) -> Params:
        """GetHostedZone."""
        with self._store.read() as state:
            zone = self._store.zone(state, params["Id"])
            return {"HostedZone": _zone_to_api(zone), "DelegationSet": {"NameServers": zone.name_servers}}

    def list_hosted_zones(self, params: Params) -> Params:
        """ListHostedZones."""
        with self._store.read() as state:
            zones = [] if params.get("HostedZoneType") == "PrivateHostedZone" else list(state.zones.values())
            marker = params.get("Marker")
            start = start_after_marker([zone.id for zone in zones], marker)
            shown, following, size = page(zones, start, params)
            result: Params = {
                "HostedZones": [_zone_to_api(zone) for zone in shown],
                "Marker": marker or "",
                "IsTruncated": following is not None,
                "MaxItems": str(size),
            }
            return result | ({} if following is None else {"NextMarker": zones[following].id})

    def list_hosted_zones_by_name(self, params: Params) -> Params:
        """ListHostedZonesByName: from a name on, in DNS order (labels reversed)."""
        wanted = params.get("DNSName")
        with self._store.read() as state:
            zones = sorted(state.zones.values(), key=lambda zone: (_dns_order(zone.name), zone.id))
            first = (_dns_order(normalise_name(wanted)) if wanted else [], params.get("HostedZoneId") or "")
            start = sum((_dns_order(zone.name), zone.id) < first for zone in zones)
            shown, following, size = page(zones, start, params)
            result: Params = {
                "HostedZones": [_zone_to_api(zone) for zone in shown],
                "IsTruncated": following is not None,
                "MaxItems": str(size),
            }
            result |= {key: params[key] for key in ("DNSName", "HostedZoneId") if params.get(key)}
            if following is not None:
                result |= {"NextDNSName": zones[following].name, "NextHostedZoneId": zones[following].id}
            return result

    def get_hosted_zone_count(self, params: Params) -> Params:
        """GetHostedZoneCount."""
        with self._store.read() as state:
            return {"HostedZoneCount": len(state.zones)}

    def update_hosted_zone_comment(self, params: Params) -> Params:
        """UpdateHostedZoneComment."""
        with self._store.write() as state:
            zone = self._store.zone(state, params["Id"])
            zone.comment = params.get("Comment") or ""
            return {"HostedZone": _zone_to_api(zone)}

    def delete_hosted_zone(self, params: Params) -> Params:
        """DeleteHostedZone, if only its own SOA and NS record sets are left."""
        with self._store.write() as state:
            zone = self._store.zone(state, params["Id"])
            own = {(zone.name, "SOA", ""), (zone.name, "NS", "")}
            if set(zone.records) - own:
                message = (
                    "The specified hosted zone contains non-required resource record sets and so cannot be deleted."
                )
                raise ApiError("HostedZoneNotEmpty", message)
            change = self._store.add_change(zone)
            del state.zones[zone.id]
            state.tags.pop(zone.id, None)
            return {"ChangeInfo": change_info(change)}

    def get_change(self, params: Params) -> Params:
        """GetChange."""
        change_id = params["Id"].rpartition("/")[2]
        with self._store.read() as state:
            if change_id not in state.changes:
                raise not_found("Change", f"Could not find resource with ID: {change_id}")
            return {"ChangeInfo": change_info(state.changes[change_id])}

    def change_tags_for_resource(self, params: Params) -> Params:
        """ChangeTagsForResource."""
        with self._store.write() as state:
            self._check_resource(state, params["ResourceType"], params["ResourceId"])
            tags = state.tags.setdefault(params["ResourceId"], {})
            tags.update({tag["Key"]: tag.get("Value", "") for tag in params.get("AddTags") or ()})
            for key in params.get("RemoveTagKeys") or ():
                tags.pop(key, None)
            return {}

    def list_tags_for_resource(self, params: Params) -> Params:
        """ListTagsForResource."""
        with self._store.read() as state:
            return {"ResourceTagSet": self._tag_set(state, params["ResourceType"], params["ResourceId"])}

    def list_tags_for_resources(self, params: Params) -> Params:
        """ListTagsForResources."""
        with self._store.read() as state:
            ids = params["ResourceIds"]
            return {"ResourceTagSets": [self._tag_set(state, params["ResourceType"], one) for one in ids]}

    def _tag_set(self, state: State, kind: str, resource_id: str) -> Params:
        self._check_resource(state, kind, resource_id)
        tags = [{"Key": key, "Value": value} for key, value in state.tags.get(resource_id, {}).items()]
        return {"ResourceType": kind, "ResourceId": resource_id, "Tags": tags}

    def _check_resource(self, state: State, kind: str, resource_id: str) -> None:
        find: Callable[[State, str], object] = self._store.zone if kind == "hostedzone" else self._store.health_check
        find(state, resource_id)


def _dns_order(name: str) -> list[str]:
    return name.rstrip(".").split(".")[::-1]


def _zone_to_api(zone: Zone) -> Params:
    return {
        "Id": f"/hostedzone/{zone.id}",
        "Name": zone.name,
        "CallerReference": zone.caller_reference,
        "Config": {"PrivateZone": False} | ({"Comment": zone.comment} if zone.comment else {}),
        "ResourceRecordSetCount": len(zone.records),
    }
