"""traffic_switch as a module and as an action: a real S3 object, the lab's health checkers, its DNS."""

from __future__ import annotations

import http.server
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws.server import LabAws
from lab.dns.resolver import Resolver, Upstream
from lab.dns.server import DnsServer
from tests.unit.lab.aws_support import ZONE, change, client, eventually, record, running_aws
from tests.unit.plugins.both_ways import BothWays
from tests.unit.servers import S3Server

BUCKET = "dr-switch"
PRIMARY, SECONDARY = "127.0.0.1", "127.0.0.2"
KEYS = {
    "changed", "diff", "evidence", "observed", "outcome", "problems", "resolvers", "switches", "unverified", "waits",
}  # fmt: skip


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


class PublicReader:
    """The bucket as health checkers see it: an HTTP server that answers for whether an object is there."""

    def __init__(self, server: S3Server) -> None:
        s3 = server.client()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    s3.head_object(Bucket=BUCKET, Key=self.path.lstrip("/"))
                    self.send_response(200)
                except ClientError as error:
                    self.send_response(error.response["ResponseMetadata"]["HTTPStatusCode"])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Keep the tests' output quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.77.0.7", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Rig:
    """A switch of its own, with the failover pair that follows it."""

    aws: LabAws
    resolver: DnsServer
    s3: S3Server
    key: str

    def arguments(self, position: str | None, **more: Any) -> dict[str, Any]:
        switch = {"key": self.key, **({"position": position} if position else {})}
        return {"store": self.s3.store(BUCKET, timeout=15), "switches": [switch], **more}

    def watched(self, value: str) -> dict[str, Any]:
        return {
            "names": [{"name": f"{self.key}.{ZONE}", "type": "A", "values": [value]}],
            "resolvers": [{"name": "public", "address": "127.77.0.54", "port": self.resolver.port}],
        }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[tuple[LabAws, DnsServer, int]]:
    s3_server.store(BUCKET)
    reader = PublicReader(s3_server)
    with running_aws(tmp_path_factory.mktemp("aws")) as aws:
        resolver = DnsServer("127.77.0.54", 0, Resolver({ZONE: [Upstream("127.77.0.1", aws.dns_port)]}).respond)
        resolver.start()
        yield aws, resolver, reader.port
        resolver.stop()
    reader.close()


@pytest.fixture
def rig(lab: tuple[LabAws, DnsServer, int], s3_server: S3Server) -> Rig:
    aws, resolver, port = lab
    key = f"s-{uuid.uuid4().hex[:8]}"
    config = {
        "Type": "HTTP",
        "IPAddress": "127.77.0.7",
        "Port": port,
        "ResourcePath": f"/{key}",
        "RequestInterval": 10,
        "FailureThreshold": 1,
        "Inverted": True,
    }
    route53 = client(aws)
    check = route53.create_health_check(CallerReference=key, HealthCheckConfig=config)["HealthCheck"]["Id"]
    pair = [
        record(key, "A", PRIMARY, ttl=1, SetIdentifier="p", Failover="PRIMARY", HealthCheckId=check),
        record(key, "A", SECONDARY, ttl=1, SetIdentifier="s", Failover="SECONDARY"),
    ]
    change(route53, *(("CREATE", one) for one in pair))
    eventually(lambda: aws.check_is_healthy(check))  # nothing there: the check fails, inverted
    return Rig(aws, resolver, s3_server, key)


def run(both: BothWays, arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
    result = both("traffic_switch", arguments, check)
    assert set(result) - {"msg", "failed"} == KEYS, sorted(result)
    return result


def test_turns_there_and_back_while_route53_is_away(rig: Rig, both: BothWays) -> None:
    rig.aws.faults.replace({"route53": {"error": "503"}})
    there = rig.arguments("SECONDARY", **rig.watched(SECONDARY))
    planned = run(both, there, check=True)
    assert (planned["changed"], planned["resolvers"][0]["answer"]) == (True, [PRIMARY])
    result = run(both, there)
    assert (result["changed"], result["observed"], result["outcome"]) == (True, True, "passed")
    assert (result["switches"], result["diff"]) == (planned["switches"], planned["diff"])
    assert result["switches"] == [{"key": rig.key, "position": "SECONDARY", "before": "PRIMARY", "changed": True}]
    assert result["resolvers"][0]["answer"] == [SECONDARY]
    assert [wait["name"] for wait in result["waits"]] == ["dns_ttl"]
    assert not run(both, there)["changed"]
    looked = run(both, {**rig.arguments(None), "state": "observed"})
    assert looked["switches"] == [{"key": rig.key, "position": "SECONDARY", "before": "SECONDARY", "changed": False}]
    back = run(both, rig.arguments("PRIMARY", **rig.watched(PRIMARY)))
    assert (back["changed"], back["resolvers"][0]["answer"]) == (True, [PRIMARY])
    rig.aws.faults.replace({})


def test_a_turn_that_nobody_watches_is_not_observed(rig: Rig, both: BothWays) -> None:
    result = run(both, rig.arguments("SECONDARY"))
    assert (result["changed"], result["observed"]) == (True, False)
    assert "no name was asked for" in result["unverified"][0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"switches": [{"key": "a"}]}, "it has no position"),
        ({"switches": [{"key": "a", "position": "PRIMARY"}, {"key": "a", "position": "SECONDARY"}]}, "listed twice"),
    ],
)
def test_bad_input_changes_nothing(rig: Rig, both: BothWays, more: dict[str, Any], words: str) -> None:
    result = run(both, {**rig.arguments("SECONDARY"), **more})
    assert result["failed"]
    assert words in result["msg"]


def test_a_store_that_is_away_is_named(rig: Rig, both: BothWays) -> None:
    store = {**rig.s3.store(BUCKET), "endpoint_url": "http://127.77.0.9:9", "timeout": 1.0}
    result = run(both, rig.arguments("SECONDARY", store=store))
    assert result["failed"]
    assert f"{rig.key} in store witness (bucket {BUCKET})" in result["msg"]
