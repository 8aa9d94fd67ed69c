"""The report's section on divergent writes, over a real ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.test_incident_report import Story

TABLE = {
    "database": "app", "schema": "public", "table": "orders", "inserted": 12, "updated": 3, "deleted": 1, "written": 0,
    "unresolved": 0, "file": "rows/app.public.orders.jsonl",
}  # fmt: skip
EVIDENCE: dict[str, Any] = {
    "region": "us-east-1", "cluster": "main", "diverged": True, "saved": True, "fork_lsn": "0/5000028",
    "end_lsn": "0/5A00120", "transactions": 9, "totals": {"inserted": 12, "unresolved": 0}, "tables": [TABLE],
    "others": [{"kind": "sequence"}, {"kind": "sequence"}], "manifest": "/kept/INC-7/us-east-1-main/manifest.json",
}  # fmt: skip


@pytest.fixture
def way(capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays("action", capsys)


def report_with(story: Story, way: BothWays, *evidences: dict[str, Any]) -> dict[str, Any]:
    story.recover()
    for evidence in evidences:
        story.step("recover", "pg_divergence", "verified", evidence=evidence)
    return story.report(way)


def test_saved_writes_are_shown_and_told(way: BothWays, tmp_path: Path) -> None:
    counted = {**EVIDENCE, "saved": False, "manifest": None}
    result = report_with(Story(tmp_path), way, counted, EVIDENCE)
    table = result["table"]
    for text in ("app.public.orders", "9 transactions from 0/5000028 to 0/5A00120", "also: sequence 2"):
        assert text in table
    assert "files   /kept/INC-7/us-east-1-main\n" in table
    assert [one["saved"] for one in result["report"]["divergences"]] == [True]
    told = [one for one in result["report"]["findings"] if one["about"] == "divergence us-east-1"]
    assert [one["level"] for one in told] == ["note"]
    assert result["verdict"] == "passed"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"saved": False, "manifest": None}, "counted, not saved"),
        ({"totals": {"unresolved": 2}}, "2 changed rows could not be read"),
        ({"others": [{"kind": "wal_before_the_fork_gone"}]}, "Not known: deletes of transactions"),
        ({"others": [{"kind": "lost_storage"}]}, "Not known: changes of tables"),
    ],
)
def test_what_is_not_known_is_no_pass(way: BothWays, tmp_path: Path, change: dict[str, Any], text: str) -> None:
    result = report_with(Story(tmp_path), way, {**EVIDENCE, **change})
    told = [one for one in result["report"]["findings"] if one["level"] == "unverified"]
    assert [one["about"] for one in told] == ["divergence us-east-1"]
    assert text in told[0]["finding"]
    assert result["verdict"] == "unverified"


def test_nothing_is_said_where_nothing_diverged(way: BothWays, tmp_path: Path) -> None:
    nothing = {**EVIDENCE, "diverged": False, "saved": False, "tables": [], "fork_lsn": None, "manifest": None}
    result = report_with(Story(tmp_path), way, nothing)
    assert result["report"]["divergences"] == []
    assert "DIVERGENT" not in result["table"]
    assert result["verdict"] == "passed"
