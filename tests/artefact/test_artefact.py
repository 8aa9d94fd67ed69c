"""The collection as others get it: built and installed elsewhere, and under ansible-runner as AWX lays it out."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NAME = "terragon.disaster_recovery"
REFUSAL = "Unknown region 'nowhere'"
EXTRA = ["-e", "dr_incident=artefact-1", "-e", "dr_failed_region=nowhere"]


def run(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PYTHONPATH", "DR_"))}
    env |= {"PATH": f"{BIN}:{env['PATH']}", **environment}
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    built = run(str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(target), str(ROOT), cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return next(target.glob("terragon-disaster_recovery-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    # From another directory: inside the checkout ansible-galaxy finds the collection already there.
    done = run(
        str(BIN / "ansible-galaxy"), "collection", "install", str(tarball), "-p", str(target), "--offline", cwd=target
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return target


def documented(cwd: Path, **environment: str) -> list[str]:
    listed = run(str(BIN / "ansible-doc"), "-l", NAME, cwd=cwd, **environment)
    assert listed.returncode == 0, listed.stderr
    return sorted(line.split()[0] for line in listed.stdout.splitlines() if line.startswith(NAME))


def test_the_tarball_holds_the_collection_and_nothing_of_the_lab(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        tops = {name.split("/")[0] for name in archive.getnames()}
    assert {"plugins", "roles", "playbooks", "meta", "README.md", "docs"} <= tops
    assert not tops & {"lab", "tests", "tools", "collections", "inventories", "molecule", "build", "Makefile"}


def test_modules_have_the_same_names_installed_and_from_the_checkout(installed: Path) -> None:
    names = documented(installed, ANSIBLE_COLLECTIONS_PATH=str(installed))
    assert names == documented(ROOT, ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    assert f"{NAME}.pg_fence" in names


def test_the_installed_playbook_runs_by_its_name(installed: Path) -> None:
    inventories = [
        word for name in ("plan", "us-east-1", "us-west-2") for word in ("-i", str(ROOT / "inventories" / name))
    ]
    done = run(
        str(BIN / "ansible-playbook"), *inventories, f"{NAME}.region_failover", *EXTRA,
        cwd=installed, ANSIBLE_COLLECTIONS_PATH=str(installed),
    )  # fmt: skip
    assert done.returncode == 2
    assert REFUSAL in done.stdout, done.stdout + done.stderr


def test_a_checkout_runs_under_ansible_runner_as_awx_lays_it_out(tmp_path: Path) -> None:
    project = tmp_path / "project"
    cloned = run("git", "clone", "--quiet", str(ROOT), str(project), cwd=tmp_path)
    assert cloned.returncode == 0, cloned.stderr
    (tmp_path / "env").mkdir()
    # AWX imports inventories by itself; here they are named as an operator would.
    inventories = [f"-i {project}/inventories/{name}" for name in ("plan", "us-east-1", "us-west-2")]
    (tmp_path / "env/cmdline").write_text(" ".join([*inventories, *EXTRA]), encoding="utf-8")
    done = run(
        str(BIN / "ansible-runner"), "run", str(tmp_path), "-p", "playbooks/region_failover.yml",
        cwd=tmp_path,
        # What AWX sets: its own place first, then the project's collections_path as written.
        ANSIBLE_COLLECTIONS_PATH="/runner/requirements_collections:collections:~/.ansible/collections",
    )  # fmt: skip
    assert done.returncode == 2
    assert REFUSAL in done.stdout.replace("\n", " "), done.stdout + done.stderr
