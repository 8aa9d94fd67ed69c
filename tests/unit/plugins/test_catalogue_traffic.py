"""From the catalogue's traffic methods to what the traffic modules take, and from their results to one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import catalogue_traffic
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError

EAST: dict[str, Any] = {
    "name": "east",
    "endpoints": {name: {"values": [f"{name}.east.test"]} for name in ("plain", "arc", "second", "flip")},
}
WEST: dict[str, Any] = {
    "name": "west",
    "endpoints": {name: {"values": [f"{name}.west.test"]} for name in ("plain", "arc", "second", "flip")},
}
CHECK = {"type": "HTTP", "address": "127.0.0.9", "port": 8333, "path": "/switches/"}


def service(name: str, **traffic: Any) -> dict[str, Any]:
    record = {"zone": "test", "name": f"{name}.test", "type": "CNAME", "ttl": 60}
    return {"records": [record], **({"traffic": traffic} if traffic else {})}


def catalogue() -> dict[str, Any]:
    pair = {"primary": "east", "secondary": "west"}
    controls = {"east": "arc-east", "west": "arc-west"}
    return {
        "plain": service("plain"),
        "arc": service("arc", method="routing_controls", controls=controls, **pair),
        "second": service("second", method="routing_controls", controls=controls, **pair),
        "flip": service("flip", method="switch", **pair),
    }


def test_each_service_goes_its_own_way() -> None:
    wanted = catalogue_traffic.traffic(catalogue(), WEST)
    assert [one["name"] for one in wanted["records"]] == ["plain.test"]
    assert wanted["controls"] == [{"name": "arc-east", "state": "Off"}, {"name": "arc-west", "state": "On"}]
    assert wanted["switches"] == [{"key": "flip", "position": "SECONDARY"}]
    assert [one["values"] for one in wanted["names"]["routing_controls"]] == [["arc.west.test"], ["second.west.test"]]
    assert [one["name"] for one in wanted["names"]["switch"]] == ["flip.test"]
    assert catalogue_traffic.traffic(catalogue(), EAST)["switches"] == [{"key": "flip", "position": "PRIMARY"}]


def test_pairs_follow_controls_and_switches() -> None:
    controls = [{"name": "arc-east", "arn": "arn:east"}, {"name": "arc-west", "arn": "arn:west"}]
    arc, second, flip = catalogue_traffic.failover_records(catalogue(), [WEST, EAST], controls, CHECK)
    assert (arc["name"], arc["primary"]["identifier"], arc["primary"]["values"]) == (
        "arc.test",
        "east",
        ["arc.east.test"],
    )
    assert arc["primary"]["health_check"] == second["primary"]["health_check"]
    assert arc["secondary"]["health_check"] == {
        "name": "arc-west",
        "type": "RECOVERY_CONTROL",
        "routing_control": "arn:west",
    }
    assert flip["primary"]["health_check"] == {
        **CHECK,
        "name": "switch-flip",
        "path": "/switches/flip",
        "inverted": True,
    }
    assert "health_check" not in flip["secondary"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "ip_address"}, "traffic.method 'ip_address'"),
        ({"method": "routing_controls", "controls": {"east": "x"}}, "no routing control for region west"),
        ({"method": "routing_controls", "controls": {"east": "x", "west": "x"}}, "stands for several regions"),
        ({"method": "switch", "primary": "north", "secondary": "south"}, "between north and south, not west"),
    ],
)
def test_what_cannot_work_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RecoveryError, match=words):
        catalogue_traffic.traffic({"arc": service("arc", **changes)}, WEST)


def test_a_switch_of_two_services_with_other_primaries_is_refused() -> None:
    services = {
        "arc": service("arc", method="switch", primary="east", secondary="west", key="one"),
        "flip": service("flip", method="switch", primary="west", secondary="east", key="one"),
    }
    with pytest.raises(RecoveryError, match="different primary regions"):
        catalogue_traffic.traffic(services, WEST)


def test_one_result_of_all_methods() -> None:
    wanted = catalogue_traffic.traffic(catalogue(), WEST)
    seen = {"record": "arc.test.", "type": "CNAME", "answer": ["arc.east.test"]}
    told = catalogue_traffic.result(
        wanted,
        {
            "records": {"records": [{"name": "plain.test."}], "outcome": "passed", "changed": False},
            "routing_controls": {
                "resolvers": [seen],
                "outcome": "unverified",
                "unverified": ["a doubt"],
                "changed": True,
            },
            "switch": {"skipped": True},
        },
    )
    assert [(one["name"], one["method"]) for one in told["records"]] == [
        ("plain.test.", "records"),
        ("arc.test.", "routing_controls"),
        ("second.test.", "routing_controls"),
    ]
    assert told["records"][1]["before"] == {"values": ["arc.east.test"]}
    assert (told["records"][1]["changed"], told["records"][1]["ttl"], told["records"][2]["changed"]) == (
        True,
        60,
        False,
    )
    assert (told["changed"], told["outcome"], told["unverified"]) == (True, "unverified", ["a doubt"])
    failed = catalogue_traffic.result(wanted, {"routing_controls": {"outcome": "failed", "problems": ["a rule"]}})
    assert (failed["outcome"], failed["problems"]) == ("failed", ["a rule"])
