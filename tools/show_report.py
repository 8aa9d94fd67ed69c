"""Print the table of a drill's report: python -m tools.show_report build/drills/region_loss/report.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.report_table import render


def main(path: str) -> int:
    """Print the report's table; return 0 when its verdict is passed."""
    report = json.loads(Path(path).read_text(encoding="utf-8"))
    print(render(report, path, str(Path(path).with_name("ledger.jsonl"))))
    return 0 if report["verdict"] == "passed" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
