"""Route 53's record sets through boto3: what real Route 53 refuses is refused, and a batch is all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.lab.aws_support import ZONE, ZONE_ID, change, client, record, records, running_aws

WEIGHTED_A = record("app", "A", "127.0.0.1", SetIdentifier="a", Weight=1)
PRIMARY = record("app", "A", "127.0.0.1", SetIdentifier="p", Failover="PRIMARY")


@pytest.fixture(scope="module")
def shared_route53(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Route 53 with one zone."""
    with running_aws(tmp_path_factory.mktemp("aws")) as aws:
        yield client(aws)


@pytest.fixture
def route53(shared_route53: Any) -> Iterator[Any]:
    """The same, left empty again after the test."""
    yield shared_route53
    left = [
        one
        for page in shared_route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=ZONE_ID)
        for one in page["ResourceRecordSets"]
        if one["Type"] not in ("SOA", "NS")
    ]
    if left:
        change(shared_route53, *(("DELETE", one) for one in left))


def refused(route53: Any, *changes: tuple[str, dict[str, Any]]) -> tuple[str, str]:
    """Code and message of the refusal of a batch."""
    with pytest.raises(ClientError) as caught:
        change(route53, *changes)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    ("existing", "changes", "code", "words"),
    [
        ([], [("CREATE", record("app", "A", "300.1.1.1"))], "InvalidChangeBatch", "not a valid IPv4 address"),
        ([], [("CREATE", record("app", "A", "::1"))], "InvalidChangeBatch", "not a valid IPv4 address"),
        ([], [("CREATE", record("app", "AAAA", "127.0.0.1"))], "InvalidChangeBatch", "not a valid IPv6 address"),
        ([], [("CREATE", record("app", "CNAME", "not a name"))], "InvalidChangeBatch", "DomainLabelInvalid"),
        ([], [("CREATE", record("app", "CNAME", "a.test.", "b.test."))], "InvalidChangeBatch", "only one value"),
        ([], [("CREATE", record("app", "TXT", "bare"))], "InvalidChangeBatch", "quotation marks"),
        ([], [("CREATE", record("app", "MX", "mail"))], "InvalidChangeBatch", "MXRRDATAInvalid"),
        ([], [("CREATE", record("app", "A", "127.0.0.1", "127.0.0.1"))], "InvalidChangeBatch", "Duplicate"),
        ([], [("CREATE", record("", "CNAME", "a.test."))], "InvalidChangeBatch", "not permitted at apex"),
        (
            [record("app", "A", "127.0.0.1")],
            [("CREATE", record("app", "CNAME", "a.test."))],
            "InvalidChangeBatch",
            "conflicts with other records",
        ),
        (
            [record("app", "CNAME", "a.test.")],
            [("CREATE", record("app", "A", "127.0.0.1"))],
            "InvalidChangeBatch",
            "conflicts with other records",
        ),
        (
            [record("app", "A", "127.0.0.1")],
            [("CREATE", record("app", "A", "127.0.0.2"))],
            "InvalidChangeBatch",
            "already exists",
        ),
        ([], [("DELETE", record("app", "A", "127.0.0.1"))], "InvalidChangeBatch", "not found"),
        (
            [record("app", "A", "127.0.0.1")],
            [("DELETE", record("app", "A", "127.0.0.1", ttl=61))],
            "InvalidChangeBatch",
            "do not match the current values",
        ),
        (
            [record("app", "A", "127.0.0.1")],
            [("DELETE", record("app", "A", "127.0.0.2"))],
            "InvalidChangeBatch",
            "do not match the current values",
        ),
        ([WEIGHTED_A], [("DELETE", record("app", "A", "127.0.0.1"))], "InvalidChangeBatch", "not found"),
        ([WEIGHTED_A], [("CREATE", record("app", "A", "127.0.0.2"))], "InvalidChangeBatch", "one routing policy"),
        ([WEIGHTED_A], [("CREATE", PRIMARY)], "InvalidChangeBatch", "one routing policy"),
        (
            [WEIGHTED_A],
            [("CREATE", record("app", "A", "127.0.0.2", ttl=30, SetIdentifier="b", Weight=1))],
            "InvalidChangeBatch",
            "same TTL",
        ),
        ([PRIMARY], [("CREATE", {**PRIMARY, "SetIdentifier": "q"})], "InvalidChangeBatch", "one PRIMARY"),
        ([], [("CREATE", {**WEIGHTED_A, "Weight": 256})], "InvalidInput", "between 0 and 255"),
        ([], [("CREATE", {**WEIGHTED_A, "Failover": "PRIMARY"})], "InvalidInput", "exactly one of"),
        ([], [("CREATE", record("app", "A", "127.0.0.1", Weight=1))], "InvalidInput", "Missing field 'SetIdentifier'"),
        ([], [("CREATE", record("app", "A", "127.0.0.1", SetIdentifier="a"))], "InvalidInput", "needs a Weight"),
        ([], [("CREATE", record("app", "A", "127.0.0.1", ttl=2147483648))], "InvalidInput", "between 0 and 2147483647"),
        ([], [("CREATE", record("app", "BOGUS", "127.0.0.1"))], "InvalidInput", "enum value set"),
        ([], [("CREATE", {"Name": f"app.{ZONE}.", "Type": "A"})], "InvalidInput", "exactly one of"),
        ([], [("REPLACE", record("app", "A", "127.0.0.1"))], "InvalidInput", "Invalid action"),
        ([], [("CREATE", record("app", "A", "127.0.0.1", HealthCheckId="none"))], "NoSuchHealthCheck", "none"),
        (
            [],
            [("CREATE", {**record("app", "A", "127.0.0.1"), "Name": "app.elsewhere.test."})],
            "InvalidChangeBatch",
            "not permitted in zone",
        ),
        (
            [],
            [
                (
                    "CREATE",
                    record(
                        "app",
                        "A",
                        AliasTarget={
                            "HostedZoneId": ZONE_ID,
                            "DNSName": f"dead.{ZONE}.",
                            "EvaluateTargetHealth": False,
                        },
                    ),
                )
            ],
            "InvalidChangeBatch",
            "target was not found",
        ),
        (
            [],
            [("UPSERT", record("app", "A", "127.0.0.1")), ("UPSERT", record("app", "A", "127.0.0.2"))],
            "InvalidChangeBatch",
            "invalid set of changes",
        ),
    ],
)
def test_refuses(
    route53: Any, existing: list[dict[str, Any]], changes: list[tuple[str, dict[str, Any]]], code: str, words: str
) -> None:
    if existing:
        change(route53, *(("CREATE", one) for one in existing))
    before = records(route53)
    refused_code, message = refused(route53, *changes)
    assert refused_code == code
    assert words in message
    assert records(route53) == before


def test_a_batch_with_one_bad_change_leaves_nothing(route53: Any) -> None:
    good, bad = record("good", "A", "127.0.0.1"), record("bad", "A", "nonsense")
    refused(route53, ("UPSERT", good), ("UPSERT", bad))
    assert records(route53) == []
    change(route53, ("UPSERT", good))
    assert records(route53) == [good]


def test_a_refusal_names_every_problem(route53: Any) -> None:
    _, message = refused(
        route53, ("CREATE", record("one", "A", "nonsense")), ("DELETE", record("two", "A", "127.0.0.1"))
    )
    assert "nonsense" in message
    assert f"two.{ZONE}." in message


def test_delete_with_a_set_identifier_spares_other_names(route53: Any) -> None:
    other = {**WEIGHTED_A, "Name": f"other.{ZONE}."}
    change(route53, ("CREATE", WEIGHTED_A), ("CREATE", other))
    change(route53, ("DELETE", WEIGHTED_A))
    assert records(route53) == [other]


def test_a_batch_may_replace_a_record_by_a_cname(route53: Any) -> None:
    address, cname = record("app", "A", "127.0.0.1"), record("app", "CNAME", "other.test.")
    change(route53, ("CREATE", address))
    change(route53, ("DELETE", address), ("CREATE", cname))
    assert records(route53) == [cname]


@pytest.mark.parametrize(
    "stored",
    [
        record("app", "A", "127.0.0.2", "127.0.0.1"),
        record("*", "TXT", '"some \\"text\\""', '"two" "strings"') | {"Name": f"\\052.{ZONE}."},
        record("app", "A", "127.0.0.1", SetIdentifier="zero", Weight=0),
        PRIMARY,
        record("srv", "SRV", "0 5 5060 sip.test."),
        record("app", "AAAA", "::1", ttl=0),
    ],
)
def test_returns_what_was_stored(route53: Any, stored: dict[str, Any]) -> None:
    change(route53, ("CREATE", stored))
    assert records(route53) == [stored]
    change(route53, ("DELETE", stored))
    assert records(route53) == []


def test_an_upsert_counts_twice_against_the_limit(route53: Any) -> None:
    many = [(record(f"n{number}", "A", "127.0.0.1")) for number in range(501)]
    _, message = refused(route53, *(("UPSERT", one) for one in many))
    assert "limit of 1000" in message
    change(route53, *(("CREATE", one) for one in many))
    assert len(list(route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=ZONE_ID))) == 2


def test_lists_in_dns_order_from_a_start(route53: Any) -> None:
    stored = [record("b.a", "A", "127.0.0.1"), record("b", "A", "127.0.0.1"), record("b", "TXT", '"x"')]
    change(route53, *(("CREATE", one) for one in stored))
    assert [(one["Name"], one["Type"]) for one in records(route53)] == [
        (f"b.a.{ZONE}.", "A"),
        (f"b.{ZONE}.", "A"),
        (f"b.{ZONE}.", "TXT"),
    ]
    page = route53.list_resource_record_sets(
        HostedZoneId=ZONE_ID, StartRecordName=f"b.{ZONE}", StartRecordType="TXT", MaxItems="1"
    )
    assert [one["Type"] for one in page["ResourceRecordSets"]] == ["TXT"]


def test_the_apex_keeps_its_soa_and_name_servers(route53: Any) -> None:
    listed = route53.list_resource_record_sets(HostedZoneId=ZONE_ID)["ResourceRecordSets"]
    for own in listed:
        _, message = refused(route53, ("DELETE", own))
        assert "must contain" in message


def test_unknown_zone(route53: Any) -> None:
    with pytest.raises(route53.exceptions.NoSuchHostedZone):
        change(route53, ("CREATE", record("app", "A", "127.0.0.1")), zone_id="ZNONE")
