"""health_probe against real servers, as a module and as an action."""

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import dns.rcode
import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.probe_servers import (
    Api,
    Names,
    certificate_for,
    closed_port,
    serving,
    silent_tcp,
    silent_udp,
)

NAME = "api.example.test"
KEYS = {"changed", "outcome", "checks", "services", "problems", "unverified", "waits", "evidence"}


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def api() -> t.Iterator[Api]:
    with serving(Api()) as one:
        yield one


@pytest.fixture(scope="module")
def name_servers() -> t.Iterator[tuple[Names, Names]]:
    with Names() as right, Names() as wrong:
        yield right, wrong


@pytest.fixture
def names(name_servers: tuple[Names, Names]) -> Names:
    """A name server that knows where the service is."""
    name_servers[0].reset({(NAME, "A"): (60, ["127.0.0.1"])})
    return name_servers[0]


@pytest.fixture
def wrong_names(name_servers: tuple[Names, Names]) -> Names:
    """Another that sends everybody where nobody listens."""
    name_servers[1].reset({(NAME, "A"): (60, ["127.1.2.3"])})
    return name_servers[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for(NAME, tmp_path_factory.mktemp("tls"))


def probe(both: BothWays, *checks: dict[str, t.Any], check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    given = {"retries": 0, "required": False, "timeout": 2, "interval": 0.02, **options}
    result = both("health_probe", {"checks": list(checks), **given}, check)
    if "outcome" in result:
        assert set(result) >= KEYS
        assert result["changed"] is False
    return result


def http(url: str, **options: t.Any) -> dict[str, t.Any]:
    return {"name": "up", "service": "api", "kind": "http", "url": url, **options}


HTTP_CASES = [
    pytest.param(("/health", {}), "passed", "", id="200"),
    pytest.param(("/health", {"expect_contains": '"ok"'}), "passed", "", id="body-contains"),
    pytest.param(("/health", {"expect_contains": "fine"}), "failed", "does not contain 'fine'", id="body-lacks"),
    pytest.param(("/sick", {}), "failed", "status 503, expected 200: database unreachable", id="503"),
    pytest.param(("/sick", {"expect_status": [200, 503]}), "passed", "", id="503-expected"),
    pytest.param(("/redirect", {}), "failed", "status 302", id="redirect-not-followed"),
    pytest.param(("/redirect", {"expect_status": [302]}), "passed", "", id="redirect-is-an-answer"),
    pytest.param(("/drip", {}), "failed", "no answer within 0.3 s", id="drips-headers"),
    pytest.param(("/short", {}), "failed", "IncompleteRead", id="body-cut-short"),
    pytest.param(
        ("/echo?a=1", {"headers": {"host": "shop.test"}, "expect_contains": "shop.test"}), "passed", "", id="host"
    ),
]


@pytest.mark.parametrize(("asked", "outcome", "reason"), HTTP_CASES)
def test_http(both: BothWays, api: Api, asked: tuple[str, dict[str, t.Any]], outcome: str, reason: str) -> None:
    path, options = asked
    result = probe(both, http(api.url + path, **options), timeout=0.3 if path == "/drip" else 2)
    assert result["outcome"] == outcome
    assert reason in result["checks"][0]["reason"]
    assert result["services"]["api"] == {
        "outcome": outcome,
        "passed": int(outcome == "passed"),
        "failed": int(outcome == "failed"),
        "unverified": 0,
    }
    assert bool(result["problems"]) == (outcome == "failed")


def test_a_request_is_sent_as_described(both: BothWays, api: Api, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("Bearer geheim\n")
    check = http(
        "http://api.example.test/echo",
        address=api.at,
        header_files={"Authorization": str(secret)},
        expect_contains="Bearer geheim",
    )
    result = probe(both, check)
    assert result["outcome"] == "passed"
    assert result["checks"][0]["vantage_points"][0]["address"] == api.at
    assert "geheim" not in str(result)


def test_a_header_file_that_is_missing_is_unverified(both: BothWays, api: Api) -> None:
    result = probe(both, http(api.url, header_files={"Authorization": "/nonexistent/token"}))
    assert (result["outcome"], api.asked) == ("unverified", [])
    assert "/nonexistent/token" in result["unverified"][0]


def test_silent_and_closed_servers_fail(both: BothWays) -> None:
    port = closed_port()
    with silent_tcp() as silent:
        result = probe(
            both,
            {**http(f"http://{silent}/"), "name": "silent"},
            {**http(f"http://127.0.0.1:{port}/"), "name": "closed"},
            timeout=0.3,
        )
    assert [one["outcome"] for one in result["checks"]] == ["failed", "failed"]
    assert "no answer within 0.3 s" in result["checks"][0]["reason"]
    assert result["checks"][1]["reason"] == f"cannot connect to 127.0.0.1:{port}: Connection refused"


TLS_CASES = [
    pytest.param(NAME, True, "", id="trusted"),
    pytest.param(NAME, False, "certificate not valid", id="untrusted"),
    pytest.param("other.example.test", True, "certificate not valid for other", id="other-name"),
]


@pytest.mark.parametrize(("host", "trusted", "reason"), TLS_CASES)
def test_tls_is_verified(both: BothWays, certificate: Path, host: str, trusted: bool, reason: str) -> None:
    ca = {"ca_path": str(certificate)} if trusted else {}
    with serving(Api(), certificate) as api:
        result = probe(both, http(f"https://{host}/health", address=api.at, **ca))
    assert result["outcome"] == ("failed" if reason else "passed")
    assert reason in result["checks"][0]["reason"]


def test_tcp(both: BothWays, api: Api) -> None:
    port = api.server_address[1]
    base = {"kind": "tcp", "host": "127.0.0.1"}
    result = probe(both, {**base, "name": "open", "port": port}, {**base, "name": "closed", "port": closed_port()})
    assert [one["outcome"] for one in result["checks"]] == ["passed", "failed"]
    assert result["outcome"] == "failed"
    assert set(result["services"]) == {"open", "closed"}


DNS_CASES = [
    pytest.param({"name": NAME}, "passed", "", id="any-value"),
    pytest.param({"name": NAME, "values": ["127.0.0.1"]}, "passed", "", id="value"),
    pytest.param({"name": NAME, "values": ["127.0.0.2"]}, "failed", "expected 127.0.0.2", id="other-value"),
    pytest.param({"name": NAME, "values": ["127.0.0.2", "127.0.0.1"]}, "failed", "expected 127.0.0.1, 127", id="part"),
    pytest.param(
        {"name": NAME, "values": ["127.0.0.2", "127.0.0.1"], "match": "subset"}, "passed", "", id="part-is-enough"
    ),
    pytest.param({"name": NAME, "type": "AAAA"}, "failed", "has no AAAA record", id="no-data"),
    pytest.param({"name": "gone.example.test"}, "failed", "does not exist", id="nxdomain"),
    pytest.param(
        {"name": "www.example.test", "type": "CNAME", "values": ["API.example.test"]}, "passed", "", id="cname"
    ),
]


@pytest.mark.parametrize(("asked", "outcome", "reason"), DNS_CASES)
def test_dns(both: BothWays, names: Names, asked: dict[str, t.Any], outcome: str, reason: str) -> None:
    names.records["www.example.test", "CNAME"] = (60, [f"{NAME}."])
    point = {"name": "here", "nameservers": [names.at]}
    result = probe(both, {"name": "record", "kind": "dns", "dns": asked}, vantage_points=[point])
    assert result["outcome"] == outcome
    assert reason in result["checks"][0]["reason"]


RCODES = [(dns.rcode.SERVFAIL, "failed"), (dns.rcode.REFUSED, "unverified"), (dns.rcode.NXDOMAIN, "failed")]


@pytest.mark.parametrize(("rcode", "outcome"), RCODES, ids=["servfail", "refused", "nxdomain"])
def test_a_resolver_that_cannot_tell_is_no_failure(
    both: BothWays, names: Names, rcode: dns.rcode.Rcode, outcome: str
) -> None:
    names.rcode = rcode
    result = probe(both, http(f"http://{NAME}/"), vantage_points=[{"name": "here", "nameservers": [names.at]}])
    assert result["outcome"] == outcome


def test_a_resolver_that_is_silent_is_unverified(both: BothWays) -> None:
    with silent_udp() as silent:
        point = {"name": "here", "nameservers": [silent]}
        result = probe(both, http(f"http://{NAME}/"), vantage_points=[point], timeout=0.3)
    assert result["outcome"] == "unverified"
    assert "no resolver answers" in result["unverified"][0]
    assert result["problems"] == []


def test_names_are_resolved_anew_for_every_attempt(both: BothWays, names: Names, api: Api) -> None:
    names.records[NAME, "A"] = (3600, ["127.0.0.1"])
    api.sick_for = 2
    point = {"name": "here", "nameservers": [names.at]}
    url = f"http://{NAME}:{api.server_address[1]}/flaky"
    result = probe(both, http(url), vantage_points=[point], retries=5)
    assert result["outcome"] == "passed"
    assert names.queries == 3


def test_a_name_with_a_dead_address_passes_by_the_living_one(both: BothWays, names: Names, api: Api) -> None:
    names.records[NAME, "A"] = (60, ["127.1.2.3", "127.0.0.1"])
    point = {"name": "here", "nameservers": [names.at]}
    result = probe(both, http(f"http://{NAME}:{api.server_address[1]}/health"), vantage_points=[point])
    assert result["outcome"] == "passed"
    assert result["checks"][0]["vantage_points"][0]["address"] == api.at


def test_the_source_address_is_the_vantage_points(both: BothWays, api: Api) -> None:
    points = [{"name": "one", "source_address": "127.9.9.1"}, {"name": "two", "source_address": "127.9.9.2"}]
    assert probe(both, http(f"{api.url}/health"), vantage_points=points)["outcome"] == "passed"
    assert api.clients == {"127.9.9.1", "127.9.9.2"}


# Names of vantage points: good sees the service, bad sees it refused, blind cannot look.
AGREEMENT_CASES = [
    pytest.param((["good", "good", "bad"], None), "passed", id="majority"),
    pytest.param((["good", "bad", "bad"], None), "failed", id="minority"),
    pytest.param((["good", "good", "bad"], 3), "failed", id="all-needed"),
    pytest.param((["good", "bad", "bad"], 1), "passed", id="one-is-enough"),
    pytest.param((["good", "blind", "bad"], None), "unverified", id="one-blind-decides"),
    pytest.param((["good", "good", "blind"], None), "passed", id="one-blind-of-three"),
    pytest.param((["good", "blind", "blind"], None), "unverified", id="two-blind"),
    pytest.param((["bad", "bad", "blind"], None), "failed", id="blind-could-not-save-it"),
    pytest.param((["good", "bad"], None), "failed", id="half-is-no-majority"),
]


@pytest.mark.parametrize(("seen_by", "outcome"), AGREEMENT_CASES)
def test_agreement(
    both: BothWays, names: Names, wrong_names: Names, seen_by: tuple[list[str], int | None], outcome: str
) -> None:
    sights, agreement = seen_by
    options = {
        "good": {"nameservers": [names.at]},
        "bad": {"nameservers": [wrong_names.at]},
        "blind": {"source_address": "192.0.2.1"},
    }
    points = [{"name": f"{sight}-{number}", **options[sight]} for number, sight in enumerate(sights)]
    asked = {} if agreement is None else {"agreement": agreement}
    with serving(Api()) as api:
        result = probe(both, http(f"http://{NAME}:{api.server_address[1]}/"), vantage_points=points, **asked)
    assert result["outcome"] == outcome
    seen = [point["outcome"] for point in result["checks"][0]["vantage_points"]]
    assert seen == [{"good": "passed", "bad": "failed", "blind": "unverified"}[sight] for sight in sights]
    assert bool(result["unverified"]) == (outcome == "unverified")


def test_a_check_may_choose_its_vantage_points(both: BothWays, api: Api) -> None:
    points = [{"name": "here"}, {"name": "blind", "source_address": "192.0.2.1"}]
    result = probe(both, http(api.url, vantage_points=["here"]), vantage_points=points)
    assert result["outcome"] == "passed"
    assert [point["name"] for point in result["checks"][0]["vantage_points"]] == ["here"]


def write_read(api: Api, **options: t.Any) -> dict[str, t.Any]:
    urls = {"url": f"{api.url}/writes", "read_url": f"{api.url}/writes/$id"}
    return {"name": "deep", "service": "api", "kind": "write_read", **urls, **options}


def test_an_acknowledged_write_has_to_be_readable(both: BothWays, api: Api) -> None:
    assert probe(both, write_read(api))["outcome"] == "passed"
    assert len(api.rows) == 1
    api.loses_writes = True
    result = probe(both, write_read(api, body={"id": "$id", "note": "mine"}))
    assert result["outcome"] == "failed"
    assert "read of the acknowledged write" in result["problems"][0]
    assert "status 404" in result["problems"][0]


def test_every_attempt_writes_another_identifier(both: BothWays, api: Api) -> None:
    api.loses_writes = True
    probe(both, write_read(api), retries=2)
    reads = [path for method, path in api.asked if method == "GET"]
    assert len(reads) == len(set(reads)) == 3


def test_check_mode_does_not_write(both: BothWays, api: Api) -> None:
    result = probe(both, http(f"{api.url}/health"), write_read(api), check=True, required=True, wait_timeout=5)
    assert not result.get("failed")
    assert [one["outcome"] for one in result["checks"]] == ["passed", "unverified"]
    assert result["outcome"] == "unverified"
    assert "check mode" in result["unverified"][0]
    assert api.rows == {}


def test_check_mode_still_fails_on_what_it_can_ask(both: BothWays, api: Api) -> None:
    assert probe(both, http(f"{api.url}/sick"), write_read(api), check=True, required=True)["failed"]


def test_what_is_required_fails_the_task_with_the_whole_result(both: BothWays, api: Api) -> None:
    result = probe(both, http(f"{api.url}/sick"), {**http(api.url), "name": "fine"}, required=True)
    assert result["failed"]
    assert result["msg"].startswith("1 of 2 health checks did not pass. api/up failed: 127.0.0.1:")
    assert set(result) >= KEYS


def test_unverified_is_never_a_pass(both: BothWays, api: Api) -> None:
    points = [{"name": "blind", "source_address": "192.0.2.1"}]
    result = probe(both, http(api.url), vantage_points=points, required=True)
    assert result["failed"]
    assert result["outcome"] == "unverified"
    assert "192.0.2.1" in result["msg"]


def test_retries_count_after_the_first_attempt(both: BothWays, api: Api) -> None:
    api.sick_for = 2
    assert probe(both, http(f"{api.url}/flaky"), retries=1)["outcome"] == "failed"
    assert len(api.asked) == 2
    api.sick_for = 2
    assert probe(both, http(f"{api.url}/flaky"), retries=2)["outcome"] == "passed"


def test_it_waits_until_all_pass(both: BothWays, api: Api) -> None:
    api.sick_for = 12
    result = probe(both, http(f"{api.url}/flaky"), wait_timeout=30, wait_name="dns_ttl", required=True)
    assert result["outcome"] == "passed"
    assert [wait["name"] for wait in result["waits"]] == ["dns_ttl"]
    assert len(api.asked) == 13


def test_a_wait_ends_when_every_check_has_enough(both: BothWays, api: Api) -> None:
    """A vantage point that hangs for a minute holds up nobody who does not need it."""
    with silent_udp() as silent:
        points = [{"name": "a"}, {"name": "b"}, {"name": "hangs", "nameservers": [silent]}]
        url = f"http://localhost:{api.server_address[1]}/"
        result = probe(both, http(url), vantage_points=points, wait_timeout=60, timeout=60, wait_name="dns_ttl")
    assert result["outcome"] == "passed"
    assert result["checks"][0]["vantage_points"][2]["outcome"] == "unverified"
    assert result["waits"][0]["seconds"] < 60


def test_a_wait_ends_in_time_with_the_last_reasons(both: BothWays, api: Api) -> None:
    result = probe(both, http(f"{api.url}/sick"), wait_timeout=0.3, wait_name="pods_ready", required=True)
    assert result["failed"]
    assert "status 503" in result["msg"]
    assert len(api.asked) > 2
    assert result["waits"][0]["seconds"] >= 0.3


def test_all_are_asked_at_once(both: BothWays) -> None:
    """Six requests that answer only when all six have arrived."""
    with serving(Api()) as api:
        barrier = threading.Barrier(6, timeout=20)
        answer = api.RequestHandlerClass.do_GET

        class Together(api.RequestHandlerClass):  # type: ignore[name-defined,misc]
            def do_GET(self) -> None:
                barrier.wait()
                answer(self)

        api.RequestHandlerClass = Together
        checks = [{**http(f"{api.url}/health"), "name": f"check {number}"} for number in range(3)]
        points = [{"name": "one"}, {"name": "two", "source_address": "127.0.0.7"}]
        assert probe(both, *checks, vantage_points=points, timeout=20)["outcome"] == "passed"


REFUSALS = [
    pytest.param({"checks": []}, "no check is listed", id="no-check"),
    pytest.param(
        {"checks": [{"name": "a", "kind": "http"}]}, "check a of service a: a check of kind http needs url", id="url"
    ),
    pytest.param({"checks": [{"name": "a", "kind": "write_read", "url": "http://x"}]}, "needs read_url", id="read-url"),
    pytest.param({"checks": [{"name": "a", "kind": "http", "url": "ftp://x"}]}, "'ftp://x' is no http", id="scheme"),
    pytest.param(
        {"checks": [{"name": "a", "kind": "http", "url": "http://u:p@x"}]}, "holds credentials", id="userinfo"
    ),
    pytest.param(
        {"checks": [{"name": "a", "kind": "http", "url": "http://x:99999"}]}, "is no http or https URL", id="port"
    ),
    pytest.param({"checks": [http("http://x"), http("http://y")]}, "api/up: listed more than once", id="twice"),
    pytest.param({"checks": [http("http://x", address="pg.internal")]}, "'pg.internal' is no IP address", id="address"),
    pytest.param({"checks": [http("http://x", vantage_points=["mars"])]}, "no vantage point is named mars", id="point"),
    pytest.param({"checks": [http("http://x")], "agreement": 2}, "agreement is 2, it is asked from 1", id="agreement"),
    pytest.param({"checks": [http("http://x")], "timeout": 0}, "timeout cannot be 0", id="timeout"),
    pytest.param(
        {"checks": [http("http://x")], "vantage_points": [{"name": "a", "nameservers": ["ns.test"]}]},
        "vantage point a: 'ns.test' is no IP address",
        id="nameserver",
    ),
    pytest.param(
        {"checks": [http("http://x")], "vantage_points": [{"name": "a"}, {"name": "a"}]}, "must be unique", id="points"
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSALS)
def test_nonsense_is_refused_by_name(both: BothWays, options: dict[str, t.Any], message: str) -> None:
    result = both("health_probe", options)
    assert result["failed"]
    assert message in result["msg"]
