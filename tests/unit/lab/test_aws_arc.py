"""The lab's Application Recovery Controller through boto3: control plane, five endpoints, safety rules, DNS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws.faults import Faults
from lab.aws.server import LabAws
from tests.unit.lab.arc_support import (
    EAST,
    GATE,
    PANEL,
    REGIONS,
    RULE,
    WEST,
    control_plane,
    data_plane,
    entries,
    recovery,
    running_arc,
    signed,
    states,
)
from tests.unit.lab.aws_support import ZONE, ask, change, client, record, running_aws


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[LabAws]:
    with running_arc(tmp_path) as running:
        yield running


def refusal(call: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    return {**caught.value.response, **caught.value.response["Error"]}


def away(faults: Faults, *regions: str) -> None:
    faults.replace({f"route53-recovery-cluster:{region}": {"error": "503"} for region in regions})


def test_the_control_plane_tells_what_there_is(aws: LabAws) -> None:
    config = control_plane(aws)
    (cluster,) = config.list_clusters()["Clusters"]
    described = config.describe_cluster(ClusterArn=cluster["ClusterArn"])["Cluster"]
    assert [one["Region"] for one in described["ClusterEndpoints"]] == list(REGIONS)
    panels = config.list_control_panels(ClusterArn=cluster["ClusterArn"])["ControlPanels"]
    assert {one["Name"]: one["RoutingControlCount"] for one in panels} == {"DefaultControlPanel": 0, "services": 3}
    first = config.list_routing_controls(ControlPanelArn=PANEL, MaxResults=2)
    rest = config.list_routing_controls(ControlPanelArn=PANEL, NextToken=first["NextToken"])
    names = [one["Name"] for one in first["RoutingControls"] + rest["RoutingControls"]]
    assert names == ["api-us-east-1", "api-us-west-2", "gate"]
    (rule,) = config.list_safety_rules(ControlPanelArn=PANEL)["SafetyRules"]
    assert rule["ASSERTION"]["AssertedControls"] == [EAST, WEST]
    assert config.describe_safety_rule(SafetyRuleArn=RULE)["AssertionRule"]["RuleConfig"]["Type"] == "ATLEAST"


def test_what_the_api_creates_works_and_survives_a_restart(tmp_path: Path) -> None:
    bare = recovery(cluster=None, panels=[])
    with running_aws(tmp_path, recovery=bare) as aws:
        config = control_plane(aws)
        cluster = config.create_cluster(ClusterName="mine")["Cluster"]["ClusterArn"]
        panel = config.create_control_panel(ClusterArn=cluster, ControlPanelName="p")["ControlPanel"]["ControlPanelArn"]
        made = config.create_routing_control(ClusterArn=cluster, ControlPanelArn=panel, RoutingControlName="one")
        arn = made["RoutingControl"]["RoutingControlArn"]
        assert data_plane(aws).get_routing_control_state(RoutingControlArn=arn)["RoutingControlState"] == "Off"
        data_plane(aws).update_routing_control_state(RoutingControlArn=arn, RoutingControlState="On")
        again = refusal(config.create_control_panel, ClusterArn=cluster, ControlPanelName="p")
        assert again["Code"] == "ConflictException"
    with running_aws(tmp_path, recovery=bare) as aws:
        assert data_plane(aws).get_routing_control_state(RoutingControlArn=arn)["RoutingControlState"] == "On"


def test_the_control_plane_is_at_home_in_one_region(aws: LabAws) -> None:
    assert refusal(control_plane(aws, "us-east-1").list_clusters)["Code"] == "InvalidSignatureException"
    aws.faults.replace({"route53-recovery-control-config": {"error": "503"}})
    assert refusal(control_plane(aws).list_clusters)["Code"] == "ServiceUnavailable"
    assert data_plane(aws).list_routing_controls()["RoutingControls"], "the data plane goes on without it"


def test_a_change_at_one_endpoint_is_seen_at_every_other(aws: LabAws) -> None:
    flip = entries(api_us_east_1="Off", api_us_west_2="On")
    data_plane(aws, "eu-west-1").update_routing_control_states(UpdateRoutingControlStateEntries=flip)
    for region in REGIONS:
        listed = data_plane(aws, region).list_routing_controls(ControlPanelArn=PANEL)["RoutingControls"]
        seen = {one["RoutingControlName"]: one["RoutingControlState"] for one in listed}
        assert seen == {"api-us-east-1": "Off", "api-us-west-2": "On", "gate": "Off"}


def test_an_endpoint_wants_its_own_region_and_a_right_signature(aws: LabAws) -> None:
    url = aws.recovery.store.endpoints[0].url
    other = signed("route53-recovery-cluster", url, "us-west-2")
    assert refusal(other.list_routing_controls)["Code"] == "InvalidSignatureException"
    forged = signed("route53-recovery-cluster", url, "us-east-1", secret="wrong")
    assert refusal(forged.list_routing_controls)["Code"] == "SignatureDoesNotMatch"


def test_endpoints_go_singly_and_the_rest_keeps_a_quorum(aws: LabAws) -> None:
    away(aws.faults, "us-east-1", "eu-west-1")
    lost = refusal(data_plane(aws, "us-east-1").list_routing_controls)
    assert lost["Code"] == "EndpointTemporarilyUnavailableException"
    data_plane(aws).update_routing_control_state(RoutingControlArn=WEST, RoutingControlState="On")
    away(aws.faults, "us-east-1", "eu-west-1", "ap-northeast-1")
    minority = refusal(data_plane(aws).list_routing_controls)
    assert minority["Code"] == "EndpointTemporarilyUnavailableException"
    assert "quorum" in minority["Message"]


def test_an_assertion_rule_refuses_the_whole_batch(aws: LabAws) -> None:
    cluster = data_plane(aws)
    both_off = entries(api_us_east_1="Off", gate="On")
    told = refusal(cluster.update_routing_control_states, UpdateRoutingControlStateEntries=both_off)
    assert told["Code"] == "ConflictException"
    assert (told["resourceId"], told["resourceType"]) == (RULE, "SafetyRule")
    assert RULE in told["Message"]
    assert states(aws) == {"api-us-east-1": "On", "api-us-west-2": "Off", "gate": "Off"}
    cluster.update_routing_control_states(UpdateRoutingControlStateEntries=both_off, SafetyRulesToOverride=[RULE])
    assert states(aws) == {"api-us-east-1": "Off", "api-us-west-2": "Off", "gate": "On"}


@pytest.mark.parametrize(
    ("kind", "threshold", "inverted", "on", "allowed"),
    [
        ("AND", 0, False, (), False),
        ("AND", 0, False, (EAST,), False),
        ("AND", 0, False, (EAST, WEST), True),
        ("OR", 0, False, (), False),
        ("OR", 0, False, (WEST,), True),
        ("ATLEAST", 2, False, (WEST,), False),
        ("ATLEAST", 2, False, (EAST, WEST), True),
        ("AND", 0, True, (EAST, WEST), False),
        ("OR", 0, True, (), True),
    ],
)
def test_a_gating_rule_opens_by_its_criterion(
    aws: LabAws, kind: str, threshold: int, inverted: bool, on: tuple[str, ...], allowed: bool
) -> None:
    rule = {
        "Name": "gate-keeper",
        "ControlPanelArn": PANEL,
        "GatingControls": [EAST, WEST],
        "TargetControls": [GATE],
        "RuleConfig": {"Type": kind, "Threshold": threshold, "Inverted": inverted},
        "WaitPeriodMs": 0,
    }
    with aws.recovery.store.write() as state:
        for arn in (EAST, WEST):
            state.controls[arn].on = arn in on
    control_plane(aws).create_safety_rule(GatingRule=rule)
    update = {"RoutingControlArn": GATE, "RoutingControlState": "On"}
    if allowed:
        data_plane(aws).update_routing_control_state(**update)
    else:
        assert refusal(data_plane(aws).update_routing_control_state, **update)["Code"] == "ConflictException"
    assert states(aws)["gate"] == ("On" if allowed else "Off")


def test_a_wait_period_keeps_states_from_flapping(aws: LabAws) -> None:
    rule = {
        "Name": "slowly",
        "ControlPanelArn": PANEL,
        "AssertedControls": [EAST, WEST],
        "RuleConfig": {"Type": "ATLEAST", "Threshold": 1, "Inverted": False},
        "WaitPeriodMs": 3_600_000,
    }
    control_plane(aws).create_safety_rule(AssertionRule=rule)
    cluster = data_plane(aws)
    cluster.update_routing_control_state(RoutingControlArn=WEST, RoutingControlState="On")
    told = refusal(cluster.update_routing_control_state, RoutingControlArn=EAST, RoutingControlState="Off")
    assert "wait period" in told["Message"]
    again = refusal(cluster.update_routing_control_state, RoutingControlArn=WEST, RoutingControlState="On")
    assert again["Code"] == "ConflictException", "any request, also one that would change nothing"
    assert states(aws)["api-us-east-1"] == "On"


def test_bad_input_is_named(aws: LabAws) -> None:
    cluster = data_plane(aws)
    unknown = refusal(cluster.get_routing_control_state, RoutingControlArn=f"{PANEL}/routingcontrol/none")
    assert (unknown["Code"], unknown["resourceType"]) == ("ResourceNotFoundException", "RoutingControl")
    many = entries(gate="On") * 11
    limit = refusal(cluster.update_routing_control_states, UpdateRoutingControlStateEntries=many)
    assert limit["Code"] == "ServiceLimitExceededException"
    twice = refusal(cluster.update_routing_control_states, UpdateRoutingControlStateEntries=many[:2])
    assert twice["Code"] == "ValidationException"
    rule = refusal(
        cluster.update_routing_control_states,
        UpdateRoutingControlStateEntries=many[:1],
        SafetyRulesToOverride=[f"{PANEL}/safetyrule/none"],
    )
    assert rule["Code"] == "ResourceNotFoundException"


def test_changes_are_limited_by_rate(tmp_path: Path) -> None:
    with running_arc(tmp_path, recovery=recovery(mutations={"rate": 0.001, "burst": 1})) as aws:
        data_plane(aws).update_routing_control_state(RoutingControlArn=GATE, RoutingControlState="On")
        told = refusal(data_plane(aws).update_routing_control_state, RoutingControlArn=GATE, RoutingControlState="Off")
        assert told["Code"] == "ThrottlingException"
        data_plane(aws, "eu-west-1").update_routing_control_state(RoutingControlArn=GATE, RoutingControlState="Off")


def health_check(aws: LabAws, reference: str, **config: Any) -> str:
    made = client(aws).create_health_check(CallerReference=reference, HealthCheckConfig=config)
    return str(made["HealthCheck"]["Id"])


def answers(aws: LabAws, name: str) -> list[str]:
    reply = ask("127.77.0.1", aws.dns_port, f"{name}.{ZONE}")
    return [item.to_text() for rrset in reply.answer for item in rrset]


def test_records_follow_routing_controls_while_route53_is_away(aws: LabAws) -> None:
    checks = [
        health_check(aws, arn, Type="RECOVERY_CONTROL", RoutingControlArn=arn, Inverted=False) for arn in (EAST, WEST)
    ]
    pair = [
        record("api", "A", f"127.0.0.{n}", SetIdentifier=role, Failover=role, HealthCheckId=check)
        for n, (role, check) in enumerate(zip(("PRIMARY", "SECONDARY"), checks, strict=True), 1)
    ]
    weighted = [
        record("w", "A", f"127.0.0.{n}", SetIdentifier=str(n), Weight=1, HealthCheckId=check)
        for n, check in enumerate(checks, 1)
    ]
    change(client(aws), *(("CREATE", one) for one in pair + weighted))
    associated = control_plane(aws).list_associated_route53_health_checks(RoutingControlArn=EAST)
    assert associated["HealthCheckIds"] == checks[:1]
    kept = client(aws).get_health_check(HealthCheckId=checks[0])["HealthCheck"]["HealthCheckConfig"]
    assert kept["RoutingControlArn"] == EAST
    aws.faults.replace({"route53": {"error": "503"}, "route53-recovery-control-config": {"error": "503"}})
    assert refusal(client(aws).list_hosted_zones)["Code"] == "ServiceUnavailable"
    assert (answers(aws, "api"), answers(aws, "w")) == (["127.0.0.1"], ["127.0.0.1"])
    flip = entries(api_us_east_1="Off", api_us_west_2="On")
    data_plane(aws).update_routing_control_states(UpdateRoutingControlStateEntries=flip)
    assert (answers(aws, "api"), answers(aws, "w")) == (["127.0.0.2"], ["127.0.0.2"])


def test_calculated_and_inverted_checks_count_routing_controls(aws: LabAws) -> None:
    children = [
        health_check(aws, "plain", Type="RECOVERY_CONTROL", RoutingControlArn=EAST),
        health_check(aws, "inverted", Type="RECOVERY_CONTROL", RoutingControlArn=WEST, Inverted=True),
    ]
    both = health_check(aws, "both", Type="CALCULATED", ChildHealthChecks=children, HealthThreshold=2)
    assert aws.check_is_healthy(both), "east is On, west is not"
    data_plane(aws).update_routing_control_state(RoutingControlArn=WEST, RoutingControlState="On")
    assert not aws.check_is_healthy(both)


def test_a_health_check_of_no_routing_control_is_refused(aws: LabAws) -> None:
    config = {"Type": "RECOVERY_CONTROL", "RoutingControlArn": f"{PANEL}/routingcontrol/none"}
    told = refusal(client(aws).create_health_check, CallerReference="none", HealthCheckConfig=config)
    assert told["Code"] == "InvalidInput"
