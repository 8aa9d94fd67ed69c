"""Two runs of one and the same command line, at once: one goes on, and the other is told which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.servers import S3Server

ROOT = Path(__file__).resolve().parents[3]

RACE = """
import json, os, sys, time
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.incident_lease import run
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.process_identity import ProcessIdentity
params = json.loads(sys.stdin.readline())
params["holder"] = ProcessIdentity.of(os.getpid(), "same").as_dict()
print("ready", flush=True)
sys.stdin.readline()
try:
    print(json.dumps(run(params, False)), flush=True)
except RecoveryError as error:
    print(json.dumps({"msg": str(error), **error.facts}), flush=True)
sys.stdin.readline()
"""


class Racer:
    """A process of one and the same command line that takes the lease when it is told to."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RACE],
            env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.say(json.dumps(params))
        assert self.hear() == "ready"

    def say(self, text: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("stores", [1, 3])
@pytest.mark.parametrize("before", ["free", "a dead run's"])
def test_of_two_identical_commands_at_once_exactly_one_goes_on(s3_server: S3Server, before: str, stores: int) -> None:
    witnesses = [s3_server.store(f"witness-{number}", name=f"w{number}") for number in range(stores)]
    for number in range(3):
        lease = {"key": f"race-{before[:4]}-{stores}-{number}", "ttl_seconds": 60.0, "clock_allowance_seconds": 0.5}
        params = {"state": "held", "incident": "INC-7", "lease": {**lease, "stores": witnesses}}
        racers: list[Racer] = []
        try:
            if before != "free":
                dead = Racer(params)
                dead.say()
                assert json.loads(dead.hear())["held"]
                dead.kill()
            racers = [Racer(params), Racer(params)]
            for racer in racers:
                racer.say()
            told = [json.loads(racer.hear()) for racer in racers]
            winners = [one for one in told if one["held"]]
            assert len(winners) == 1, told
            [loser] = [one for one in told if not one["held"]]
            assert f"{winners[0]['holder']} holds it" in loser["msg"]
        finally:
            for racer in racers:
                racer.kill()
