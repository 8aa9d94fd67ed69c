"""route53_failover_records as a module and as an action, against the lab's Route 53, health checkers and cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.aws.server import LabAws
from tests.unit.lab.arc_support import EAST, WEST, running_arc
from tests.unit.lab.aws_support import ACCESS_KEY, SECRET_KEY, ZONE, ZONE_ID, ask, change, client, record, records
from tests.unit.plugins.both_ways import BothWays

FIRST, SECOND = "127.0.0.1", "127.0.0.2"
KEYS = {
    "changed", "created_health_checks", "diff", "evidence", "observed", "outcome", "problems", "records", "resolvers",
    "unverified", "waits",
}  # fmt: skip


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@dataclass
class Rig:
    """A lab AWS with a cluster whose first region is On, and the module's way to it."""

    aws: LabAws
    credentials: Path

    def pair(self, **more: Any) -> dict[str, Any]:
        halves = {
            role: {
                "identifier": region,
                "values": [value],
                "health_check": {"name": f"api-{region}", "type": "RECOVERY_CONTROL", "routing_control": arn},
            }
            for role, region, value, arn in (
                ("primary", "us-east-1", FIRST, EAST),
                ("secondary", "us-west-2", SECOND, WEST),
            )
        }
        return {"zone": ZONE, "name": f"api.{ZONE}", "type": "A", "ttl": 5, **halves, **more}

    def arguments(self, *pairs: dict[str, Any], **more: Any) -> dict[str, Any]:
        aws = {"endpoint_url": self.aws.endpoint_url, "credentials_file": str(self.credentials)}
        return {"aws": aws, "records": list(pairs), "timeout": 20.0, **more}

    def watched(self, value: str) -> dict[str, Any]:
        return {
            "names": [{"name": f"api.{ZONE}", "type": "A", "values": [value]}],
            "name_servers": [{"name": "ns-1", "address": "127.77.0.1", "port": self.aws.dns_port}],
        }

    def answer(self) -> list[str]:
        reply = ask("127.77.0.1", self.aws.dns_port, f"api.{ZONE}")
        return [item.to_text() for rrset in reply.answer for item in rrset]

    def roles(self) -> dict[str, str]:
        return {one["SetIdentifier"]: one["Failover"] for one in records(client(self.aws)) if "Failover" in one}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
    with running_arc(tmp_path) as aws:
        yield Rig(aws, credentials)


def run(both: BothWays, arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
    result = both("route53_failover_records", arguments, check)
    assert set(result) - {"msg", "failed"} == KEYS, sorted(result)
    return result


@pytest.mark.parametrize("simple", [None, FIRST])
def test_makes_what_is_missing_and_no_more(rig: Rig, both: BothWays, simple: str | None) -> None:
    if simple:
        change(client(rig.aws), ("CREATE", record("api", "A", simple)))
    arguments = rig.arguments(rig.pair(), **rig.watched(FIRST))
    looked = run(both, {**arguments, "state": "observed"})
    assert (looked["outcome"], looked["changed"], len(looked["problems"])) == ("failed", False, 3)
    planned = run(both, arguments, check=True)
    assert (planned["changed"], rig.roles()) == (True, {})
    result = run(both, arguments)
    assert (result["changed"], result["observed"], result["outcome"]) == (True, True, "passed")
    assert result["created_health_checks"] == planned["created_health_checks"] == ["api-us-east-1", "api-us-west-2"]
    assert rig.roles() == {"us-east-1": "PRIMARY", "us-west-2": "SECONDARY"}
    assert (rig.answer(), result["resolvers"][0]["answer"]) == ([FIRST], [FIRST])
    again = run(both, arguments)
    assert (again["changed"], again["created_health_checks"]) == (False, [])
    assert run(both, {**arguments, "state": "observed"})["outcome"] == "passed"
    assert client(rig.aws).get_health_check_count()["HealthCheckCount"] == 2


def test_a_check_that_probes_has_looked_before_a_record_follows_it(rig: Rig, both: BothWays) -> None:
    """Nothing listens there: the inverted check is healthy once it has looked, and until then it is not."""
    look = {"name": "switch", "type": "HTTP", "address": "127.77.0.9", "port": 9, "path": "/x", "inverted": True}
    halves = rig.pair()
    pair = rig.pair(
        primary={**halves["primary"], "health_check": look},
        secondary={key: value for key, value in halves["secondary"].items() if key != "health_check"},
    )
    result = run(both, rig.arguments(pair))
    assert [wait["name"] for wait in result["waits"]] == ["health_checks", "dns_insync"]
    assert rig.answer() == [FIRST]
    assert not result["observed"]


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([record("api", "A", "127.0.0.9")], "neither the PRIMARY's nor the SECONDARY's"),
        ([record("api", "CNAME", "else.test.")], "is a CNAME record now"),
        ([record("api", "A", FIRST, SetIdentifier="w", Weight=1)], "weighted routing"),
        ([record("api", "A", FIRST, SetIdentifier="other", Failover="SECONDARY")], "none of the pair"),
    ],
)
def test_what_stands_there_is_not_overrun(rig: Rig, both: BothWays, there: list[dict[str, Any]], words: str) -> None:
    change(client(rig.aws), *(("CREATE", one) for one in there))
    result = run(both, rig.arguments(rig.pair()))
    assert result["failed"]
    assert words in result["msg"]
    assert [one["Name"] for one in records(client(rig.aws), ZONE_ID)] == [f"api.{ZONE}."]
    assert client(rig.aws).get_health_check_count()["HealthCheckCount"] == 0


def test_a_changed_pair_is_brought_back(rig: Rig, both: BothWays) -> None:
    run(both, rig.arguments(rig.pair()))
    result = run(both, rig.arguments(rig.pair(ttl=9)))
    assert result["changed"]
    assert result["created_health_checks"] == []
    assert {one["TTL"] for one in records(client(rig.aws)) if "Failover" in one} == {9}
