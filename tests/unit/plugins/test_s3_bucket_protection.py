"""s3_bucket_protection with SeaweedFS, also two that replicate, and moto's S3 for what SeaweedFS has not."""

from __future__ import annotations

import subprocess
import typing as t
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.secrets_support import aws_of, client_of, moto_server
from tests.unit.processes import eventually, kill
from tests.unit.servers import S3Server

KEYS = {"changed", "outcome", "problems", "unverified", "checks", "diff", "evidence"}
NAME = "s3_bucket_protection"


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[dict[str, t.Any]]:
    with moto_server() as url:
        yield aws_of(url, tmp_path_factory.mktemp("aws"))


class Pair:
    """Two buckets, of which the second should have what the first has."""

    def __init__(self, both: BothWays, server: S3Server) -> None:
        self.both, self.client = both, server.client()
        self.prefix = f"{uuid.uuid4().hex}/"
        self.store = server.store("models-east", name="us-east-1", prefix=self.prefix)
        self.replica = server.store("models-west", name="us-west-2", prefix=self.prefix)
        for bucket in ("models-east", "models-west"):
            self.versioning(bucket, "Enabled")
            self.client.delete_bucket_lifecycle(Bucket=bucket)

    def versioning(self, bucket: str, status: str) -> None:
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})

    def lifecycle(self, *rules: dict[str, t.Any]) -> None:
        whole = [{"Status": "Enabled", "Filter": {"Prefix": self.prefix}, **rule} for rule in rules]
        self.client.put_bucket_lifecycle_configuration(Bucket="models-east", LifecycleConfiguration={"Rules": whole})

    def put(self, key: str, body: bytes, *, here: bool = True, there: bool = True) -> None:
        for bucket, wanted in (("models-east", here), ("models-west", there)):
            if wanted:
                self.client.put_object(Bucket=bucket, Key=self.prefix + key, Body=body)

    def do(self, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        given = {"store": self.store, "replica": self.replica, "maximum_lag_seconds": -10, **options}
        result = self.both(NAME, given, check)
        assert set(result) >= KEYS, result
        return result


@pytest.fixture
def pair(both: BothWays, s3_server: S3Server) -> Pair:
    return Pair(both, s3_server)


def test_healthy(pair: Pair) -> None:
    for number in range(3):
        pair.put("model.bin", f"weights {number}".encode())
    pair.put("another.bin", b"x" * 100)
    pair.lifecycle({"ID": "old", "NoncurrentVersionExpiration": {"NoncurrentDays": 31}})
    for newest in (100, 2, 0):
        result = pair.do(newest=newest)
        assert (result["outcome"], result["problems"], result["unverified"]) == ("passed", [], [])
        found = result["checks"][2]
        assert (found["compared"], found["late"], found["lag_seconds"]) == (2 if newest == 2 else 4, 0, 0)


def expiring(**rule: t.Any) -> Callable[[Pair], None]:
    return lambda pair: pair.lifecycle({"ID": "tidy", **rule})


def suspend(pair: Pair) -> None:
    pair.versioning("models-east", "Suspended")


def overwrite_there(pair: Pair) -> None:
    pair.client.put_object(Bucket="models-west", Key=pair.prefix + "late.bin", Body=b"wrong")
    pair.put("late.bin", b"right", there=False)


# how it is broken, what is said
DEFECTS = [
    ("versioning-suspended", suspend, "versioning: it is suspended"),
    ("current-expire", expiring(Expiration={"Days": 365}), "lifecycle: rule tidy"),
    ("noncurrent-too-early", expiring(NoncurrentVersionExpiration={"NoncurrentDays": 7}), "after 7 days, not 30"),
    ("not-replicated", lambda pair: pair.put("late.bin", b"x", there=False), "late.bin"),
    ("not-replicated", lambda pair: pair.put("late.bin", b"x", there=False), "is missing in bucket models-west"),
    ("older-version-there", lambda pair: pair.put("first.bin", b"y", there=False), "is different in bucket"),
    ("other-content-there", overwrite_there, "is different in bucket models-west"),
    ("truncated-there", lambda pair: (pair.put("t", b"long", there=False), pair.put("t", b"lo", here=False)),
     "is different in bucket"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "told"), [pytest.param(*case[1:], id=case[0]) for case in DEFECTS])
def test_planted_defects(pair: Pair, plant: Callable[[Pair], object], told: str) -> None:
    pair.put("first.bin", b"x")
    assert pair.do()["outcome"] == "passed"
    plant(pair)
    result = pair.do()
    assert result["outcome"] == "failed"
    assert any(told in one for one in result["problems"]), result["problems"]
    assert not result["changed"]


def test_what_is_young_is_under_way(pair: Pair) -> None:
    pair.put("late.bin", b"x", there=False)
    result = pair.do(maximum_lag_seconds=3600)
    assert result["outcome"] == "passed"
    assert (result["checks"][2]["under_way"], result["checks"][2]["late"]) == (1, 0)


def test_the_newest_are_looked_for_not_the_first(pair: Pair) -> None:
    pair.put("a-old.bin", b"x", there=False)
    for number in range(3):
        pair.put(f"z-{number}", b"x")
    assert pair.do(newest=0)["outcome"] == "failed"
    pair.put("a-old.bin", b"newer")  # the newest of the first key is there, its older version is not
    assert pair.do(newest=1)["outcome"] == "passed"


def test_set_and_left_alone(pair: Pair) -> None:
    pair.versioning("models-east", "Suspended")
    pair.lifecycle({"ID": "theirs", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}})
    given = {"state": "present", "replication": "none", "retention_days": 7}
    check = pair.do(check=True, **given)
    assert (check["changed"], check["outcome"]) == (True, "failed")
    done = pair.do(**given)
    assert (done["changed"], done["outcome"], done["diff"]) == (True, "passed", check["diff"])
    rules = pair.client.get_bucket_lifecycle_configuration(Bucket="models-east")["Rules"]
    assert sorted(rule["ID"] for rule in rules) == ["terragon-disaster-recovery", "theirs"]
    for in_check in (True, False):
        assert not pair.do(check=in_check, **given)["changed"]
    assert pair.do(replication="none", retention_days=30)["outcome"] == "failed"


def test_what_cannot_be_asked_is_unverified(pair: Pair, tmp_path: Path) -> None:
    pair.put("first.bin", b"x")
    dead = {**pair.replica, "endpoint_url": "http://127.77.9.9:9", "timeout": 1}
    gone = pair.do(replica=dead)
    assert (gone["outcome"], gone["problems"]) == ("unverified", [])
    (tmp_path / "bad").write_text("[default]\naws_access_key_id = X\naws_secret_access_key = Y\n")
    denied = pair.do(store={**pair.store, "credentials_file": str(tmp_path / "bad")})
    assert (denied["outcome"], denied["problems"]) == ("unverified", [])
    empty = pair.do(store={**pair.store, "prefix": "nothing/"})
    assert "holds no version to observe" in empty["unverified"][0]
    assert pair.do(public_access_blocked=True)["outcome"] == "unverified"  # SeaweedFS does not know it


def test_what_only_s3_has(both: BothWays, moto: dict[str, t.Any]) -> None:
    client, mark = client_of("s3", moto), uuid.uuid4().hex[:8]
    names = [f"{where}-{mark}" for where in ("east", "west")]
    stores = [{**moto, "name": name, "bucket": name} for name in names]
    for name in names:
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=name == names[0])
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket=name, Key="model", Body=b"x")
    asked = {"store": stores[0], "replica": stores[1], "replication": "configured", "object_lock": True}
    asked["public_access_blocked"] = True
    bare = both(NAME, asked)
    assert [one["check"] for one in bare["checks"] if one["outcome"] == "failed"] == [
        "replication_configuration",
        "public_access",
    ]
    blocks = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    client.put_public_access_block(Bucket=names[0], PublicAccessBlockConfiguration=dict.fromkeys(blocks, True))
    rule = {"ID": "all", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""}}
    rule["Destination"] = {"Bucket": f"arn:aws:s3:::{names[1]}"}
    rule["DeleteMarkerReplication"] = {"Status": "Disabled"}
    replication = {"Role": "arn:aws:iam::123456789012:role/replication", "Rules": [rule]}
    client.put_bucket_replication(Bucket=names[0], ReplicationConfiguration=replication)
    assert both(NAME, asked)["problems"] == []
    other = both(NAME, {**asked, "store": stores[1], "replica": stores[0]})
    assert {one["check"] for one in other["checks"] if one["outcome"] == "failed"} == {
        "object_lock", "public_access", "replication_configuration",
    }  # fmt: skip


def test_two_stores_that_replicate(
    capsys: pytest.CaptureFixture[str], s3_server_factory: Callable[[Path], S3Server], tmp_path: Path
) -> None:
    """The replication of the lab's stores, and its end, are seen in the objects' own version IDs."""
    servers = [s3_server_factory(tmp_path / name) for name in ("east", "west")]
    stores = [server.store("models", name=name) for server, name in zip(servers, ("east", "west"), strict=True)]
    client = servers[0].client()
    client.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    filers = [f"{one.host}:{one._ports['filer']}.{one._grpc['filer']}" for one in servers]
    weed = Path(servers[0].process.args[0])  # type: ignore[union-attr, index]
    command = [str(weed), "filer.sync", "-a", filers[0], "-b", filers[1], "-isActivePassive"]
    with (tmp_path / "sync.log").open("wb") as log:
        sync = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    both = BothWays("action", capsys)
    asked = {"store": stores[0], "replica": stores[1], "maximum_lag_seconds": -10, "newest": 0}
    try:
        for number in range(5):
            client.put_object(Bucket="models", Key="model.bin", Body=f"weights {number}".encode())
        eventually(lambda: both(NAME, asked)["checks"][2]["late"] == 0, "all versions are in the other store")
        passed = both(NAME, asked)
        assert passed["checks"][2]["compared"] == 5
        assert passed["checks"][2]["outcome"] == "passed"
    finally:
        kill(sync)
    client.put_object(Bucket="models", Key="model.bin", Body=b"weights 5")
    stopped = both(NAME, asked)
    assert (stopped["outcome"], stopped["checks"][2]["late"]) == ("failed", 1)
