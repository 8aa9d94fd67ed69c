"""How the time of a failover grows with the number of services."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
FEW, MANY = 1, 20
FAILED = "us-east-1"


@dataclass(frozen=True)
class Outcome:
    """What one failover took, in seconds; `load` is the machine's when it ended."""

    orchestration: float
    rto: float
    cpu: float
    load: float


def run() -> None:
    """a region lost and failed over, with 1 service and with 20; a lab of its own each time (BENCH_RUNS of each, 1)"""
    outcomes: dict[int, list[Outcome]] = {FEW: [], MANY: []}
    print(f"{'services':>8} {'orchestration s':>16} {'RTO s':>8} {'CPU s':>8} {'load':>6}", flush=True)
    for _round in range(int(os.environ.get("BENCH_RUNS") or 1)):
        for count, found in outcomes.items():
            one = _failover(count)
            found.append(one)
            print(f"{count:8} {one.orchestration:16.1f} {one.rto:8.1f} {one.cpu:8.1f} {one.load:6.1f}", flush=True)
    for name in ("orchestration", "cpu"):
        few, many = (statistics.median(getattr(one, name) for one in outcomes[count]) for count in (FEW, MANY))
        print(
            f"{name}: {MANY} services take {many / few:.2f} times as long as {FEW} (medians {many:.1f} s, {few:.1f} s)"
        )


def _failover(count: int) -> Outcome:
    """Start a lab with so many services, kill a region, run the operator's playbook."""
    directory = ROOT / "build/bench/services/lab"
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "DR_LAB_DIR": str(directory),
        "DR_LAB_SERVICES": str(count),
    }
    report = directory.parent / "report.json"
    incident = f"bench-services-{count}-{int(time.time())}"
    extra = {"dr_incident": incident, "dr_drill": "region_loss", "incident_close_report": str(report)}
    inventories = [word for name in ("plan", "lab") for word in ("-i", f"inventories/{name}")]
    playbook = [str(BIN / "ansible-playbook"), *inventories, "playbooks/region_failover.yml", "-e", json.dumps(extra)]
    try:
        _call([sys.executable, "-m", "lab", "start"], environment)
        _call([sys.executable, "-m", "lab", "break", "region", FAILED], environment)
        before = os.times()
        _call(playbook, environment)
        after = os.times()
    finally:
        _call([sys.executable, "-m", "lab", "stop"], environment)
    told = json.loads(report.read_text(encoding="utf-8"))
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Outcome(told["orchestration_seconds"], told["rto_seconds"], cpu, os.getloadavg()[0])


def _call(argv: list[str], environment: dict[str, str]) -> None:
    """Run a program quietly; where it fails, show what it said, and raise."""
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise SystemExit(f"bench: {' '.join(argv[:4])} ended with {done.returncode}")
