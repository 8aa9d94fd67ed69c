"""The authoritative name server: answers from Route 53's published record sets."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest

from lab.aws.server import LabAws
from tests.unit.lab.aws_support import ZONE, ZONE_ID, ask, change, client, record, running_aws

HOST = "127.77.0.1"
LONG = [f'"{number:03d}{"x" * 200}"' for number in range(10)]


def alias(name: str, evaluate: bool = False) -> dict[str, Any]:
    return {"AliasTarget": {"HostedZoneId": ZONE_ID, "DNSName": f"{name}.{ZONE}.", "EvaluateTargetHealth": evaluate}}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabAws]:
    with running_aws(tmp_path_factory.mktemp("aws")) as running:
        route53 = client(running)
        dead = {"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 1, "Disabled": True, "Inverted": True}
        down = route53.create_health_check(CallerReference="d", HealthCheckConfig=dead)["HealthCheck"]["Id"]
        change(
            route53,
            *(
                ("CREATE", one)
                for one in (
                    record("app", "A", "127.0.0.1", "127.0.0.2", ttl=5),
                    record("app", "AAAA", "::1"),
                    record("text", "TXT", '"one" "two"', '"three"'),
                    record("long", "TXT", *LONG),
                    record("www", "CNAME", f"app.{ZONE}.", ttl=30),
                    record("away", "CNAME", "elsewhere.test."),
                    record("a.deep", "A", "127.0.0.3"),
                    record("*.wild", "A", "127.0.0.4"),
                    record("known.wild", "TXT", '"x"'),
                    record("child", "NS", "ns.child-dns.test."),
                    record("w", "A", "127.0.1.1", SetIdentifier="1", Weight=3),
                    record("w", "A", "127.0.1.2", SetIdentifier="2", Weight=1),
                    record("w", "A", "127.0.1.3", SetIdentifier="3", Weight=0),
                    record("wd", "A", "127.0.2.1", SetIdentifier="1", Weight=3, HealthCheckId=down),
                    record("wd", "A", "127.0.2.2", SetIdentifier="2", Weight=0),
                    record("zeros", "A", "127.0.3.1", SetIdentifier="1", Weight=0),
                    record("zeros", "A", "127.0.3.2", SetIdentifier="2", Weight=0),
                    record("alldown", "A", "127.0.4.1", SetIdentifier="1", Weight=1, HealthCheckId=down),
                    record("alldown", "A", "127.0.4.2", SetIdentifier="2", Weight=0, HealthCheckId=down),
                    record("f", "A", "127.0.5.1", SetIdentifier="p", Failover="PRIMARY", HealthCheckId=down),
                    record("f", "A", "127.0.5.2", SetIdentifier="s", Failover="SECONDARY"),
                    record("fdown", "A", "127.0.6.1", SetIdentifier="p", Failover="PRIMARY", HealthCheckId=down),
                    record("fdown", "A", "127.0.6.2", SetIdentifier="s", Failover="SECONDARY", HealthCheckId=down),
                    record("", "A", **alias("app")),
                    record("fa", "A", SetIdentifier="p", Failover="PRIMARY", **alias("alldown", evaluate=True)),
                    record("fa", "A", SetIdentifier="s", Failover="SECONDARY", **alias("app")),
                )
            ),
        )
        yield running


def texts(message: dns.message.Message) -> list[str]:
    return sorted(item.to_text() for rrset in message.answer for item in rrset)


def picked(aws: LabAws, name: str, times: int) -> Counter[str]:
    return Counter(texts(ask(HOST, aws.dns_port, f"{name}.{ZONE}"))[0] for _ in range(times))


@pytest.mark.parametrize(
    ("name", "rdtype", "ttl", "values"),
    [
        (f"app.{ZONE}", "A", 5, ["127.0.0.1", "127.0.0.2"]),
        (f"APP.{ZONE}.", "AAAA", 60, ["::1"]),
        (f"text.{ZONE}", "TXT", 60, ['"one" "two"', '"three"']),
        (ZONE, "A", 5, ["127.0.0.1", "127.0.0.2"]),
        (f"any.wild.{ZONE}", "A", 60, ["127.0.0.4"]),
        (f"x.y.wild.{ZONE}", "A", 60, ["127.0.0.4"]),
        (f"away.{ZONE}", "A", 60, ["elsewhere.test."]),
        (ZONE, "SOA", 900, ["ns-1.lab-dns.test. hostmaster.lab-dns.test. 1 7200 900 1209600 86400"]),
        (ZONE, "NS", 172800, [f"ns-{number}.lab-dns.test." for number in (1, 2, 3, 4)]),
    ],
)
def test_answers(aws: LabAws, name: str, rdtype: str, ttl: int, values: list[str]) -> None:
    for tcp in (False, True):
        found = ask(HOST, aws.dns_port, name, rdtype, tcp=tcp)
        assert found.rcode() == dns.rcode.NOERROR
        assert found.flags & dns.flags.AA
        assert texts(found) == sorted(values)
        assert {rrset.ttl for rrset in found.answer} == {ttl}


def test_a_cname_is_followed_within_the_zone(aws: LabAws) -> None:
    found = ask(HOST, aws.dns_port, f"www.{ZONE}")
    assert [(rrset.name.to_text(), rrset.ttl) for rrset in found.answer] == [(f"www.{ZONE}.", 30), (f"app.{ZONE}.", 5)]


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode"),
    [
        (f"none.{ZONE}", "A", dns.rcode.NXDOMAIN),
        (f"app.{ZONE}", "TXT", dns.rcode.NOERROR),
        (f"deep.{ZONE}", "A", dns.rcode.NOERROR),
        (f"known.wild.{ZONE}", "A", dns.rcode.NOERROR),
    ],
)
def test_negative_answers_carry_the_soa(aws: LabAws, name: str, rdtype: str, rcode: dns.rcode.Rcode) -> None:
    found = ask(HOST, aws.dns_port, name, rdtype)
    assert found.rcode() == rcode
    assert found.answer == []
    assert [(rrset.name.to_text(), rrset.ttl) for rrset in found.authority] == [(f"{ZONE}.", 900)]


@pytest.mark.parametrize("name", ["elsewhere.test", "test", f"not{ZONE}"])
def test_refuses_what_lies_outside_its_zones(aws: LabAws, name: str) -> None:
    found = ask(HOST, aws.dns_port, name)
    assert found.rcode() == dns.rcode.REFUSED
    assert not found.flags & dns.flags.AA


def test_refers_to_a_delegated_zone(aws: LabAws) -> None:
    found = ask(HOST, aws.dns_port, f"x.child.{ZONE}")
    assert found.answer == []
    assert [rrset.to_text() for rrset in found.authority] == [f"child.{ZONE}. 60 IN NS ns.child-dns.test."]
    assert not found.flags & dns.flags.AA


def test_weights(aws: LabAws) -> None:
    seen = picked(aws, "w", 200)
    assert set(seen) == {"127.0.1.1", "127.0.1.2"}
    assert seen["127.0.1.1"] > seen["127.0.1.2"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wd", {"127.0.2.2"}),
        ("zeros", {"127.0.3.1", "127.0.3.2"}),
        ("alldown", {"127.0.4.1"}),
        ("f", {"127.0.5.2"}),
        ("fdown", {"127.0.6.1"}),
        ("fa", {"127.0.0.1"}),
    ],
)
def test_health_decides(aws: LabAws, name: str, expected: set[str]) -> None:
    assert set(picked(aws, name, 40)) == expected


def test_a_long_answer_over_udp_is_truncated(aws: LabAws) -> None:
    assert ask(HOST, aws.dns_port, f"long.{ZONE}", "TXT").flags & dns.flags.TC
    assert len(texts(ask(HOST, aws.dns_port, f"long.{ZONE}", "TXT", tcp=True))) == len(LONG)


@pytest.mark.parametrize(
    ("wire", "rcode"),
    [
        (b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff", dns.rcode.FORMERR),
        (b"\x12\x34\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", dns.rcode.FORMERR),
        (b"\x12\x34\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00", dns.rcode.NOTIMP),
    ],
)
def test_malformed_queries_get_an_error(aws: LabAws, wire: bytes, rcode: dns.rcode.Rcode) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(wire, (HOST, aws.dns_port))
        reply = sock.recv(512)
    assert reply[:2] == wire[:2]
    assert reply[3] & 0x0F == rcode
