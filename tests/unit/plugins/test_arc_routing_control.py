"""arc_routing_control as a module and as an action, against the lab's cluster, name server and caching resolver."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from lab.aws.server import LabAws
from lab.dns.resolver import Resolver, Upstream
from lab.dns.server import DnsServer
from tests.unit.lab.arc_support import EAST, PANEL, REGIONS, RULE, WEST, control_plane, endpoints, running_arc, states
from tests.unit.lab.aws_support import ACCESS_KEY, SECRET_KEY, ZONE, change, client, record
from tests.unit.plugins.both_ways import BothWays

RESOLVER_HOST = "127.77.0.53"
API = f"api.{ZONE}"
OLD, NEW = "127.0.0.1", "127.0.0.2"
KEYS = {
    "changed", "controls", "diff", "endpoints", "evidence", "observed", "outcome", "overridden", "problems",
    "resolvers", "unverified", "updates", "waits",
}  # fmt: skip
SOMEWHERE = {"name": "api-somewhere", "arn": RULE, "controls": ["api-us-east-1", "api-us-west-2"], "wait_period_ms": 0}


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@dataclass
class Rig:
    """A lab AWS with pre-made failover records, a resolver, and the module's way to them."""

    aws: LabAws
    resolver: DnsServer
    credentials: Path

    def arguments(self, east: str | None = "Off", west: str | None = "On", **more: Any) -> dict[str, Any]:
        controls = [{"name": "api-us-east-1", "state": east}, {"name": "api-us-west-2", "state": west}]
        return {
            "aws": {"credentials_file": str(self.credentials)},
            "endpoints": endpoints(self.aws),
            "control_panel": PANEL,
            "controls": [{key: value for key, value in one.items() if value} for one in controls],
            "endpoint_timeout": 2.0,
            "timeout": 0.5,
            **more,
        }

    def watched(self, values: str) -> dict[str, Any]:
        return {
            "names": [{"name": API, "type": "A", "values": [values]}],
            "resolvers": [{"name": "public", "address": RESOLVER_HOST, "port": self.resolver.port}],
            "name_servers": [{"name": "ns-1", "address": "127.77.0.1", "port": self.aws.dns_port}],
        }

    def away(self, *regions: str) -> None:
        self.aws.faults.replace({f"route53-recovery-cluster:{region}": {"error": "503"} for region in regions})


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
    with running_arc(tmp_path) as aws:
        route53 = client(aws)
        for role, arn, value in (("PRIMARY", EAST, OLD), ("SECONDARY", WEST, NEW)):
            config = {"Type": "RECOVERY_CONTROL", "RoutingControlArn": arn}
            check = route53.create_health_check(CallerReference=role, HealthCheckConfig=config)["HealthCheck"]["Id"]
            one = record("api", "A", value, ttl=1, SetIdentifier=role, Failover=role, HealthCheckId=check)
            change(route53, ("CREATE", one))
        resolver = DnsServer(RESOLVER_HOST, 0, Resolver({ZONE: [Upstream("127.77.0.1", aws.dns_port)]}).respond)
        resolver.start()
        yield Rig(aws, resolver, credentials)
        resolver.stop()


def run(both: BothWays, arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
    result = both("arc_routing_control", arguments, check)
    assert set(result) - {"msg", "failed"} == KEYS, sorted(result)
    return result


def test_shifts_reads_back_and_sees_it_arrive_without_a_control_plane(rig: Rig, both: BothWays) -> None:
    rig.aws.faults.replace({"route53": {"error": "503"}, "route53-recovery-control-config": {"error": "503"}})
    arguments = rig.arguments(safety_rules=[SOMEWHERE], **rig.watched(NEW))
    looked = run(both, {**arguments, "state": "observed"})
    assert (looked["changed"], looked["outcome"], looked["diff"]["after"]["api-us-west-2"]) == (False, "passed", "Off")
    planned = run(both, arguments, check=True)
    assert planned["changed"]
    assert [one["status"] for one in planned["updates"]] == ["PLANNED"]
    assert states(rig.aws)["api-us-west-2"] == "Off"
    result = run(both, arguments)
    assert states(rig.aws) == {"api-us-east-1": "Off", "api-us-west-2": "On", "gate": "Off"}
    assert (result["changed"], result["observed"], result["outcome"], result["unverified"]) == (
        True,
        True,
        "passed",
        [],
    )
    assert (planned["controls"], planned["diff"]) == (result["controls"], result["diff"])
    assert [wait["name"] for wait in result["waits"]] == ["dns_ttl"]
    assert {(one["name"], one["agrees"], *one["answer"]) for one in result["resolvers"]} == {
        ("public", True, NEW),
        ("ns-1", True, NEW),
    }
    (update,) = result["updates"]
    assert update["controls"] == ["api-us-east-1 Off", "api-us-west-2 On"]
    assert update["endpoint_region"] in REGIONS
    again = run(both, arguments)
    assert (again["changed"], again["updates"], again["observed"]) == (False, [], True)


def test_one_endpoint_that_answers_is_enough(rig: Rig, both: BothWays) -> None:
    rig.aws.faults.replace(
        {
            "route53-recovery-cluster:us-east-1": {"error": "503"},
            "route53-recovery-cluster:eu-west-1": {"error": "throttle"},
            "route53-recovery-cluster:ap-northeast-1": {"latency_seconds": 3.0},
        }
    )
    given = endpoints(rig.aws)
    given[4]["endpoint"] = "http://127.77.0.9:9/v1"  # nobody listens there
    result = run(both, rig.arguments(endpoints=given, endpoint_timeout=0.5))
    assert result["changed"]
    assert [update["endpoint_region"] for update in result["updates"]] == ["us-west-2"]
    asked = {one["region"]: one for one in result["endpoints"]}
    assert asked["us-west-2"]["answered"]
    assert all(asked[region]["answered"] is not True for region in REGIONS if region != "us-west-2")
    assert all(bool(one["error"]) == (one["answered"] is False) for one in asked.values())


def test_none_that_answers_is_told_with_every_reason(rig: Rig, both: BothWays) -> None:
    rig.away(*REGIONS)
    result = run(both, rig.arguments())
    assert result["failed"]
    assert all(f"{region}: EndpointTemporarilyUnavailable" in result["msg"] for region in REGIONS)
    assert states(rig.aws)["api-us-east-1"] == "On"


@pytest.mark.parametrize("check", [False, True])
def test_a_safety_rule_refuses_by_name_with_the_remedy(rig: Rig, both: BothWays, check: bool) -> None:
    arguments = rig.arguments(west="Off", safety_rules=[SOMEWHERE])
    result = run(both, arguments, check)
    assert result["failed"]
    assert not result["changed"]
    assert "api-somewhere" in result["msg"]
    assert "override_acceptance 'override safety rule api-somewhere'" in result["msg"]
    assert states(rig.aws)["api-us-east-1"] == "On"
    looked = run(both, {**arguments, "state": "observed"})
    assert looked["outcome"] == "failed"
    assert "api-somewhere wants at least 1" in looked["problems"][0]


def test_an_unknown_rule_refuses_with_its_arn_and_the_preview_says_what_it_does_not_know(
    rig: Rig, both: BothWays
) -> None:
    arguments = rig.arguments(west="Off")
    planned = run(both, arguments, check=True)
    assert "safety_rules is not given" in planned["unverified"][0]
    result = run(both, arguments)
    assert result["failed"]
    assert f"safety_rules_to_override [{RULE}]" in result["msg"]


@pytest.mark.parametrize(
    "acceptance",
    [None, "override safety rule", "override safety rule api-somewher", "Override safety rule api-somewhere"],
)
def test_an_override_wants_the_exact_text(rig: Rig, both: BothWays, acceptance: str | None) -> None:
    more = {"safety_rules": [SOMEWHERE], "safety_rules_to_override": ["api-somewhere"]}
    refused = run(
        both, rig.arguments(west="Off", **more, **({"override_acceptance": acceptance} if acceptance else {}))
    )
    assert "type exactly: override safety rule api-somewhere" in refused["msg"]
    assert all(one["answered"] is None for one in refused["endpoints"]), "nobody was asked"
    assert states(rig.aws)["api-us-east-1"] == "On"
    accepted = rig.arguments(west="Off", **more, override_acceptance="override safety rule api-somewhere")
    result = run(both, accepted)
    assert (result["changed"], result["overridden"]) == (True, ["api-somewhere"])
    assert states(rig.aws)["api-us-east-1"] == "Off"


def test_a_rule_that_is_not_known_by_name_cannot_be_overridden_by_name(rig: Rig, both: BothWays) -> None:
    result = run(both, rig.arguments(safety_rules=[SOMEWHERE], safety_rules_to_override=["else"]))
    assert "safety_rules has no rule of that name" in result["msg"]


def test_a_wait_period_is_waited_for_where_the_rule_is_known(rig: Rig, both: BothWays) -> None:
    run(both, rig.arguments("On", "On"))
    with rig.aws.recovery.store.write() as state:
        state.rules[RULE].wait_ms = 1500
    result = run(both, rig.arguments(safety_rules=[{**SOMEWHERE, "wait_period_ms": 1500}]))
    assert result["changed"]
    assert [wait["name"] for wait in result["waits"]] == ["safety_rule"]
    assert states(rig.aws)["api-us-east-1"] == "Off"


class LosesAnswers:
    """Stands before an endpoint: passes requests on, and swallows the first `answers` answers to updates."""

    def __init__(self, url: str, answers: int) -> None:
        target, left = urlsplit(url), [None] * answers

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                onward = http.client.HTTPConnection(target.hostname or "", target.port, timeout=10)
                onward.request("POST", self.path, body, dict(self.headers))
                answer = onward.getresponse()
                content = answer.read()
                self.close_connection = True
                if "UpdateRoutingControlStates" in self.headers["X-Amz-Target"] and left:
                    left.pop()
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                """Keep the tests' output quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.77.0.8", 0), Handler)
        self.url = f"http://127.77.0.8:{self._server.server_port}{target.path}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("answers", [1, 1000])
def test_a_change_whose_answer_was_lost_is_found_to_be_in_force(rig: Rig, both: BothWays, answers: int) -> None:
    """A repetition meets the wait period that the lost change itself began; or no answer ever comes."""
    with rig.aws.recovery.store.write() as state:
        state.rules[RULE].wait_ms = 3_600_000
    losing = LosesAnswers(endpoints(rig.aws)[0]["endpoint"], answers)
    given = [{"endpoint": losing.url, "region": "us-east-1"}]
    try:
        result = run(both, rig.arguments(endpoints=given))
    finally:
        losing.close()
    assert states(rig.aws)["api-us-east-1"] == "Off"
    assert not result.get("failed"), result.get("msg")
    assert (result["changed"], result["updates"][0]["endpoint_region"]) == (True, None)


def test_ten_at_a_time(rig: Rig, both: BothWays) -> None:
    cluster = control_plane(rig.aws).list_clusters()["Clusters"][0]["ClusterArn"]
    for number in range(12):
        control_plane(rig.aws).create_routing_control(
            ClusterArn=cluster, ControlPanelArn=PANEL, RoutingControlName=f"more-{number}"
        )
    controls = [{"name": f"more-{number}", "state": "On"} for number in range(12)]
    result = run(both, rig.arguments(controls=controls))
    assert [len(update["controls"]) for update in result["updates"]] == [10, 2]
    assert all(states(rig.aws)[f"more-{number}"] == "On" for number in range(12))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"controls": [{"name": "none", "state": "On"}]}, "routing control none does not exist"),
        ({"controls": [{"name": "gate", "state": "On"}] * 2}, "listed 2 times"),
        ({"controls": [{"name": "gate"}]}, "it has no state"),
        ({"endpoints": []}, "no endpoint of the cluster is given"),
        ({"control_panel": PANEL + "0"}, "Unable to find ControlPanel"),
        ({"resolvers": [{"name": "x", "address": "dns"}]}, "is no IP address"),
    ],
)
def test_bad_input_changes_nothing(rig: Rig, both: BothWays, more: dict[str, Any], words: str) -> None:
    result = run(both, rig.arguments(**more))
    assert result["failed"]
    assert words in result["msg"]
    assert states(rig.aws) == {"api-us-east-1": "On", "api-us-west-2": "Off", "gate": "Off"}


def test_a_wrong_key_is_told_at_once(rig: Rig, both: BothWays) -> None:
    rig.credentials.write_text("[default]\naws_access_key_id=AKIANOBODY\naws_secret_access_key=x\n")
    result = run(both, rig.arguments())
    assert "Check the credentials" in result["msg"]
    assert sum(one["answered"] is not None for one in result["endpoints"]) == 1


def test_a_name_that_does_not_follow_is_told(rig: Rig, both: BothWays) -> None:
    watched = rig.watched("127.0.0.9")
    result = run(both, rig.arguments(**watched, wait_resolvers_timeout=0.3))
    assert result["failed"]
    assert result["changed"]
    assert "ns-1 (127.77.0.1) answers 127.0.0.2" in result["msg"]
