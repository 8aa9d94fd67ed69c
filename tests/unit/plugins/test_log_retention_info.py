"""log_retention_info against moto's CloudWatch and SeaweedFS's lifecycle, as a module and as an action."""

from __future__ import annotations

import time
import typing as t
import uuid
from pathlib import Path

import pytest
from moto.core import set_initial_no_auth_action_count

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.secrets_support import aws_of, client_of, moto_server
from tests.unit.servers import S3Server

KEYS = {"changed", "outcome", "problems", "unverified", "logs", "evidence"}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, t.Any]]:
    with moto_server() as url:
        yield aws_of(url, tmp_path_factory.mktemp("aws"))


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


def group(aws: dict[str, t.Any], days: int | None = None, age: float | None = None) -> str:
    """A log group; `age`: seconds since its only event."""
    logs, name = client_of("logs", aws), f"/lab/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=name)
    if days:
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    logs.create_log_stream(logGroupName=name, logStreamName="one")
    if age is not None:
        event = {"timestamp": int((time.time() - age) * 1000), "message": "hello"}
        logs.put_log_events(logGroupName=name, logStreamName="one", logEvents=[event])
    return name


# retention, age of the newest event, what is asked, outcome, what is said
GROUPS = [
    pytest.param(30, None, {}, "passed", "", id="long-enough"),
    pytest.param(None, None, {}, "passed", "", id="never-expires"),
    pytest.param(14, None, {}, "failed", "it keeps events for 14 days, not 30", id="too-short"),
    pytest.param(14, None, {"minimum_days": 7}, "passed", "", id="another-minimum"),
    pytest.param(30, 60, {"newest_within_seconds": 3600}, "passed", "", id="young"),
    pytest.param(30, 7200, {"newest_within_seconds": 3600}, "failed", "no event has come since", id="stopped"),
    pytest.param(30, None, {"newest_within_seconds": 3600}, "failed", "no event has come since", id="never-an-event"),
]


@pytest.mark.parametrize(("days", "age", "asked", "outcome", "told"), GROUPS)
def test_log_groups(
    both: BothWays,
    aws: dict[str, t.Any],
    days: int | None,
    age: float | None,
    asked: dict[str, t.Any],
    outcome: str,
    told: str,
) -> None:
    name = group(aws, days, age)
    result = both("log_retention_info", {"aws": aws, "log_groups": [{"name": name, **asked}]})
    assert set(result) >= KEYS, result
    assert (result["outcome"], result["changed"]) == (outcome, False)
    assert bool(result["problems"]) == (outcome == "failed")
    assert all(one.startswith(f"log group {name}: {told}") for one in result["problems"])
    assert result["logs"][0]["retention_days"] == days


def test_a_group_that_only_begins_with_the_name_is_another(both: BothWays, aws: dict[str, t.Any]) -> None:
    name = group(aws, 30)
    result = both("log_retention_info", {"aws": aws, "log_groups": [{"name": name[:-1]}, {"name": name}]})
    assert result["problems"] == [f"log group {name[:-1]}: it does not exist"]
    assert [one["outcome"] for one in result["logs"]] == ["failed", "passed"]


def test_what_cannot_be_asked_is_unverified(both: BothWays, aws: dict[str, t.Any]) -> None:
    name = group(aws, 30)
    dead = {**aws, "endpoint_url": "http://127.77.9.9:9", "timeout": 1}
    with_denial = set_initial_no_auth_action_count(0)(both)
    for call, reached in ((both, dead), (with_denial, aws)):
        result = call("log_retention_info", {"aws": reached, "log_groups": [{"name": name}]})
        assert (result["outcome"], result["problems"]) == ("unverified", [])
        assert result["unverified"]
    assert both("log_retention_info", {})["outcome"] == "unverified"


def rule(prefix: str = "", **expiration: t.Any) -> dict[str, t.Any]:
    return {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": expiration}


# rules of the bucket, outcome, what is said
RULES = [
    pytest.param([], "passed", "", id="none"),
    pytest.param([rule("api/", Days=31)], "passed", "", id="long-enough"),
    pytest.param([rule("api/", Days=7)], "failed", "rule tidy (api/*) removes objects after 7 days", id="too-short"),
    pytest.param([rule(Days=7)], "failed", "rule tidy removes objects after 7 days", id="whole-bucket"),
    pytest.param([rule("api/old/", Days=7)], "failed", "rule tidy (api/old/*) removes", id="a-part"),
    pytest.param([rule("other/", Days=7)], "passed", "", id="of-another-prefix"),
    pytest.param([{**rule("api/", Days=7), "Status": "Disabled"}], "passed", "", id="disabled"),
]


@pytest.mark.parametrize(("rules", "outcome", "told"), RULES)
def test_buckets(both: BothWays, s3_server: S3Server, rules: list[dict[str, t.Any]], outcome: str, told: str) -> None:
    store = s3_server.store("logs-kept", name="us-east-1", prefix="api/")
    client = s3_server.client()
    client.delete_bucket_lifecycle(Bucket="logs-kept")
    if rules:
        client.put_bucket_lifecycle_configuration(Bucket="logs-kept", LifecycleConfiguration={"Rules": rules})
    result = both("log_retention_info", {"buckets": [store]})
    assert result["outcome"] == outcome, result
    assert all(one.startswith(f"bucket logs-kept/api/: {told}") for one in result["problems"])


def test_the_newest_object_of_a_bucket(both: BothWays, s3_server: S3Server, tmp_path: Path) -> None:
    store = s3_server.store("logs-new", name="us-east-1", prefix=f"{uuid.uuid4().hex}/")
    asked = {**store, "newest_within_seconds": 3600}
    assert "there is no object" in both("log_retention_info", {"buckets": [asked]})["problems"][0]
    s3_server.client().put_object(Bucket="logs-new", Key=f"{store['prefix']}a", Body=b"x")
    assert both("log_retention_info", {"buckets": [asked]})["outcome"] == "passed"
    old = both("log_retention_info", {"buckets": [{**asked, "newest_within_seconds": -10}]})
    assert "the newest object is" in old["problems"][0]
    gone = both("log_retention_info", {"buckets": [{**asked, "bucket": "logs-nowhere"}]})
    assert gone["outcome"] == "failed", gone
    (tmp_path / "bad").write_text("[default]\naws_access_key_id = X\naws_secret_access_key = Y\n")
    denied = both("log_retention_info", {"buckets": [{**asked, "credentials_file": str(tmp_path / "bad")}]})
    assert (denied["outcome"], denied["problems"]) == ("unverified", [])
