# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every task of a playbook, as Ansible itself loads it: imports, roles, blocks, handlers, and what they include.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.playbook import Playbook
from ansible.playbook.block import Block
from ansible.playbook.helpers import load_list_of_blocks
from ansible.playbook.play import Play
from ansible.playbook.role_include import IncludeRole
from ansible.playbook.task import Task
from ansible.playbook.task_include import TaskInclude
from ansible.vars.manager import VariableManager

from ..module_utils.errors import RecoveryError, failed


@dataclass(frozen=True)
class Reached:
    """One task of a play, and the dynamic includes that it is reached through, the outermost first."""

    play: Play
    task: Task
    includes: tuple[Task, ...] = ()

    @property
    def place(self) -> str:
        """File and line, below the directory that the playbooks or roles stand in."""
        path, _colon, line = str(self.task.get_path()).rpartition(":")
        parts = Path(path).parts
        roots = [number for number, part in enumerate(parts) if part in ("roles", "playbooks")]
        return f"{'/'.join(parts[roots[-1] :] if roots else parts[-1:])}:{line}"


class Walk:
    """Loads one playbook; `evaluate` gives a task's value as far as it is known before the run."""

    def __init__(
        self,
        path: str,
        manager: VariableManager,
        loader: DataLoader,
        evaluate: t.Callable[[Play, Task, t.Any], t.Any],
    ) -> None:
        self._evaluate = evaluate
        self._manager = manager
        self._loader = loader
        try:
            self._playbook = Playbook.load(path, variable_manager=manager, loader=loader)
        except AnsibleError as error:
            raise RecoveryError(failed("read", f"the playbook {path}", error, "Name a playbook that runs.")) from error

    def plays(self) -> list[Play]:
        """Return the plays, those of imported playbooks too."""
        return list(self._playbook.get_plays())

    def tasks(self, play: Play) -> Iterator[Reached]:
        """Return the tasks of a play, its roles' and all handlers, in order."""
        blocks = [*play.compile(), *play.handlers, *play.compile_roles_handlers()]
        for block in blocks:
            for task, includes in self._below(play, block, ()):
                yield Reached(play, task, includes)

    def _below(
        self, play: Play, node: Block | Task, includes: tuple[Task, ...]
    ) -> Iterator[tuple[Task, tuple[Task, ...]]]:
        if isinstance(node, Block):
            for one in [*node.block, *node.rescue, *node.always]:
                yield from self._below(play, one, includes)
        elif isinstance(node, IncludeRole) and not node.statically_loaded:
            blocks, handlers = node.get_block_list(play=play, variable_manager=self._manager, loader=self._loader)
            for block in [*blocks, *handlers]:
                yield from self._below(play, block, (*includes, node))
        elif isinstance(node, TaskInclude) and not node.statically_loaded:
            for block in self._included(play, node):
                yield from self._below(play, block, (*includes, node))
        elif node.resolved_action != "ansible.builtin.meta":
            yield node, includes

    def _included(self, play: Play, node: TaskInclude) -> list[Block]:
        """Load what include_tasks names, from beside the task that includes it."""
        name = str(self._evaluate(play, node, node.args.get("_raw_params") or node.args.get("file")))
        beside = Path(str(node.get_path()).rpartition(":")[0]).parent / name
        if not beside.is_file():
            where = f"{node.get_path()} includes {beside}, which is no file"
            raise RecoveryError(failed("read", f"the tasks {name}", where, "Include a file that is beside it."))
        data = self._loader.load_from_file(str(beside), trusted_as_template=True) or []
        found = load_list_of_blocks(
            t.cast("list[t.Any]", data),
            play=play,
            parent_block=node.build_parent_block(),
            role=node._role,
            variable_manager=self._manager,
            loader=self._loader,
        )
        return list(found)
