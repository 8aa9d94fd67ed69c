"""Health checks: real probes of real endpoints, and the rules that make a verdict of them."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.aws.server import LabAws
from tests.unit.lab.aws_support import ZONE, ask, change, client, eventually, record, running_aws

HOST = "127.77.0.9"


class Endpoint:
    """A web server whose status and body a test sets; ``port`` stays the same."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"all well"
        self.paths: set[str] = set()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                endpoint.paths.add(self.path)
                self.send_response(endpoint.status)
                self.send_header("Content-Length", str(len(endpoint.body)))
                self.end_headers()
                self.wfile.write(endpoint.body)

            def log_message(self, *args: object) -> None:
                """Keep the tests' output quiet."""

        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.close()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabAws]:
    with running_aws(tmp_path_factory.mktemp("aws")) as running:
        yield running


def create(aws: LabAws, reference: str, **config: Any) -> str:
    full = {"IPAddress": HOST, "RequestInterval": 10, "FailureThreshold": 2, **config}
    made = client(aws).create_health_check(CallerReference=reference, HealthCheckConfig=full)
    return str(made["HealthCheck"]["Id"])


def verdict(aws: LabAws, check_id: str) -> bool:
    return aws.check_is_healthy(check_id)


def reports(aws: LabAws, check_id: str) -> list[str]:
    seen = client(aws).get_health_check_status(HealthCheckId=check_id)["HealthCheckObservations"]
    return [one["StatusReport"]["Status"] for one in seen]


def test_http_verdict_follows_the_endpoint(aws: LabAws, endpoint: Endpoint) -> None:
    check = create(aws, "http", Type="HTTP", Port=endpoint.port, ResourcePath="/health")
    eventually(lambda: len(reports(aws, check)) == 3)
    assert all(report.startswith("Success: HTTP Status Code 200") for report in reports(aws, check))
    assert verdict(aws, check)
    assert endpoint.paths == {"/health"}
    endpoint.status = 503
    eventually(lambda: not verdict(aws, check))
    reasons = client(aws).get_health_check_last_failure_reason(HealthCheckId=check)["HealthCheckObservations"]
    assert "HTTP Status Code 503" in reasons[0]["StatusReport"]["Status"]
    endpoint.status = 302
    eventually(lambda: verdict(aws, check))


def test_a_string_is_searched_in_the_body(aws: LabAws, endpoint: Endpoint) -> None:
    check = create(aws, "str", Type="HTTP_STR_MATCH", Port=endpoint.port, SearchString="all well")
    eventually(lambda: len(reports(aws, check)) == 3)
    assert verdict(aws, check)
    endpoint.body = b"x" * 6000 + b"all well"
    eventually(lambda: not verdict(aws, check))


def test_tcp_verdict_follows_the_listener(aws: LabAws) -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port = listener.getsockname()[1]
        listener.listen()
        check = create(aws, "tcp", Type="TCP", Port=port)
        eventually(lambda: len(reports(aws, check)) == 3)
        assert verdict(aws, check)
    eventually(lambda: not verdict(aws, check))
    assert any(report.startswith("Failure:") for report in reports(aws, check))


def test_a_domain_name_is_resolved_in_the_lab(aws: LabAws, endpoint: Endpoint) -> None:
    change(client(aws), ("UPSERT", record("probed", "A", HOST)))
    config = {"Type": "HTTP", "Port": endpoint.port, "FullyQualifiedDomainName": f"probed.{ZONE}", "IPAddress": None}
    check = create(aws, "fqdn", **{key: value for key, value in config.items() if value})
    eventually(lambda: len(reports(aws, check)) == 3)
    assert all("Success" in report for report in reports(aws, check))


def test_inverted_and_disabled(aws: LabAws, endpoint: Endpoint) -> None:
    route53 = client(aws)
    check = create(aws, "inverted", Type="HTTP", Port=endpoint.port, Inverted=True)
    assert not verdict(aws, check)
    endpoint.status = 500
    eventually(lambda: verdict(aws, check))
    route53.update_health_check(HealthCheckId=check, Disabled=True)
    assert not verdict(aws, check)
    route53.update_health_check(HealthCheckId=check, Inverted=False)
    assert verdict(aws, check)
    route53.update_health_check(HealthCheckId=check, Disabled=False)
    eventually(lambda: not verdict(aws, check))


def test_calculated_counts_its_children(aws: LabAws) -> None:
    dead = create(aws, "dead", Type="TCP", Port=1)
    fine = create(aws, "fine", Type="TCP", Port=1, Disabled=True)
    config = {"Type": "CALCULATED", "HealthThreshold": 2, "ChildHealthChecks": [dead, fine]}
    made = client(aws).create_health_check(CallerReference="calc", HealthCheckConfig=config)["HealthCheck"]["Id"]
    eventually(lambda: not verdict(aws, dead))
    assert not verdict(aws, made)
    client(aws).update_health_check(HealthCheckId=made, HealthThreshold=1)
    assert verdict(aws, made)
    with pytest.raises(client(aws).exceptions.HealthCheckInUse):
        client(aws).delete_health_check(HealthCheckId=dead)


def test_a_stale_version_is_refused(aws: LabAws) -> None:
    route53 = client(aws)
    check = create(aws, "version", Type="TCP", Port=1)
    updated = route53.update_health_check(HealthCheckId=check, HealthCheckVersion=1, FailureThreshold=5)["HealthCheck"]
    assert updated["HealthCheckVersion"] == 2
    with pytest.raises(route53.exceptions.HealthCheckVersionMismatch):
        route53.update_health_check(HealthCheckId=check, HealthCheckVersion=1, FailureThreshold=6)
    kept = route53.get_health_check(HealthCheckId=check)["HealthCheck"]["HealthCheckConfig"]
    assert kept["FailureThreshold"] == 5


def test_a_caller_reference_is_idempotent(aws: LabAws) -> None:
    first = create(aws, "same", Type="TCP", Port=1)
    assert create(aws, "same", Type="TCP", Port=1) == first
    with pytest.raises(client(aws).exceptions.HealthCheckAlreadyExists):
        create(aws, "same", Type="TCP", Port=2)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"Type": "CLOUDWATCH_METRIC"}, "do not serve type"),
        ({"Type": "RECOVERY_CONTROL"}, "RoutingControlArn is required"),
        ({"Type": "TCP", "Port": 1, "RequestInterval": 20}, "RequestInterval"),
        ({"Type": "HTTP_STR_MATCH"}, "SearchString"),
        ({"Type": "TCP"}, "Port"),
    ],
)
def test_refused_configurations(aws: LabAws, config: dict[str, Any], words: str) -> None:
    with pytest.raises(client(aws).exceptions.InvalidInput, match=words):
        create(aws, "refused", **config)


def test_an_unknown_health_check_is_refused(aws: LabAws) -> None:
    with pytest.raises(client(aws).exceptions.NoSuchHealthCheck):
        client(aws).get_health_check_status(HealthCheckId="none")


def test_failover_by_health_and_back(aws: LabAws, endpoint: Endpoint) -> None:
    check = create(aws, "failover", Type="HTTP", Port=endpoint.port)
    change(
        client(aws),
        ("CREATE", record("pair", "A", "127.0.0.1", SetIdentifier="p", Failover="PRIMARY", HealthCheckId=check)),
        ("CREATE", record("pair", "A", "127.0.0.2", SetIdentifier="s", Failover="SECONDARY")),
    )

    def answer() -> str:
        return ask("127.77.0.1", aws.dns_port, f"pair.{ZONE}").answer[0][0].to_text()

    assert answer() == "127.0.0.1"
    endpoint.status = 500
    eventually(lambda: answer() == "127.0.0.2")
    endpoint.status = 200
    eventually(lambda: answer() == "127.0.0.1")


def test_verdicts_survive_a_restart(tmp_path: Path) -> None:
    with running_aws(tmp_path) as first:
        check = create(first, "dead", Type="TCP", Port=1)
        eventually(lambda: not verdict(first, check))
    with running_aws(tmp_path, health_interval_scale=100) as second:
        assert not verdict(second, check)
