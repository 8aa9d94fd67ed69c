"""A failover of many services: its record grows with them by a few hundred bytes a check, whatever goes wrong."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import catalogue, probes
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger import Ledger
from ansible_collections.terragon.disaster_recovery.plugins.plugin_utils.recorder import Recorder

SERVICES, VANTAGE_POINTS = 20, 3
#: bytes a check: its name, its outcome, and its reason once for all vantage points that give the same
MOST_A_CHECK = 600
#: bytes of an event without any check
MOST_OF_AN_EVENT = 2000
NOBODY = "http://127.0.0.1:9"


def test_a_probe_of_a_dead_region_leaves_a_short_event(tmp_path: Path) -> None:
    names = [f"service-{number:02}" for number in range(SERVICES)]
    kinds = [
        {"name": name, "kind": "http", "path": f"/{name}", "timeout": 1, "retries": 0} for name in ("health", "model")
    ]
    services = {name: {"url": f"http://{name}.example.test", "health_checks": kinds} for name in names}
    region = {"name": "us-east-1", "endpoints": {name: {"url": NOBODY} for name in names}}
    checks = catalogue.checks(services, region)
    result = probes.run(
        _parameters(
            checks=checks,
            vantage_points=[{"name": f"vantage-point-{number}"} for number in range(VANTAGE_POINTS)],
            required=False,
        ),
        False,
    )
    assert result["outcome"] == "failed"
    assert len(result["problems"]) == len(checks) == 2 * SERVICES
    ledger = Ledger("INC-many", "drill", tmp_path)
    ledger.declare({})
    Recorder(ledger, "assess", "health_probe").outcome(result, False)
    [event] = [line for line in (tmp_path / "INC-many/ledger.jsonl").read_bytes().splitlines() if b"problems" in line]
    assert len(event) < MOST_OF_AN_EVENT + MOST_A_CHECK * len(checks)


def _parameters(**given: t.Any) -> dict[str, t.Any]:
    checked = ArgumentSpecValidator(probes.SPECIFICATION.argument_spec).validate(given)
    assert not checked.error_messages
    return dict(checked.validated_parameters)
