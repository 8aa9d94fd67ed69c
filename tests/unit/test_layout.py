"""The shape of the repository: what makes one name work from a checkout, from the artefact and in every role."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FARM = ROOT / "collections/ansible_collections/terragon/disaster_recovery"
LINKED = ("galaxy.yml", "meta", "playbooks", "plugins", "roles")
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))


def load(path: Path) -> object:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", LINKED)
def test_link_farm_points_at_the_root(name: str) -> None:
    link = FARM / name
    assert link.is_symlink(), (
        f"{link} is no link: `ansible-galaxy collection install . --force` replaces the farm by a copy"
    )
    assert link.resolve() == ROOT / name


def test_link_farm_is_a_real_directory_with_nothing_else() -> None:
    assert not FARM.is_symlink()
    assert sorted(path.name for path in FARM.iterdir()) == sorted(LINKED)


def test_the_artefact_leaves_out_the_farm_and_the_lab() -> None:
    ignored = load(ROOT / "galaxy.yml")["build_ignore"]
    assert {"collections", "lab", "inventories", "molecule", "tests"} <= set(ignored)


def test_a_playbook_and_a_role_never_share_a_name() -> None:
    playbooks = {path.stem for path in (ROOT / "playbooks").rglob("*.yml")}
    assert not playbooks & set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_of_a_role_has_a_specification(role: str) -> None:
    specs = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]
    assert specs
    for entry, spec in specs.items():
        assert (ROOT / "roles" / role / "tasks" / f"{entry}.yml").is_file()
        assert spec["short_description"]


@pytest.mark.parametrize("role", ROLES)
def test_every_default_of_a_role_is_specified_with_the_same_value(role: str) -> None:
    path = ROOT / "roles" / role / "defaults/main.yml"
    defaults = load(path) if path.exists() else {}
    specs = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]
    options = {name: option for spec in specs.values() for name, option in spec["options"].items()}
    assert set(defaults) <= set(options)
    for name, value in defaults.items():
        if "{{" not in str(value):
            assert options[name].get("default") == value, name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_and_its_action_share_one_specification(module: str) -> None:
    plugins = "ansible_collections.terragon.disaster_recovery.plugins"
    action = importlib.import_module(f"{plugins}.action.{module}").ActionModule
    entry = importlib.import_module(f"{plugins}.modules.{module}")
    assert action.specification is entry.SPECIFICATION


def test_recorded_group_names_exactly_the_modules_that_record() -> None:
    group = load(ROOT / "meta/runtime.yml")["action_groups"]["recorded"]
    plugins = "ansible_collections.terragon.disaster_recovery.plugins.modules"
    recording = [
        module
        for module in MODULES
        if "record" in importlib.import_module(f"{plugins}.{module}").SPECIFICATION.argument_spec
    ]
    assert sorted(group) == recording


def test_nothing_speaks_of_this_machine() -> None:
    names = ("/wo" + "rk/", "/ro" + "ot/")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in files:
        path = ROOT / name
        if path.is_symlink() or path.suffix in {".jsonl", ".json"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not any(word in text for word in names), name
