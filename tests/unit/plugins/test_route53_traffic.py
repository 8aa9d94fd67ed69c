"""route53_traffic through main(), against the lab's Route 53, name server and caching resolver."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.terragon.disaster_recovery.plugins.action import route53_traffic as action
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.route53 import Route53
from ansible_collections.terragon.disaster_recovery.plugins.modules import route53_traffic as module

from lab.aws.server import LabAws
from lab.dns.resolver import Resolver, Upstream
from lab.dns.server import DnsServer
from tests.unit.lab.aws_support import (
    ACCESS_KEY,
    SECRET_KEY,
    ZONE,
    ZONE_ID,
    change,
    client,
    eventually,
    record,
    records,
    running_aws,
)

ROOT = Path(__file__).resolve().parents[3]
DNS_HOST, RESOLVER_HOST = "127.77.0.1", "127.77.0.53"
API = f"api.{ZONE}"
OLD, NEW = "127.0.0.1", "127.0.0.2"
KEYS = {
    "changed", "records", "changes", "resolvers", "waits", "unverified", "problems", "outcome", "observed", "evidence",
    "diff",
}  # fmt: skip


@dataclass
class Rig:
    """A lab AWS with a resolver, and the module's way to it."""

    aws: LabAws
    route53: Any
    resolver: DnsServer
    credentials: Path
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def resolvers(self) -> list[dict[str, Any]]:
        return [{"name": "public", "address": RESOLVER_HOST, "port": self.resolver.port}]

    @property
    def name_servers(self) -> list[dict[str, Any]]:
        return [{"name": "ns-1", "address": DNS_HOST, "port": self.aws.dns_port}]

    def arguments(self, *wanted: dict[str, Any], **more: Any) -> dict[str, Any]:
        aws = {"endpoint_url": self.aws.endpoint_url, "credentials_file": str(self.credentials)}
        return {"aws": aws, "records": list(wanted), **self.extra, **more}

    def fault(self, **fault: Any) -> None:
        self.aws.faults.replace({"route53": fault} if fault else {})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory = tmp_path_factory.mktemp("aws")
    credentials = directory / "credentials"
    credentials.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key={SECRET_KEY}\n")
    with running_aws(directory) as aws:
        resolver = DnsServer(RESOLVER_HOST, 0, Resolver({ZONE: [Upstream(DNS_HOST, aws.dns_port)]}).respond)
        resolver.start()
        yield Rig(aws, client(aws), resolver, credentials)
        resolver.stop()


@pytest.fixture
def rig(lab: Rig) -> Iterator[Rig]:
    """The lab with no faults, its zone emptied after the test; every test uses names of its own in the resolver."""
    yield lab
    lab.fault()
    left = records(lab.route53)
    if left:
        change(lab.route53, *(("DELETE", one) for one in left))


def run(arguments: dict[str, Any], capsys: pytest.CaptureFixture[str], check_mode: bool = False) -> dict[str, Any]:
    """The module's result, from its own standard output."""
    with patch_module_args({**arguments, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
        module.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(result) >= KEYS or "unsupported" in result.get("msg", "").lower(), sorted(result)
    return result


def wanted(name: str = API, values: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"zone": ZONE, "name": name, "type": "A", "ttl": 60, "values": values or [NEW], **more}


def stored(rig: Rig, name: str) -> list[list[str]]:
    return [
        [item["Value"] for item in one["ResourceRecords"]]
        for one in records(rig.route53)
        if one["Name"] == f"{name}.{ZONE}."
    ]


def test_shifts_and_sees_it_arrive(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("shift", "A", OLD, ttl=1)))
    arguments = rig.arguments(wanted(f"shift.{ZONE}", ttl=1), resolvers=rig.resolvers, name_servers=rig.name_servers)
    result = run(arguments, capsys)
    assert result["changed"]
    assert result["outcome"] == "passed"
    assert result["observed"]
    assert result["unverified"] == []
    assert stored(rig, "shift") == [[NEW]]
    (only,) = result["records"]
    assert (only["ttl"], only["values"], only["before"]["values"]) == (1, [NEW], [OLD])
    (submitted,) = result["changes"]
    assert submitted["status"] == "INSYNC"
    assert submitted["zone"] == f"{ZONE}."
    assert submitted["insync"] >= submitted["submitted"]
    assert {(one["name"], one["authoritative"], one["agrees"]) for one in result["resolvers"]} == {
        ("public", False, True),
        ("ns-1", True, True),
    }
    assert all(one["answer"] == [NEW] and one["ttl"] <= 1 for one in result["resolvers"])
    assert sorted(wait["name"] for wait in result["waits"]) == ["dns_insync", "dns_ttl"]
    again = run(arguments, capsys)
    assert not again["changed"]
    assert again["changes"] == []
    assert again["diff"]["before"] == again["diff"]["after"]


def test_check_mode_predicts_what_the_run_does(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("plan", "A", OLD)), ("CREATE", record("same", "A", NEW)))
    arguments = rig.arguments(wanted(f"plan.{ZONE}"), wanted(f"same.{ZONE}"), name_servers=rig.name_servers)
    planned = run(arguments, capsys, check_mode=True)
    assert stored(rig, "plan") == [[OLD]]
    assert [one["status"] for one in planned["changes"]] == ["PLANNED"]
    assert {one["record"]: one["agrees"] for one in planned["resolvers"]} == {
        f"plan.{ZONE}.": False,
        f"same.{ZONE}.": True,
    }
    done = run(arguments, capsys)
    for key in ("changed", "records", "diff", "problems", "outcome"):
        assert planned[key] == done[key], key
    assert [one["changed"] for one in done["records"]] == [True, False]
    assert set(planned["changes"][0]) == set(done["changes"][0])


@pytest.mark.parametrize("by", ["name", "id"])
def test_only_what_differs_is_submitted_in_one_batch(rig: Rig, capsys: pytest.CaptureFixture[str], by: str) -> None:
    change(rig.route53, *(("CREATE", record(name, "A", OLD)) for name in ("one", "two", "three")))
    zone = ZONE if by == "name" else ZONE_ID
    shifted = [wanted(f"{name}.{ZONE}", zone=zone) for name in ("one", "two")]
    result = run(rig.arguments(*shifted, wanted(f"three.{ZONE}", [OLD], zone=zone)), capsys)
    assert len(result["changes"]) == 1
    assert [one["changed"] for one in result["records"]] == [True, True, False]


def test_many_names_are_read_a_page_at_a_time(rig: Rig) -> None:
    """The page ends between two record sets of one name, which is then read again as a whole."""
    route53 = Route53(rig.arguments()["aws"], 30.0)
    zone = route53.zone(ZONE_ID)
    calls: list[str] = []
    events = route53._client.meta.events
    events.register("before-call.route53.ListResourceRecordSets", lambda **_request: calls.append("list"))
    many = [record(f"m{number:03}", "A", OLD) for number in range(330) if number != 297]
    cut = [record("m297", "A", value, SetIdentifier=value, Weight=1) for value in (OLD, NEW)]
    made = [record("a", "A", OLD), record("b", "A", OLD), *many, *cut, record("z", "A", OLD)]
    change(rig.route53, *(("CREATE", one) for one in made))
    try:
        names = [f"{name}.{ZONE}." for name in ("z", "q", "m297", "b", "a")]
        found = route53.record_sets_of(zone, names)
        assert {name: len(sets) for name, sets in found.items()} == dict(zip(names, (1, 0, 2, 1, 1), strict=True))
        assert found == {name: route53.record_sets(zone, name) for name in names}
        assert len(calls) == 3 + len(names)
    finally:
        change(rig.route53, *(("DELETE", one) for one in made))


def test_everything_else_of_a_record_is_kept(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"Type": "TCP", "IPAddress": OLD, "Port": 1, "Disabled": True}
    made = rig.route53.create_health_check(CallerReference="kept", HealthCheckConfig=config)
    check = made["HealthCheck"]["Id"]
    before = record("kept", "A", OLD, SetIdentifier="east", Weight=7, HealthCheckId=check)
    change(rig.route53, ("CREATE", before))
    run(rig.arguments(wanted(f"kept.{ZONE}", set_identifier="east")), capsys)
    assert records(rig.route53) == [{**before, "ResourceRecords": [{"Value": NEW}]}]


def test_a_weighted_ramp_leaves_the_values(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    east = record("ramp", "A", OLD, ttl=1, SetIdentifier="east", Weight=100)
    west = record("ramp", "A", NEW, ttl=1, SetIdentifier="west", Weight=0)
    change(rig.route53, ("CREATE", east), ("CREATE", west))
    base = {"zone": ZONE, "name": f"ramp.{ZONE}", "type": "A"}
    half = [{**base, "set_identifier": "east", "weight": 50}, {**base, "set_identifier": "west", "weight": 50}]
    result = run(rig.arguments(*half, name_servers=rig.name_servers), capsys)
    assert records(rig.route53) == [{**east, "Weight": 50}, {**west, "Weight": 50}]
    assert len(result["changes"]) == 1
    assert [one["agrees"] for one in result["resolvers"]] == [None]
    assert not result["observed"]
    assert "proves nothing" in result["unverified"][0]
    full = [{**base, "set_identifier": "east", "weight": 0}, {**base, "set_identifier": "west", "weight": 100}]
    result = run(rig.arguments(*full, name_servers=rig.name_servers), capsys)
    assert [(one["agrees"], one["answer"]) for one in result["resolvers"]] == [(True, [NEW])]
    assert result["observed"]


PRIMARY = record("api", "A", OLD, SetIdentifier="a", Failover="PRIMARY")
EAST = record("api", "A", OLD, SetIdentifier="east", Weight=1)
ALIAS = {"HostedZoneId": ZONE_ID, "DNSName": f"target.{ZONE}.", "EvaluateTargetHealth": False}


@pytest.mark.parametrize(
    ("existing", "asked", "words"),
    [
        ([], {}, "does not exist (create: true would make it)"),
        ([], {"zone": "elsewhere.test", "name": "api.elsewhere.test"}, "Failed to find hosted zone elsewhere.test."),
        ([], {"zone": "Z00000000NONE"}, "NoSuchHostedZone"),
        ([], {"name": "api.elsewhere.test"}, "does not lie in hosted zone"),
        ([record("api", "CNAME", "other.test.")], {}, "is a CNAME record now, not A"),
        ([record("api", "A", OLD)], {"type": "CNAME", "values": ["other.test"]}, "is a A record now, not CNAME"),
        ([record("api", "A", OLD, ttl=300)], {}, "has TTL 300 s, not 60 s as expected"),
        ([record("api", "A", OLD, ttl=300)], {"expect": {"ttl": 120}}, "has TTL 300 s, not 120 s as expected"),
        ([record("api", "A", OLD)], {"expect": {"values": ["127.0.0.9"]}}, f"has values {OLD}, not 127.0.0.9"),
        ([record("api", "A", OLD)], {"expect": {"type": "CNAME"}}, "a record's type is never changed here"),
        ([EAST], {}, "has weighted routing now, not simple"),
        ([record("api", "A", OLD)], {"set_identifier": "east", "weight": 1}, "has simple routing now, not weighted"),
        ([record("api", "A", OLD)], {"set_identifier": "east"}, "has simple routing now"),
        ([EAST], {"set_identifier": "east", "failover": "PRIMARY"}, "has weighted routing now, not failover"),
        ([EAST], {"set_identifier": "west", "weight": 1}, "does not exist"),
        ([EAST], {"set_identifier": "west", "weight": 1, "ttl": 5, "create": True}, "TTLs 5, 60 s"),
        ([PRIMARY], {"set_identifier": "b", "failover": "PRIMARY", "create": True}, "would have 2 PRIMARY records"),
        ([record("api", "A", OLD)], {"health_check_id": "none"}, "health check none does not exist"),
        ([record("target", "A", OLD), record("api", "A", AliasTarget=ALIAS)], {}, "is an alias of"),
    ],
)
def test_refuses_and_changes_nothing(
    rig: Rig,
    capsys: pytest.CaptureFixture[str],
    existing: list[dict[str, Any]],
    asked: dict[str, Any],
    words: str,
) -> None:
    """The good record beside the bad one is left alone too; `observed` tells the same as a problem."""
    good = record("good", "A", OLD)
    change(rig.route53, ("CREATE", good), *(("CREATE", one) for one in existing))
    before = records(rig.route53)
    asked = dict(asked)
    create = asked.pop("create", False)
    arguments = rig.arguments(wanted(f"good.{ZONE}"), wanted(**{"name": API, **asked}), create=create)
    for check_mode in (False, True):
        result = run(arguments, capsys, check_mode)
        assert result["failed"]
        assert words in result["msg"]
        assert "nothing was changed" in result["msg"]
        assert not result["changed"]
        assert result["outcome"] == "failed"
    assert records(rig.route53) == before
    seen = run({**arguments, "state": "observed"}, capsys)
    assert "failed" not in seen
    assert seen["outcome"] == "failed"
    assert len(seen["problems"]) == 1
    assert words in seen["problems"][0]


@pytest.mark.parametrize(
    ("existing", "asked", "after"),
    [
        ([], {"create": True}, record("api", "A", NEW)),
        ([record("api", "A", OLD, ttl=300)], {"expect": {"ttl": 300}}, record("api", "A", NEW)),
        ([record("api", "A", OLD, ttl=300)], {"ttl": None}, record("api", "A", NEW, ttl=300)),
        ([record("api", "A", OLD)], {"expect": {"values": [OLD]}}, record("api", "A", NEW)),
        ([record("api", "AAAA", "::1")], {"create": True}, record("api", "A", NEW)),
        (
            [record("api", "CNAME", "old.test.")],
            {"type": "CNAME", "values": ["new.test"]},
            record("api", "CNAME", "new.test"),
        ),
        ([EAST], {"set_identifier": "west", "weight": 3, "create": True}, {**EAST, "SetIdentifier": "west"}),
        (
            [record("\\052", "A", OLD) | {"Name": f"\\052.{ZONE}."}],
            {"name": f"*.{ZONE}"},
            record("\\052", "A", NEW) | {"Name": f"\\052.{ZONE}."},
        ),
    ],
)
def test_changes_what_is_as_expected(
    rig: Rig,
    capsys: pytest.CaptureFixture[str],
    existing: list[dict[str, Any]],
    asked: dict[str, Any],
    after: dict[str, Any],
) -> None:
    if existing:
        change(rig.route53, *(("CREATE", one) for one in existing))
    asked = dict(asked)
    create = asked.pop("create", False)
    arguments = rig.arguments(wanted(**{"name": API, **asked}), create=create)
    result = run(arguments, capsys)
    assert result["changed"], result
    assert result["changes"][0]["status"] == "INSYNC"
    if "SetIdentifier" in after:
        after = {**after, "Weight": 3, "ResourceRecords": [{"Value": NEW}]}
    assert after in records(rig.route53)
    assert not run(arguments, capsys)["changed"]


@pytest.mark.parametrize(
    ("rdtype", "values", "asked"),
    [
        ("A", [OLD, NEW], [NEW, OLD]),
        ("AAAA", ["2001:db8::1"], ["2001:0DB8:0:0::1"]),
        ("CNAME", ["Target.Test."], ["target.test"]),
    ],
)
def test_values_compare_in_any_order_and_spelling(
    rig: Rig, capsys: pytest.CaptureFixture[str], rdtype: str, values: list[str], asked: list[str]
) -> None:
    change(rig.route53, ("CREATE", record("api", rdtype, *values)))
    result = run(rig.arguments(wanted(values=asked, type=rdtype), name_servers=rig.name_servers), capsys)
    assert not result["changed"]
    assert [one["agrees"] for one in result["resolvers"]] == [True]


def test_failover_roles_swap_in_one_batch(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(
        rig.route53,
        ("CREATE", PRIMARY),
        ("CREATE", record("api", "A", NEW, SetIdentifier="b", Failover="SECONDARY")),
    )
    base = {"zone": ZONE, "name": API, "type": "A"}
    swapped = [
        {**base, "set_identifier": "a", "failover": "SECONDARY"},
        {**base, "set_identifier": "b", "failover": "PRIMARY"},
    ]
    assert run(rig.arguments(*swapped), capsys)["changed"]
    assert [(one["SetIdentifier"], one["Failover"]) for one in records(rig.route53)] == [
        ("a", "SECONDARY"),
        ("b", "PRIMARY"),
    ]


def test_observed_reads_and_tells(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("seen", "A", OLD, ttl=60)))
    arguments = rig.arguments(wanted(f"seen.{ZONE}"), state="observed", resolvers=rig.resolvers)
    result = run(arguments, capsys)
    assert (result["changed"], result["outcome"], result["problems"]) == (False, "passed", [])
    assert result["records"][0]["before"]["values"] == [OLD]
    assert result["records"][0]["values"] == [NEW]
    assert result["resolvers"][0]["answer"] == [OLD]
    assert result["diff"]["before"] == result["diff"]["after"]
    change(rig.route53, ("UPSERT", record("seen", "A", NEW, ttl=60)))
    stale = run(arguments, capsys)
    assert stale["outcome"] == "failed"
    assert f"public ({RESOLVER_HOST}) answers {OLD}" in stale["problems"][0]
    nobody = [{"name": "gone", "address": "127.77.0.99", "port": 9}]
    blind = run({**arguments, "resolvers": nobody}, capsys)
    assert blind["outcome"] == "unverified"
    assert "gone" in blind["unverified"][0]


def test_repeats_what_is_throttled_or_fails(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("api", "A", OLD)))
    for error in ("throttle", "503"):
        rig.fault(error=error)
        lifted = threading.Timer(0.4, rig.fault)
        lifted.start()
        value = NEW if error == "throttle" else OLD
        assert run(rig.arguments(wanted(values=[value])), capsys)["changed"]
        lifted.join()


def test_repeats_while_another_request_holds_the_zone(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("api", "A", OLD)))
    with rig.aws.store.changing(ZONE_ID, 0):
        results: list[dict[str, Any]] = []
        done = threading.Thread(target=lambda: results.append(run(rig.arguments(wanted()), capsys)))
        done.start()
        eventually(lambda: threading.active_count() > 1)
    done.join()
    assert results[0]["changed"]


@pytest.mark.parametrize("error", ["throttle", "503"])
def test_gives_up_after_the_timeout(rig: Rig, capsys: pytest.CaptureFixture[str], error: str) -> None:
    change(rig.route53, ("CREATE", record("api", "A", OLD)))
    rig.fault(error=error)
    result = run(rig.arguments(wanted(), timeout=0.3), capsys)
    assert result["failed"]
    assert f"Failed to find hosted zone {ZONE}" in result["msg"]
    assert not result["changed"]


def test_a_change_that_stays_pending_is_no_success(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("api", "A", OLD)))
    rig.fault(insync_seconds=3600)
    result = run(rig.arguments(wanted(), timeout=0.3), capsys)
    assert result["failed"]
    assert "to be INSYNC: it is PENDING" in result["msg"]
    assert result["changed"]
    assert not result["observed"]
    assert [one["status"] for one in result["changes"]] == ["PENDING"]
    not_awaited = run(rig.arguments(wanted(values=[OLD]), wait_insync=False), capsys)
    assert "failed" not in not_awaited
    assert not not_awaited["observed"]
    assert "INSYNC was not awaited" in not_awaited["unverified"][0]
    rerun = run(rig.arguments(wanted(values=[OLD])), capsys)
    assert not rerun["changed"]
    assert "may be PENDING" in rerun["unverified"][0]


def test_a_resolver_with_the_old_answer_is_no_success(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("cached", "A", OLD, ttl=600)))
    asked = rig.arguments(wanted(f"cached.{ZONE}", ttl=600), resolvers=rig.resolvers, wait_resolvers_timeout=0.3)
    assert run({**asked, "state": "observed"}, capsys)["outcome"] == "passed"
    result = run(asked, capsys)
    assert result["failed"]
    assert f"public answers {OLD} for cached.{ZONE}. A" in result["msg"]
    assert result["changed"]
    assert [(one["agrees"], one["seconds"]) for one in result["resolvers"]] == [(False, None)]
    assert result["changes"][0]["status"] == "INSYNC"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"resolvers": [{"name": "r", "address": "resolver.test"}]}, "'resolver.test' is no IP address"),
        ({"aws": {"endpoint_url": "http://127.77.0.1:9", "credentials_file": "/none"}}, "no such file or profile"),
        ({"records": [wanted(), wanted()]}, "is listed twice"),
        ({"records": [wanted(values=["::1"])]}, "'::1', which is no value of type A"),
        ({"records": [wanted(values=["a.test", "b.test"], type="CNAME")]}, "a CNAME has one"),
        ({"records": [wanted(weight=256, set_identifier="e")]}, "must lie between 0 and 255"),
        ({"records": [wanted(ttl=-1)]}, "has ttl -1"),
        ({"records": [wanted(weight=1)]}, "needs a set_identifier"),
        ({"records": [wanted(weight=1, failover="PRIMARY", set_identifier="e")]}, "both weight and failover"),
        ({"records": [wanted() | {"values": []}]}, "has no values"),
    ],
)
def test_bad_input_is_named(rig: Rig, capsys: pytest.CaptureFixture[str], more: dict[str, Any], words: str) -> None:
    result = run({**rig.arguments(wanted()), **more}, capsys)
    assert result["failed"]
    assert words in result["msg"]


def test_wrong_credentials_are_named_at_once(rig: Rig, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    wrong = tmp_path / "credentials"
    wrong.write_text(f"[default]\naws_access_key_id={ACCESS_KEY}\naws_secret_access_key=wrong\n")
    arguments = rig.arguments(wanted())
    arguments["aws"]["credentials_file"] = str(wrong)
    result = run(arguments, capsys)
    assert "SignatureDoesNotMatch" in result["msg"]
    assert "Check the credentials" in result["msg"]
    assert SECRET_KEY not in json.dumps(result)


def test_an_endpoint_that_does_not_answer_is_named(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = rig.arguments(wanted(), timeout=0.2)
    arguments["aws"]["endpoint_url"] = "http://127.77.0.99:9"
    result = run(arguments, capsys)
    assert "127.77.0.99:9" in result["msg"]
    assert "still so after 0.2 s of retries" in result["msg"]


def test_an_api_that_takes_requests_and_never_answers_is_named(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    change(rig.route53, ("CREATE", record("api", "A", OLD)))
    rig.fault(blackhole=True)
    arguments = rig.arguments(wanted(), timeout=0.2)
    arguments["aws"]["timeout"] = 0.3
    result = run(arguments, capsys)
    assert f"Failed to find hosted zone {ZONE}" in result["msg"]
    assert "still so after 0.2 s of retries" in result["msg"]
    assert "Read timeout" in result["msg"]
    assert "Run again when the API answers." in result["msg"]
    assert not result["changed"]
    rig.fault()
    assert run(rig.arguments(wanted()), capsys)["changed"]


def test_a_change_whose_answer_is_lost_is_made_once(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    """The API takes the change late: the module has given that try up, and repeats an UPSERT of the same."""
    change(rig.route53, ("CREATE", record("api", "A", OLD)))
    rig.fault(latency_seconds=0.6)
    arguments = rig.arguments(wanted(), timeout=30.0)
    arguments["aws"]["timeout"] = 0.3
    lifted = threading.Timer(2.0, rig.fault)
    lifted.start()
    result = run(arguments, capsys)
    lifted.join()
    assert "failed" not in result, result.get("msg")
    assert stored(rig, "api") == [[NEW]]


def test_the_action_runs_the_same_service() -> None:
    assert action.ActionModule.specification is module.SPECIFICATION
    assert action.ActionModule.service is module.run


def test_module_and_action_agree_under_ansible(rig: Rig, tmp_path: Path) -> None:
    """The same task in process and as a module, in check mode, gives one result."""
    change(rig.route53, ("CREATE", record("api", "A", OLD)))
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_python_interpreter": sys.executable},
        "tasks": [
            {
                "terragon.disaster_recovery.route53_traffic": rig.arguments(wanted(), name_servers=rig.name_servers),
                "vars": {"dr_in_process": in_process},
                "check_mode": True,
                "register": f"result_{in_process}".lower(),
            }
            for in_process in (True, False)
        ]
        + [
            {
                "ansible.builtin.copy": {
                    "dest": str(tmp_path / "results.json"),
                    "content": "{{ [result_true, result_false] | to_json }}",
                    "mode": "0600",
                }
            }
        ],
    }
    playbook = tmp_path / "play.yml"
    playbook.write_text(json.dumps([play]))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", str(playbook)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    in_process, as_module = json.loads((tmp_path / "results.json").read_text())
    assert in_process["changed"]
    assert {key: in_process[key] for key in KEYS} == {key: as_module[key] for key in KEYS}
