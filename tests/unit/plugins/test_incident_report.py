"""incident_report over real ledgers: what it computes, how it judges, as a module and in process."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso, to_iso
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.object_store import ObjectStore
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.report_table import duration
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.report_timeline import union_seconds

from tests.unit.plugins.both_ways import BothWays
from tests.unit.servers import S3Server

Result = dict[str, Any]
Change = Callable[["Story"], None]
OBJECTIVES = {
    "rto_seconds": 3600.0,
    "rpo_seconds": 900.0,
    "services": {
        "lab-api": {"tier": 1, "rto_seconds": 3600.0, "rpo_seconds": 900.0},
        "lab-web": {"tier": 2, "rto_seconds": 14400.0, "rpo_seconds": 3600.0},
    },
}
RECEIPT = {"subject": "us-east-1", "method": "lease_expired", "epoch": 5, "certain_at": "2026-11-23T11:20:26Z"}


class Story:
    """One incident's ledger and measurement, to be changed by a test before it is reported."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = Ledger("INC-7", "drill", directory / "ledgers", actor="alice@here", token=1)
        declared = self.ledger.declare({"objectives": OBJECTIVES})
        assert declared is not None
        self.declared = from_iso(declared.time)
        self.arguments: dict[str, Any] = {
            "incident": "INC-7",
            "directory": str(directory / "ledgers"),
            "drill": "region_loss",
        }
        self.measurement: dict[str, Any] | None = {
            "since": self.at(-20),
            "until": self.at(60),
            "services": {"lab-api": self.service(), "lab-web": self.service()},
            "observer": {"rounds": 240, "max_writable_primaries": 1, "both": []},
        }

    def at(self, seconds: float) -> str:
        """A time, so many seconds after the declaration."""
        return to_iso(self.declared + dt.timedelta(seconds=seconds))

    def service(
        self, started: float | None = -5.0, ended: float | None = 15.0, lost: int = 3, rpo: float = 0.8
    ) -> dict[str, Any]:
        outage = {
            "started": None if started is None else self.at(started),
            "ended": None if ended is None else self.at(ended),
        }
        seconds = 0.0 if started is None or ended is None else ended - started
        return {
            "tier": 1,
            "acknowledged_writes": 412,
            "lost_acknowledged_writes": lost,
            "lost": [],
            "outage": {**outage, "seconds": seconds},
            "rpo_seconds": rpo,
        }

    def wait(self, name: str, started: float, ended: float) -> dict[str, Any]:
        return {"name": name, "started": self.at(started), "ended": self.at(ended), "seconds": ended - started}

    def step(self, phase: str, step: str, state: str, **data: Any) -> None:
        self.ledger.append(phase, step, state, {"task": f"do {step}", **data})

    def recover(self) -> Story:
        """What a good run records."""
        self.step("detect", "health_probe", "failed", outcome="failed", problems=["lab-api does not answer"])
        self.step("assess", "pg_promote", "verified", evidence={"loss_bound": {"seconds": 9.0, "predicted": True}})
        self.step("isolate", "pg_fence", "intent")
        waits = [self.wait("lease_expiry", 1, 8), self.wait("polling", 8, 9)]
        self.step("isolate", "pg_fence", "verified", receipts=[RECEIPT], waits=waits, seconds=0.01)
        self.step("recover", "pg_promote", "intent")
        bound = {"loss_bound": {"seconds": 4.0, "predicted": False}}
        waits = [self.wait("promotion", 7, 10), self.wait("pods_ready", 9, 13), self.wait("dns_ttl", 12, 40)]
        self.step("recover", "pg_promote", "verified", evidence=bound, receipts=[RECEIPT], waits=waits)
        self.step("validate", "health_probe", "verified", outcome="passed")
        return self

    def report(self, way: BothWays, check: bool = False, **more: Any) -> Result:
        given = {**self.arguments, "output": str(self.directory / "out/report.json"), **more}
        if self.measurement is not None:
            path = self.directory / "measurement.json"
            path.write_text(json.dumps(self.measurement))
            given["measurement"] = str(path)
        return way("incident_report", given, check)


@pytest.fixture(params=["module", "action"])
def way(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_a_good_drill_passes(way: BothWays, story: Story) -> None:
    result = story.recover().report(way)
    report = result["report"]
    assert [finding for finding in report["findings"] if finding["level"] != "note"] == []
    assert result["verdict"] == report["verdict"] == "passed"
    assert {key: report[key] for key in ("drill", "incident", "mode", "rto_source")} == {
        "drill": "region_loss",
        "incident": "INC-7",
        "mode": "drill",
        "rto_source": "client",
    }
    assert (report["rto_seconds"], report["rto_objective_seconds"]) == (20.0, 3600.0)
    assert (report["rpo_seconds"], report["rpo_objective_seconds"]) == (0.8, 900.0)
    assert (report["acknowledged_writes"], report["lost_acknowledged_writes"]) == (824, 6)
    assert report["stated_loss_bound_seconds"] == 4
    assert report["max_writable_primaries"] == 1
    # Of 20 s, 7 + 2 + 3 + 2 were named waits: polling is none of them, overlaps count once, the TTL until the end.
    assert report["orchestration_seconds"] == 6.0
    assert report["detection_seconds"] == 5.0
    assert [phase["phase"] for phase in report["phases"]] == ["detect", "assess", "isolate", "recover", "validate"]
    assert report["receipts"] == [RECEIPT]
    assert [wait["name"] for wait in report["waits"]] == [
        "lease_expiry",
        "promotion",
        "polling",
        "pods_ready",
        "dns_ttl",
    ]
    assert report["ledger"]["head"] == story.ledger.status().head


def test_it_is_written_with_the_ledger_beside_it(way: BothWays, story: Story) -> None:
    story.recover()
    predicted = story.report(way, check=True)
    assert predicted["changed"]
    assert not (story.directory / "out").exists()
    written = story.report(way)
    assert {**predicted, "diff": None} == {**written, "diff": None}
    assert json.loads((story.directory / "out/report.json").read_text()) == written["report"]
    assert (story.directory / "out/ledger.jsonl").read_bytes() == story.ledger.path.read_bytes()
    assert not story.report(way)["changed"]
    story.ledger.close({"report": written["report_path"]})
    assert story.report(way)["report"]["closed_at"]


def services(**changes: Any) -> Change:
    """Replace what the clients of the first service saw."""

    def change(story: Story) -> None:
        assert story.measurement is not None
        story.measurement["services"]["lab-api"] = story.service(**changes)

    return change


def measured(path: str, value: Any) -> Change:
    """Set one value of the measurement."""

    def change(story: Story) -> None:
        at: Any = story.measurement
        *parents, last = path.split(".")
        for name in parents:
            at = at[name]
        at[last] = value

    return change


def step(*arguments: Any, **data: Any) -> Change:
    return lambda story: story.step(*arguments, **data)


def no_measurement(story: Story) -> None:
    story.measurement = None


def tampered(story: Story) -> None:
    story.ledger.path.write_bytes(story.ledger.path.read_bytes().replace(b"us-east-1", b"us-east-2", 1))


def bound(seconds: float | None, **more: Any) -> Change:
    return step(
        "recover", "restate", "verified", evidence={"loss_bound": {"seconds": seconds, "predicted": False, **more}}
    )


def proven(story: Story) -> None:
    """A switchover: what was proven stands, whatever is estimated afterwards."""
    bound(0.0, proven=True)(story)
    bound(1000.0)(story)


def resumed(skew: float) -> Change:
    """A second run, on a machine whose clock is off."""

    def change(story: Story) -> None:
        ledger = Ledger("INC-7", "drill", story.directory / "ledgers", actor="bob@there", token=2)
        clock = {"store": "ledger", "skew_seconds": skew}
        assert ledger.declare({"evidence": {"controller_clock": clock}}) is not None

    return change


JUDGED: list[tuple[str, Change, str, str]] = [
    ("RTO missed", services(started=-5, ended=3596), "failed", "RTO missed: 3601 s, the objective is 3600 s"),
    ("RPO missed", services(rpo=901.0), "failed", "RPO missed: 901 s"),
    ("loss beyond the bound", services(rpo=4.5), "failed", "4.5 s old were lost, the stated bound is 4 s"),
    ("loss at the bound", services(rpo=4.0), "passed", ""),
    ("not back", services(ended=None), "failed", "It had not come back"),
    ("no outage", services(started=None, ended=None, lost=0, rpo=0.0), "passed", ""),
    ("age of the loss unknown", services(lost=1, rpo=0.0), "unverified", "does not say how old"),
    ("nobody wrote", measured("services.lab-api.acknowledged_writes", 0), "unverified", "No write was acknowledged"),
    ("two primaries", measured("observer.max_writable_primaries", 2), "failed", "2 primaries accepted writes"),
    ("order unknown", measured("observer.undecided", [{}]), "unverified", "the order cannot be told"),
    ("a clock that was off", resumed(skew=300.0), "passed", "clock was 300 s ahead of the witness's (ledger)"),
    ("a slow clock", resumed(skew=-299.6), "passed", "clock was 300 s behind the witness's"),
    ("no observer", measured("observer", {}), "unverified", "Nobody observed"),
    ("observer never looked", measured("observer.rounds", 0), "unverified", "Nobody observed"),
    ("a larger bound stated later", bound(1000.0), "passed", "The stated bound of the loss is 1000 s"),
    ("two databases, the larger bound", bound(0.5, subject="other"), "passed", ""),
    ("a bound that was proven", proven, "failed", "the stated bound is 0 s"),
    ("bound unknown", bound(None), "failed", "no bound of the loss was stated"),
    ("no measurement", no_measurement, "unverified", "no client-side record"),
    ("tampered ledger", tampered, "failed", "The chain is broken: event 5 (local)"),
    (
        "a step failed",
        step("recover", "k8s_workload", "failed", error="no nodes"),
        "failed",
        "not verified later: no nodes",
    ),
    (
        "a check failed",
        step("validate", "invariants", "failed", outcome="failed", problems=["sum"]),
        "failed",
        "It found: sum",
    ),
    (
        "a check could not run",
        step("validate", "x", "failed", outcome="unverified"),
        "unverified",
        "could not be checked",
    ),
    (
        "a promotion that somebody accepted without a receipt",
        step("recover", "pg_promote", "verified", evidence={"acceptance": "promote us-west-2 without a fence receipt"}),
        "unverified",
        "No receipt proved the fence",
    ),
    ("an effect unobserved", step("recover", "x", "effect"), "unverified", "its effect was not observed"),
    ("a step without end", step("recover", "x", "intent"), "unverified", "nothing says how it ended"),
    ("a skipped step", step("recover", "x", "skipped"), "passed", ""),
    (
        "a check of the dead region",
        step("assess", "x", "failed", outcome="unverified"),
        "passed",
        "could not be checked",
    ),
    ("an error on the way to a recovery", step("detect", "x", "failed", error="gone"), "passed", "It failed"),
]


@pytest.mark.parametrize(
    ("change", "verdict", "finding"), [case[1:] for case in JUDGED], ids=[case[0] for case in JUDGED]
)
def test_the_verdict(
    story: Story, capsys: pytest.CaptureFixture[str], change: Change, verdict: str, finding: str
) -> None:
    change(story.recover())
    report = story.report(BothWays("action", capsys))["report"]
    assert report["verdict"] == verdict, report["findings"]
    assert finding in " ".join(one["finding"] for one in report["findings"])


def test_a_missing_service_is_unverified(way: BothWays, story: Story) -> None:
    story.recover()
    assert story.measurement is not None
    del story.measurement["services"]["lab-web"]
    report = story.report(way)["report"]
    assert report["verdict"] == "unverified"
    assert [one["about"] for one in report["findings"] if one["level"] == "unverified"] == ["lab-web"]


def test_a_failed_step_that_is_verified_later_is_forgiven(way: BothWays, story: Story) -> None:
    story.step("recover", "k8s_workload", "failed", error="conflict", item="api")
    story.recover()
    assert story.report(way)["verdict"] == "failed"
    story.step("recover", "k8s_workload", "verified", item="web")
    assert story.report(way)["verdict"] == "failed"
    story.step("recover", "k8s_workload", "verified", item="api")
    assert story.report(way)["verdict"] == "passed"


def test_a_run_that_stopped_early_is_no_pass(way: BothWays, story: Story) -> None:
    story.step("assess", "health_probe", "failed", error="target not ready")
    report = story.report(way)["report"]
    assert report["verdict"] == "failed"
    assert any("did not get there" in one["finding"] for one in report["findings"])


def test_a_later_run_has_phases_of_its_own(way: BothWays, story: Story) -> None:
    story.step("isolate", "pg_fence", "intent")
    story.ledger = Ledger("INC-7", "drill", story.directory / "ledgers", actor="bob@there", token=2)
    story.ledger.declare()
    report = story.recover().report(way)["report"]
    assert [(one["run"], one["actor"], one["token"]) for one in report["runs"]] == [
        (1, "alice@here", 1),
        (2, "bob@there", 2),
    ]
    assert [(one["run"], one["phase"]) for one in report["phases"]][:4] == [
        (1, "detect"),
        (1, "isolate"),
        (2, "detect"),
        (2, "assess"),
    ]
    assert report["verdict"] == "passed"


def test_the_strictest_objective_is_the_headline(way: BothWays, story: Story) -> None:
    """A tier 2 service may take longer than tier 1's objective: it is judged against its own."""
    story.recover()
    assert story.measurement is not None
    story.measurement["services"]["lab-web"] = story.service(ended=7000, rpo=1000.0)
    bound(1200.0)(story)
    report = story.report(way)["report"]
    assert (report["verdict"], report["rto_seconds"], report["rpo_seconds"]) == ("passed", 20.0, 0.8)
    assert [(one["rto_seconds"], one["rto_objective_seconds"]) for one in report["services"]] == [
        (20, 3600),
        (7005, 14400),
    ]


def test_another_machine_reports_from_the_store(way: BothWays, s3_server: S3Server, tmp_path: Path) -> None:
    options = s3_server.store("reports", prefix=f"{way.way}/")
    story = Story(tmp_path)
    ledger = Ledger("INC-7", "drill", tmp_path / "ledgers", ObjectStore(options), actor="alice@here", token=1)
    assert ledger.publish() == [1]
    story.ledger = ledger
    story.recover()
    result = story.report(way, directory=str(tmp_path / "nowhere"), store=options)
    assert (result["verdict"], result["report"]["ledger"]["outcome"]) == ("passed", "passed")
    assert (tmp_path / "out/ledger.jsonl").read_bytes() == ledger.path.read_bytes()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"incident": "INC-8"}, "Failed to compute the report of incident INC-8: There is no ledger"),
        ({"measurement": "/nonesuch.json"}, "Failed to read the measurement /nonesuch.json: No such file"),
        ({"measurement": "/dev/null"}, "Failed to read the measurement /dev/null"),
        ({"output": "/dev/null/report.json"}, "Failed to write the report /dev/null/report.json"),
    ],
)
def test_bad_input_is_named(way: BothWays, story: Story, more: dict[str, Any], message: str) -> None:
    story.recover()
    story.measurement = None
    result = story.report(way, **more)
    assert result["failed"]
    assert message in result["msg"]


def test_the_table(way: BothWays, story: Story) -> None:
    story.step("recover", "k8s_workload", "failed", error="no nodes are ready " * 10)
    table = story.recover().report(way)["table"]
    lines = table.splitlines()
    assert lines[0].startswith("FAILED   Drill region_loss, INC-7, declared ")
    paths = ("report  ", "ledger  ")
    assert max(len(line) for line in lines if not line.startswith(paths)) <= 100
    for text in (
        "RTO",
        "20.0 s",
        "1:00:00",
        "met",
        "6 of 824 acknowledged writes lost",
        "lease_expired",
        "no nodes",
        "20.0 s of 1:00:00",
    ):
        assert text in table, text
    assert f"report  {story.directory}/out/report.json" in lines


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.00 s"),
        (0.844, "0.84 s"),
        (18.44, "18.4 s"),
        (245, "4:05"),
        (3723, "1:02:03"),
        (14400, "4:00:00"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("spans", "covered"),
    [([], 0), ([(0, 5)], 5), ([(-5, 2), (8, 20)], 4), ([(1, 4), (2, 3), (3, 6)], 5), ([(11, 12)], 0), ([(6, 5)], 0)],
)
def test_waits_are_united_and_clipped(spans: list[tuple[int, int]], covered: float) -> None:
    zero = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)

    def at(seconds: int) -> dt.datetime:
        return zero + dt.timedelta(seconds=seconds)

    assert union_seconds([(at(a), at(b)) for a, b in spans], (at(0), at(10))) == covered
