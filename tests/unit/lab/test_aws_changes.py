"""Changes in time: PENDING then INSYNC, ids, overlap, throttling, faults, restarts."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.aws.server import LabAws
from tests.unit.lab.aws_support import (
    ZONE,
    ZONE_ID,
    ask,
    change,
    client,
    eventually,
    record,
    records,
    running_aws,
)

A = record("app", "A", "127.0.0.1")
SLOW = {"error": None, "latency_seconds": 0, "insync_seconds": 3600}


def put_faults(aws: LabAws, faults: Any) -> dict[str, Any]:
    request = urllib.request.Request(f"{aws.endpoint_url}/_lab/faults", data=json.dumps(faults).encode(), method="PUT")
    with urllib.request.urlopen(request) as response:
        return dict(json.load(response))


def status_of(route53: Any, change_id: str) -> str:
    return str(route53.get_change(Id=change_id)["ChangeInfo"]["Status"])


def answers(aws: LabAws, name: str = f"app.{ZONE}", rdtype: str = "A") -> list[str]:
    found = ask("127.77.0.1", aws.dns_port, name, rdtype)
    return sorted(item.to_text() for rrset in found.answer for item in rrset)


def test_a_change_is_pending_and_then_insync(tmp_path: Path) -> None:
    with running_aws(tmp_path, insync_seconds=0.5) as aws:
        route53 = client(aws)
        submitted = change(route53, ("CREATE", A))
        assert submitted["Status"] == "PENDING"
        assert records(route53) == [A]
        eventually(lambda: status_of(route53, submitted["Id"]) == "INSYNC")
        assert answers(aws) == ["127.0.0.1"]


def test_dns_answers_only_from_what_is_insync(tmp_path: Path) -> None:
    with running_aws(tmp_path) as aws:
        route53 = client(aws)
        change(route53, ("CREATE", A))
        put_faults(aws, {"route53": SLOW})
        slow = change(route53, ("UPSERT", record("app", "A", "127.0.0.2")))
        assert status_of(route53, slow["Id"]) == "PENDING"
        assert answers(aws) == ["127.0.0.1"]
        put_faults(aws, {})
        change(route53, ("CREATE", record("other", "A", "127.0.0.3")))
        assert status_of(route53, slow["Id"]) == "INSYNC"
        assert answers(aws) == ["127.0.0.2"]


def test_change_ids_are_unique_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    with running_aws(tmp_path) as aws:
        route53 = client(aws)
        ids = {change(route53, ("UPSERT", A))["Id"] for _ in range(5)}
        assert len(ids) == 5
        with pytest.raises(route53.exceptions.NoSuchChange):
            route53.get_change(Id="C2682N5HXP0BZ4")


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    check = {"Type": "TCP", "IPAddress": "127.0.0.1", "Port": 9, "RequestInterval": 10}
    with running_aws(tmp_path, insync_seconds=3600) as aws:
        route53 = client(aws)
        put_faults(aws, {"route53": {"insync_seconds": 0}})
        done = change(route53, ("CREATE", A))
        check_id = route53.create_health_check(CallerReference="c", HealthCheckConfig=check)["HealthCheck"]["Id"]
        put_faults(aws, {})
        pending = change(route53, ("CREATE", record("later", "A", "127.0.0.1")))
        route53.change_tags_for_resource(
            ResourceType="hostedzone", ResourceId=ZONE_ID, AddTags=[{"Key": "owner", "Value": "lab"}]
        )
    with running_aws(tmp_path) as aws:
        route53 = client(aws)
        assert status_of(route53, done["Id"]) == "INSYNC"
        assert status_of(route53, pending["Id"]) == "PENDING"
        assert answers(aws) == ["127.0.0.1"]
        assert answers(aws, f"later.{ZONE}") == []
        assert len(records(route53)) == 2
        assert route53.get_health_check(HealthCheckId=check_id)["HealthCheck"]["HealthCheckVersion"] == 1
        tags = route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=ZONE_ID)["ResourceTagSet"]["Tags"]
        assert tags == [{"Key": "owner", "Value": "lab"}]
        assert len(route53.list_hosted_zones()["HostedZones"]) == 1


def test_overlapping_changes_of_one_zone_are_refused(tmp_path: Path) -> None:
    with running_aws(tmp_path, processing_seconds=0.3) as aws:
        route53 = client(aws)
        outcomes: list[str] = []

        def submit(number: int) -> None:
            try:
                change(route53, ("CREATE", record(f"n{number}", "A", "127.0.0.1")))
                outcomes.append("ok")
            except ClientError as error:
                outcomes.append(error.response["Error"]["Code"])

        threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(outcomes) == {"ok", "PriorRequestNotComplete"}
        assert len(records(route53)) == outcomes.count("ok")


def test_requests_beyond_the_burst_are_throttled(tmp_path: Path) -> None:
    with running_aws(tmp_path, throttle={"rate": 0.001, "burst": 3}) as aws:
        route53 = client(aws)
        for _ in range(3):
            route53.get_hosted_zone(Id=ZONE_ID)
        with pytest.raises(ClientError) as caught:
            route53.get_hosted_zone(Id=ZONE_ID)
        assert caught.value.response["Error"] == {"Type": "Sender", "Code": "Throttling", "Message": "Rate exceeded"}
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert client(aws, "sts").get_caller_identity()["Account"]


def test_one_operation_has_its_own_bucket(tmp_path: Path) -> None:
    limits = {"rate": 1000, "burst": 1000, "operations": {"GetHostedZoneCount": {"rate": 0.001, "burst": 1}}}
    with running_aws(tmp_path, throttle=limits) as aws:
        route53 = client(aws)
        assert route53.get_hosted_zone_count()["HostedZoneCount"] == 1
        with pytest.raises(ClientError, match="Rate exceeded"):
            route53.get_hosted_zone_count()
        route53.get_hosted_zone(Id=ZONE_ID)


@pytest.mark.parametrize(
    ("error", "status", "code"), [("throttle", 400, "Throttling"), ("503", 503, "ServiceUnavailable")]
)
def test_faults_strike_one_service_until_lifted(tmp_path: Path, error: str, status: int, code: str) -> None:
    with running_aws(tmp_path) as aws:
        route53 = client(aws)
        in_force = put_faults(aws, {"route53": {"error": error}})
        assert in_force["route53"]["error"] == error
        with pytest.raises(ClientError) as caught:
            change(route53, ("CREATE", A))
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        assert client(aws, "sts").get_caller_identity()["Account"]
        put_faults(aws, {})
        assert records(route53) == []


@pytest.mark.parametrize(
    "faults",
    [
        {"route53": {"error": "boom"}},
        {"route53": {"colour": 1}},
        {"route53": {"latency_seconds": -1}},
        {"route53": 1},
        [],
    ],
)
def test_wrong_faults_are_refused(tmp_path: Path, faults: Any) -> None:
    with running_aws(tmp_path) as aws:
        with pytest.raises(urllib.error.HTTPError) as caught:
            put_faults(aws, faults)
        assert caught.value.code == 400


def test_zones_are_created_listed_and_deleted(tmp_path: Path) -> None:
    with running_aws(tmp_path) as aws:
        route53 = client(aws)
        made = route53.create_hosted_zone(Name="Second.Test", CallerReference="one")
        assert made["HostedZone"]["Name"] == "second.test."
        assert len(made["DelegationSet"]["NameServers"]) == 4
        with pytest.raises(route53.exceptions.HostedZoneAlreadyExists):
            route53.create_hosted_zone(Name="third.test", CallerReference="one")
        named = route53.list_hosted_zones_by_name(DNSName="second.test", MaxItems="1")["HostedZones"]
        assert [zone["Name"] for zone in named] == ["second.test."]
        zone_id = made["HostedZone"]["Id"].rpartition("/")[2]
        change(route53, ("CREATE", {**A, "Name": "app.second.test"}), zone_id=zone_id)
        with pytest.raises(route53.exceptions.HostedZoneNotEmpty):
            route53.delete_hosted_zone(Id=zone_id)
        change(route53, ("DELETE", {**A, "Name": "app.second.test"}), zone_id=zone_id)
        route53.delete_hosted_zone(Id=zone_id)
        with pytest.raises(route53.exceptions.NoSuchHostedZone):
            route53.get_hosted_zone(Id=zone_id)


def test_what_is_not_served_says_so(tmp_path: Path) -> None:
    with running_aws(tmp_path) as aws, pytest.raises(ClientError, match="does not serve ListTrafficPolicies"):
        client(aws).list_traffic_policies()


def test_test_dns_answer(tmp_path: Path) -> None:
    with running_aws(tmp_path) as aws:
        route53 = client(aws)
        change(route53, ("CREATE", A))
        told = route53.test_dns_answer(HostedZoneId=ZONE_ID, RecordName=f"app.{ZONE}", RecordType="A")
        assert (told["ResponseCode"], told["RecordData"]) == ("NOERROR", ["127.0.0.1"])
        told = route53.test_dns_answer(HostedZoneId=ZONE_ID, RecordName=f"none.{ZONE}", RecordType="A")
        assert (told["ResponseCode"], told["RecordData"]) == ("NXDOMAIN", [])
