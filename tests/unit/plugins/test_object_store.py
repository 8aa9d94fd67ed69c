"""The conditional store against a real SeaweedFS."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError, Unreachable
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import (
    ObjectMissing,
    ObjectStore,
    PreconditionFailed,
    StoreClock,
)

from tests.unit.servers import S3Server
from tests.unit.tcp_proxy import TcpProxy


@pytest.fixture
def options(s3_server: S3Server) -> dict[str, Any]:
    return s3_server.store("object-store", prefix=f"{uuid.uuid4().hex}/")


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[TcpProxy]:
    proxy = TcpProxy(s3_server.endpoint_url)
    yield proxy
    proxy.close()


def test_an_object_is_created_once_and_replaced_only_as_read(options: dict[str, Any]) -> None:
    store = ObjectStore(options)
    with pytest.raises(ObjectMissing, match="a\\.json"):
        store.get("a.json")
    first = store.put("a.json", b"1", absent=True)
    with pytest.raises(PreconditionFailed):
        store.put("a.json", b"2", absent=True)
    second = store.put("a.json", b"2", match=first)
    with pytest.raises(PreconditionFailed):
        store.put("a.json", b"3", match=first)
    found = store.get("a.json")
    assert (found.body, found.etag) == (b"2", second)
    assert store.keys() == ["a.json"]


def test_replacing_what_is_gone_fails_as_a_lost_race(options: dict[str, Any]) -> None:
    with pytest.raises(PreconditionFailed):
        ObjectStore(options).put("gone.json", b"1", match='"0123456789abcdef0123456789abcdef"')


def test_keys_come_in_pages_and_without_the_prefix(s3_server: S3Server) -> None:
    store = ObjectStore(s3_server.store("object-store-pages", prefix="p/"))
    names = [f"{number:04d}" for number in range(12)]
    for name in names:
        store.put(name, b"x")
    store._client.meta.events.register(
        "before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=5)
    )
    assert store.keys() == names


def test_a_locked_object_keeps_its_version(s3_server: S3Server) -> None:
    options = s3_server.store("object-store-locked", object_lock=True)
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    ObjectStore(options).put("kept", b"1", retain_until=until)
    client = s3_server.client()
    version = client.head_object(Bucket=options["bucket"], Key="kept")["VersionId"]
    with pytest.raises(client.exceptions.ClientError):
        client.delete_object(Bucket=options["bucket"], Key="kept", VersionId=version)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"bucket": "no-such-bucket"}, RecoveryError, "the bucket does not exist"),
        ({"endpoint_url": "http://127.0.0.1:9"}, Unreachable, "Check the store's endpoint"),
        ({"credentials_file": "/nonexistent"}, RecoveryError, "no such file or profile"),
    ],
)
def test_a_store_that_cannot_be_used_says_why(
    options: dict[str, Any], change: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        ObjectStore({**options, **change}).get("x")


def test_wrong_keys_are_no_outage(options: dict[str, Any], tmp_path: Any) -> None:
    wrong = tmp_path / "credentials"
    wrong.write_text("[default]\naws_access_key_id = AKIATESTTESTTEST0001\naws_secret_access_key = wrong\n")
    with pytest.raises(RecoveryError, match="credentials and permissions") as raised:
        ObjectStore({**options, "credentials_file": str(wrong)}).get("x")
    assert not isinstance(raised.value, Unreachable)
    assert "wrong" not in str(raised.value)


@pytest.mark.parametrize("mode", ["refuse", "hang", "lose_answers"])
def test_no_answer_is_unreachable(options: dict[str, Any], proxy: TcpProxy, mode: str) -> None:
    store = ObjectStore({**options, "endpoint_url": proxy.endpoint_url, "timeout": 0.5})
    store.put("x", b"1")
    proxy.set(mode)
    with pytest.raises(Unreachable):
        store.put("x", b"2")
    proxy.set("pass")
    assert store.get("x").body in (b"1", b"2")


@pytest.mark.parametrize("skew", [0.0, -300.0, 7200.0])
def test_the_clock_of_the_store_is_bounded_from_both_sides(
    options: dict[str, Any], proxy: TcpProxy, skew: float
) -> None:
    proxy.skew_seconds = skew
    store = ObjectStore({**options, "endpoint_url": proxy.endpoint_url})
    assert store.clock.at_least(time.monotonic()) is None
    with pytest.raises(ObjectMissing):  # an error is an answer, too
        store.get("x")
    store.put("x", b"1")
    moment = time.monotonic()
    truth = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=skew)
    least, most = store.clock.at_least(moment), store.clock.at_most(moment)
    assert least is not None and most is not None
    slack = dt.timedelta(milliseconds=5)  # between reading the two clocks above
    assert least <= truth + slack and truth - slack <= most


def test_many_answers_narrow_the_bounds() -> None:
    clock = StoreClock()
    start = dt.datetime(2026, 1, 1, 12, 0, 0, tzinfo=dt.UTC)
    for step in range(50):  # the store's true time is start + step * 0.09 s, its Date rounds down
        true = step * 0.09
        clock.observe(start + dt.timedelta(seconds=int(true)), sent=100 + true - 0.001, received=100 + true + 0.001)
    widths = []
    for moment in (104.5, 110.0):  # just after the last answer, and when it has aged: clocks run at other rates
        least, most = clock.at_least(moment), clock.at_most(moment)
        truth = start + dt.timedelta(seconds=moment - 100)
        assert least is not None and most is not None and least <= truth <= most
        widths.append((most - least).total_seconds())
    assert widths[0] < 0.2 and widths[0] < widths[1]
