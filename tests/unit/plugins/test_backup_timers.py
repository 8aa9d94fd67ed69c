"""The schedule follows from the tiers, and systemd and Kubernetes take it."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.terragon.disaster_recovery.plugins.filter.catalogue import FilterModule

from tests.unit.lab.kubernetes_server import TOKEN, Server, running
from tests.unit.plugins.role_play import RolePlay
from tests.unit.servers import S3Server

schedule = FilterModule().filters()["backup_schedule"]
ROLE = "terragon.disaster_recovery.backup_timers"
COMPONENTS = [
    {"service": "api", "component": "database", "every_seconds": 900, "prove_every_seconds": 86400},
    {"service": "web", "component": "configuration", "every_seconds": 86400, "prove_every_seconds": 2678400},
]
DIGEST = "registry.example.com/dr-ee@sha256:" + "0" * 64
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


@pytest.fixture
def play(tmp_path: Path, s3_server: S3Server) -> RolePlay:
    return RolePlay(tmp_path, s3_server)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path) as server:
        yield server


@pytest.mark.parametrize(
    ("every", "step", "calendar", "cron"),
    [
        (60, 60, "*-*-* *:0/1:00 UTC", "0-59/1 * * * *"),
        (10, 60, "*-*-* *:0/1:00 UTC", "0-59/1 * * * *"),
        (900, 900, "*-*-* *:7/15:00 UTC", "7-59/15 * * * *"),
        (1000, 900, "*-*-* *:7/15:00 UTC", "7-59/15 * * * *"),
        (3599, 1800, "*-*-* *:7/30:00 UTC", "7-59/30 * * * *"),
        (3600, 3600, "*-*-* 0/1:07:00 UTC", "7 */1 * * *"),
        (5 * 3600, 4 * 3600, "*-*-* 0/4:07:00 UTC", "7 */4 * * *"),
        (86400, 86400, "*-*-* 02:07:00 UTC", "7 2 * * *"),
        (30 * 86400, 86400, "*-*-* 02:07:00 UTC", "7 2 * * *"),
    ],
)
def test_a_timer_fires_at_least_as_often_as_asked(every: int, step: int, calendar: str, cron: str) -> None:
    job = schedule([{**COMPONENTS[0], "every_seconds": every}])[0]
    assert (job["every_seconds"], job["on_calendar"], job["cron"]) == (step, calendar, cron)


def test_the_most_frequent_component_decides() -> None:
    found = {job["playbook"]: job["every_seconds"] for job in schedule(COMPONENTS)}
    assert found == {"backup.yml": 900, "backup_validation.yml": 86400, "recovery_points.yml": 900}


def test_a_schedule_of_nothing_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="Nothing is backed up"):
        schedule([])


@needs_systemd
@pytest.mark.parametrize("every", [60, 900, 1800, 3600, 14400, 86400])
def test_systemd_reads_the_calendar_and_means_the_same(every: int) -> None:
    for job in schedule([{**COMPONENTS[0], "every_seconds": every, "prove_every_seconds": every}]):
        argv = ["systemd-analyze", "calendar", "--iterations=3", job["on_calendar"]]
        said = subprocess.run(
            argv, capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}
        )
        moments = [
            line.split(": ", 1)[1] for line in said.stdout.splitlines() if "Next elapse" in line or "Iter. #" in line
        ]
        stamps = subprocess.run(
            ["date", "-u", "-f", "-", "+%s"], input="\n".join(moments), capture_output=True, text=True, check=True
        ).stdout.split()
        assert {int(b) - int(a) for a, b in itertools.pairwise(stamps)} == {every}


def put(play: RolePlay, hosts: str = "localhost", **given: Any) -> tuple[int, str]:
    task = {"ansible.builtin.include_role": {"name": ROLE}}
    return play.run([task], hosts=hosts, backup_timers_components=COMPONENTS, **given)


@needs_systemd
def test_units_are_written_that_systemd_accepts_and_removed_again(play: RolePlay, tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    given: dict[str, Any] = {
        "backup_timers_activate": False,
        "backup_timers_directory": str(units),
        "backup_timers_user": "root",
        "backup_timers_project": str(tmp_path),
        "backup_timers_ansible_playbook": sys.executable,
        "backup_timers_inventories": ["inventories/plan"],
    }
    status, said = put(play, **given)
    assert status == 0, said
    names = sorted(path.name for path in units.iterdir())
    assert names == sorted(
        f"terragon-dr-{name}.{kind}"
        for name in ("backup", "backup-validation", "recovery-points")
        for kind in ("service", "timer")
    )
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *[str(units / name) for name in names]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (verified.returncode, [line for line in verified.stderr.splitlines() if "terragon-dr" in line]) == (0, [])
    service = (units / "terragon-dr-backup.service").read_text()
    assert f"ExecStart={sys.executable} --inventory=inventories/plan playbooks/backup.yml\n" in service
    status, said = put(play, **given)
    assert status == 0 and "changed=0" in said, said
    status, said = put(play, **given, backup_timers_state="absent")
    assert status == 0, said
    assert list(units.iterdir()) == []


def test_cron_jobs_are_applied_and_removed_again(play: RolePlay, cluster: Server, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": cluster.url}}],
                "users": [{"name": "u", "user": {"token": TOKEN}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )  # fmt: skip
    given: dict[str, Any] = {
        "backup_timers_kind": "cronjob",
        "backup_timers_namespace": "default",
        "backup_timers_kubernetes": {"kubeconfig": str(kubeconfig), "context": "c"},
    }
    status, said = put(play, **given)
    assert status != 0 and "Name the execution environment by digest" in said
    status, said = put(play, **given, backup_timers_image=DIGEST)
    assert status == 0, said
    jobs = {one["metadata"]["name"]: one for one in cluster.get("/apis/batch/v1/namespaces/default/cronjobs")["items"]}
    assert sorted(jobs) == ["terragon-dr-backup", "terragon-dr-backup-validation", "terragon-dr-recovery-points"]
    spec = jobs["terragon-dr-backup"]["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("7-59/15 * * * *", "Forbid")
    container = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["ansible-playbook", "playbooks/backup.yml"], json.dumps(container)
    status, said = put(play, **given, backup_timers_image=DIGEST)
    assert status == 0 and "changed=0" in said, said
    status, said = put(play, **given, backup_timers_image=DIGEST, backup_timers_state="absent")
    assert status == 0, said
    assert cluster.get("/apis/batch/v1/namespaces/default/cronjobs")["items"] == []
