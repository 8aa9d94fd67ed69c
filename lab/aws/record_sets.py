"""Record sets in Route 53's API form: reading, checking one on its own, writing."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from lab.aws.errors import invalid_input
from lab.dns.records import Alias, RecordSet, normalise_name

TYPES = ("A", "AAAA", "CAA", "CNAME", "DS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV", "TXT")
UNSERVED_POLICIES = ("Region", "GeoLocation", "GeoProximityLocation", "CidrRoutingConfig", "MultiValueAnswer")
MAX_TTL = 2_147_483_647
MAX_WEIGHT = 255
LABEL = re.compile(r"(\*|[a-z0-9_!\"#$%&'()+,/:;<=>?@\[\]^`{|}~\\-]{1,63})")


def from_api(data: dict[str, Any]) -> RecordSet:
    """Read one ResourceRecordSet. Raises InvalidInput for what no zone could hold."""
    for policy in UNSERVED_POLICIES:
        if policy in data:
            raise invalid_input(f"The lab's Route 53 does not serve {policy} record sets: use weighted or failover")
    alias = data.get("AliasTarget")
    record = RecordSet(
        name=normalise_name(data["Name"]),
        type=data["Type"],
        ttl=data.get("TTL"),
        values=tuple(item["Value"] for item in data.get("ResourceRecords") or ()),
        set_identifier=data.get("SetIdentifier"),
        weight=data.get("Weight"),
        failover=data.get("Failover"),
        health_check_id=data.get("HealthCheckId"),
        alias=None if alias is None else _alias(alias),
    )
    _check_shape(record)
    return record


def _alias(data: dict[str, Any]) -> Alias:
    return Alias(
        zone_id=data["HostedZoneId"].rpartition("/")[2],
        name=normalise_name(data["DNSName"]),
        evaluate_target_health=data["EvaluateTargetHealth"],
    )


def to_api(record: RecordSet) -> dict[str, Any]:
    """Write one ResourceRecordSet, as the API returns it (a wildcard as ``\\052``)."""
    data: dict[str, Any] = {"Name": _escaped(record.name), "Type": record.type}
    optional = {
        "SetIdentifier": record.set_identifier,
        "Weight": record.weight,
        "Failover": record.failover,
        "TTL": record.ttl,
        "HealthCheckId": record.health_check_id,
    }
    data.update({key: value for key, value in optional.items() if value is not None})
    if record.alias is None:
        data["ResourceRecords"] = [{"Value": value} for value in record.values]
    else:
        data["AliasTarget"] = {
            "HostedZoneId": record.alias.zone_id,
            "DNSName": _escaped(record.alias.name),
            "EvaluateTargetHealth": record.alias.evaluate_target_health,
        }
    return data


def _escaped(name: str) -> str:
    return "\\052" + name[1:] if name.startswith("*.") else name


def _constraint(member: str, value: object, rule: str) -> Exception:
    return invalid_input(
        f"1 validation error detected: Value '{value}' at 'changeBatch.changes.member.resourceRecordSet.{member}' "
        f"failed to satisfy constraint: {rule}"
    )


def _check_shape(record: RecordSet) -> None:
    if record.type not in TYPES:
        raise _constraint("type", record.type, f"Member must satisfy enum value set: [{', '.join(TYPES)}]")
    if record.ttl is not None and not 0 <= record.ttl <= MAX_TTL:
        raise _constraint("tTL", record.ttl, f"Member must have value between 0 and {MAX_TTL}")
    if record.weight is not None and not 0 <= record.weight <= MAX_WEIGHT:
        raise _constraint("weight", record.weight, f"Member must have value between 0 and {MAX_WEIGHT}")
    if record.failover not in (None, "PRIMARY", "SECONDARY"):
        raise _constraint("failover", record.failover, "Member must satisfy enum value set: [PRIMARY, SECONDARY]")
    if record.set_identifier is not None and not 1 <= len(record.set_identifier) <= 128:
        raise _constraint("setIdentifier", record.set_identifier, "Member must have length between 1 and 128")
    simple = record.weight is None and record.failover is None
    if record.weight is not None and record.failover is not None:
        raise invalid_input("Invalid request: Expected exactly one of [Weight, Failover], but found more than one")
    if simple and record.set_identifier is not None:
        raise invalid_input(f"Invalid request: SetIdentifier '{record.set_identifier}' needs a Weight or a Failover")
    if not simple and record.set_identifier is None:
        raise invalid_input(f"Invalid request: Missing field 'SetIdentifier' in change of {_label(record)}")
    has_values = record.ttl is not None and bool(record.values)
    if (record.alias is None) != has_values or (record.alias is not None and (record.values or record.ttl is not None)):
        raise invalid_input(
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]] "
            f"in change of {_label(record)}"
        )


def _label(record: RecordSet) -> str:
    return f"[name='{record.name}', type='{record.type}']"


def value_problems(record: RecordSet) -> list[str]:
    """What is wrong with a record set's name and values, in the service's words; empty when nothing is."""
    problems = _name_problems(record.name)
    problems += [problem for value in record.values if (problem := _value_problem(record.type, value))]
    if len(set(record.values)) != len(record.values):
        problems.append(f"Duplicate Resource Record in {_label(record)}")
    if record.type in ("CNAME", "SOA") and len(record.values) > 1:
        problems.append(f"RRSet of type {record.type} with DNS name {record.name} may have only one value")
    return problems


def _name_problems(name: str) -> list[str]:
    labels = name.rstrip(".").split(".")
    bad = [label for label in labels if not LABEL.fullmatch(label)]
    if bad or len(name) > 255 or "*" in labels[1:]:
        return [f"FATAL problem: DomainLabelInvalid (Domain name contains an invalid label) encountered with '{name}'"]
    return []


def _value_problem(rdtype: str, value: str) -> str | None:
    problem = _illegal(rdtype, value)
    return (
        None if problem is None else f"Invalid Resource Record: 'FATAL problem: {problem} encountered with '{value}''"
    )


def _illegal(rdtype: str, value: str) -> str | None:
    if rdtype == "A" and not _is_address(value, 4):
        return "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
    if rdtype == "AAAA" and not _is_address(value, 6):
        return "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
    if rdtype in ("TXT", "SPF") and not re.fullmatch(r'\s*"([^"\\]|\\.)*"(\s+"([^"\\]|\\.)*")*\s*', value):
        return "InvalidCharacterString (Value should be enclosed in quotation marks)"
    if rdtype in ("CNAME", "NS", "PTR") and _name_problems(normalise_name(value)):
        return "DomainLabelInvalid (Domain name contains an invalid label)"
    try:
        dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(rdtype), value)
    except (dns.exception.DNSException, ValueError) as error:
        return f"{rdtype}RRDATAInvalid ({error})"
    return None


def _is_address(value: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(value).version == version
    except ValueError:
        return False
