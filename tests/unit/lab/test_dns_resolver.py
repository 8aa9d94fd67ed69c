"""The caching resolver: answers stay as long as their TTL says, and no longer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.flags
import dns.rcode
import dns.rrset
import pytest

from lab.aws.server import LabAws
from lab.dns.cache import Cache, Negative, Positive
from lab.dns.resolver import Resolver, Upstream
from lab.dns.server import DnsServer
from tests.unit.lab.aws_support import ZONE, ask, change, client, eventually, record, running_aws

HOST = "127.77.0.53"
ROOT = Path(__file__).resolve().parents[3]


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Rig:
    """A resolver over a lab AWS with two zones."""

    aws: LabAws
    port: int
    clock: Clock

    def values(self, name: str, rdtype: str = "A") -> list[str]:
        found = ask(HOST, self.port, f"{name}.{ZONE}", rdtype)
        return [item.to_text() for rrset in found.answer for item in rrset]

    def ttls(self, name: str, rdtype: str = "A") -> list[int]:
        found = ask(HOST, self.port, f"{name}.{ZONE}", rdtype)
        return [rrset.ttl for rrset in [*found.answer, *found.authority]]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    clock = Clock()
    with running_aws(tmp_path) as aws:
        upstream = [Upstream("127.77.0.1", aws.dns_port)]
        server = DnsServer(HOST, 0, Resolver({ZONE: upstream, "second.test": upstream}, Cache(clock)).respond)
        server.start()
        yield Rig(aws, server.port, clock)
        server.stop()


def test_serves_the_old_answer_until_its_ttl_is_over(rig: Rig) -> None:
    route53 = client(rig.aws)
    change(route53, ("CREATE", record("app", "A", "127.0.0.1", ttl=30)))
    assert rig.ttls("app") == [30]
    change(route53, ("UPSERT", record("app", "A", "127.0.0.2", ttl=30)))
    rig.clock.now += 10.5
    assert rig.values("app") == ["127.0.0.1"]
    assert rig.ttls("app") == [19]
    rig.clock.now += 19.5
    assert rig.values("app") == ["127.0.0.2"]
    assert rig.ttls("app") == [30]


def test_a_ttl_of_zero_is_not_kept(rig: Rig) -> None:
    route53 = client(rig.aws)
    change(route53, ("CREATE", record("app", "A", "127.0.0.1", ttl=0)))
    assert rig.values("app") == ["127.0.0.1"]
    change(route53, ("UPSERT", record("app", "A", "127.0.0.2", ttl=0)))
    assert rig.values("app") == ["127.0.0.2"]


@pytest.mark.parametrize(("rdtype", "rcode"), [("A", dns.rcode.NXDOMAIN), ("TXT", dns.rcode.NOERROR)])
def test_a_negative_answer_is_kept_as_the_soa_says(rig: Rig, rdtype: str, rcode: dns.rcode.Rcode) -> None:
    route53 = client(rig.aws)
    if rcode == dns.rcode.NOERROR:
        change(route53, ("CREATE", record("app", "A", "127.0.0.1")))
    found = ask(HOST, rig.port, f"app.{ZONE}", rdtype)
    assert (found.rcode(), found.answer) == (rcode, [])
    assert found.authority[0].ttl == 900
    value = "127.0.0.1" if rdtype == "A" else '"here"'
    change(route53, ("CREATE", record("app", rdtype, value)))
    rig.clock.now += 899
    assert rig.values("app", rdtype) == []
    assert rig.ttls("app", rdtype) == [1]
    rig.clock.now += 1
    assert rig.values("app", rdtype) == [value]


def test_follows_cnames_across_zones_each_with_its_ttl(rig: Rig) -> None:
    route53 = client(rig.aws)
    zone_id = route53.create_hosted_zone(Name="second.test", CallerReference="s")["HostedZone"]["Id"]
    target = {**record("x", "A", "127.0.0.7", ttl=10), "Name": "app.second.test."}
    change(route53, ("CREATE", target), zone_id=zone_id)
    change(route53, ("CREATE", record("www", "CNAME", "app.second.test.", ttl=100)))
    assert rig.values("www") == ["app.second.test.", "127.0.0.7"]
    change(route53, ("UPSERT", {**target, "ResourceRecords": [{"Value": "127.0.0.8"}]}), zone_id=zone_id)
    rig.clock.now += 9
    assert rig.ttls("www") == [91, 1]
    rig.clock.now += 1
    assert rig.values("www") == ["app.second.test.", "127.0.0.8"]


@pytest.mark.parametrize("name", ["elsewhere.test", "test."])
def test_refuses_names_it_has_no_upstream_for(rig: Rig, name: str) -> None:
    assert ask(HOST, rig.port, name).rcode() == dns.rcode.REFUSED


def test_fails_where_the_chain_leaves_its_zones(rig: Rig) -> None:
    change(client(rig.aws), ("CREATE", record("away", "CNAME", "elsewhere.test.")))
    assert ask(HOST, rig.port, f"away.{ZONE}").rcode() == dns.rcode.SERVFAIL


def test_serves_from_cache_and_then_fails_without_its_upstream(tmp_path: Path) -> None:
    clock = Clock()
    with running_aws(tmp_path) as aws:
        change(client(aws), ("CREATE", record("app", "A", "127.0.0.1", ttl=30)))
        server = DnsServer(HOST, 0, Resolver({ZONE: [Upstream("127.77.0.1", aws.dns_port)]}, Cache(clock)).respond)
        server.start()
        found = ask(HOST, server.port, f"app.{ZONE}")
        assert found.flags & dns.flags.RA
        assert not found.flags & dns.flags.AA
    clock.now += 29
    assert ask(HOST, server.port, f"app.{ZONE}").answer[0][0].to_text() == "127.0.0.1"
    clock.now += 1
    assert ask(HOST, server.port, f"app.{ZONE}", tcp=True).rcode() == dns.rcode.SERVFAIL
    server.stop()


def test_the_cache_keeps_positive_and_negative_entries_apart() -> None:
    clock = Clock()
    cache = Cache(clock)
    address = dns.rrset.from_text("a.test.", 10, "IN", "A", "127.0.0.1")
    soa = dns.rrset.from_text("test.", 5, "IN", "SOA", "ns.test. me.test. 1 2 3 4 5")
    cache.put((address.name, address.rdtype), Positive(address))
    cache.put((address.name, None), Negative(dns.rcode.NXDOMAIN, soa))
    clock.now += 5
    assert cache.get((address.name, None)) is None
    kept = cache.get((address.name, address.rdtype))
    assert isinstance(kept, Positive)
    assert kept.rrset.ttl == 5
    cache.flush()
    assert cache.get((address.name, address.rdtype)) is None


def test_both_processes_run_by_command(tmp_path: Path) -> None:
    """`python -m lab.aws` and `python -m lab.dns resolver`, from their files, until SIGTERM."""
    port, dns_port, resolver_port = 25380, 25353, 25354
    host = "127.77.7.1"
    aws_file, resolver_file = tmp_path / "aws-config.json", tmp_path / "resolver.json"
    aws_file.write_text(
        json.dumps(
            {
                "host": host,
                "port": port,
                "dns_host": host,
                "dns_port": dns_port,
                "state_file": str(tmp_path / "state" / "aws.json"),
                "access_keys": {},
                "zones": [{"name": ZONE}],
            }
        )
    )
    upstreams = {ZONE: [f"{host}:{dns_port}"]}
    resolver_file.write_text(json.dumps({"host": host, "port": resolver_port, "upstreams": upstreams}))
    commands = [
        ["-m", "lab.aws", "--config", str(aws_file)],
        ["-m", "lab.dns", "resolver", "--config", str(resolver_file)],
    ]
    processes = [subprocess.Popen([sys.executable, *command], cwd=ROOT) for command in commands]

    def resolved() -> bool:
        try:
            return ask(host, resolver_port, ZONE, "SOA").rcode() == dns.rcode.NOERROR
        except (dns.exception.DNSException, OSError):
            return False

    try:
        eventually(resolved)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=20) for process in processes] == [0, 0]


@pytest.mark.parametrize("module", ["lab.aws", "lab.dns"])
def test_a_wrong_configuration_is_named(tmp_path: Path, module: str) -> None:
    config = tmp_path / "bad.json"
    config.write_text('{"host": "127.0.0.1"}')
    command = [sys.executable, "-m", module, *(["resolver"] if module == "lab.dns" else []), "--config", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(config) in done.stderr
    assert "port" in done.stderr
