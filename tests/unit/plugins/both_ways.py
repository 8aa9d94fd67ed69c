"""Run a module through its main() and through its action plugin: the same options, the same result."""

from __future__ import annotations

import copy
import importlib
import json
import typing as t

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.plugins.loader import connection_loader
from ansible.template import Templar

PACKAGE = "ansible_collections.terragon.disaster_recovery.plugins"

Result = dict[str, t.Any]


def run_main(name: str, arguments: dict[str, t.Any], capsys: pytest.CaptureFixture[str], check: bool = False) -> Result:
    """Return what the module prints; `failed` is in it when it failed."""
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    given = {**copy.deepcopy(arguments), "_ansible_check_mode": check}
    with patch_module_args(given), pytest.raises(SystemExit) as ended:
        module.main()
    printed = json.loads(capsys.readouterr().out)
    assert bool(ended.value.code) == bool(printed.get("failed"))
    return {key: value for key, value in printed.items() if key != "invocation"}


def run_action(name: str, arguments: dict[str, t.Any], check: bool = False) -> Result:
    """Return what the action plugin returns, run in this process as the controller runs it."""
    action = importlib.import_module(f"{PACKAGE}.action.{name}").ActionModule
    task = Task()
    task.action = f"terragon.disaster_recovery.{name}"
    task.args = copy.deepcopy(arguments)
    task.check_mode = check
    context, loader = PlayContext(), DataLoader()
    connection = connection_loader.get("local", context)
    plugin = action(task, connection, context, loader, Templar(loader=loader), None)
    return json.loads(json.dumps(plugin.run(task_vars={})))


class BothWays:
    """Calls one module the way that the test's parameter says."""

    def __init__(self, way: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.way = way
        self._capsys = capsys

    def __call__(self, name: str, arguments: dict[str, t.Any], check: bool = False) -> Result:
        """Run it and return its result, failed or not."""
        if self.way == "action":
            return run_action(name, arguments, check)
        return run_main(name, arguments, self._capsys, check)
