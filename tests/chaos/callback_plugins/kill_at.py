"""Kills the run that it is part of: at the beginning of a task, or some time after that. For tests alone.

Enabled by its name in ANSIBLE_CALLBACKS_ENABLED. DR_CHAOS_TASKS names a file that gets a line for each task that
begins; DR_CHAOS_KILL_AT the task, counted from 1; DR_CHAOS_KILL_AFTER the seconds after its beginning, 0 for before it.
"""

from __future__ import annotations

DOCUMENTATION = """
name: kill_at
type: notification
short_description: Kill the run at a task
description: See the file.
"""

import os
import signal
import time
import typing as t

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Counts tasks, and kills the process group of ansible-playbook with SIGKILL at one of them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kill_at"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: t.Any, **options: t.Any) -> None:
        super().__init__(*arguments, **options)
        self._count = 0

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        """Count the task, tell its name, and kill where it is due."""
        self._count += 1
        with open(os.environ["DR_CHAOS_TASKS"], "a", encoding="utf-8") as tasks:
            tasks.write(" ".join(task.get_name().split()) + "\n")
        if self._count == int(os.environ.get("DR_CHAOS_KILL_AT", "0")):
            _kill_after(float(os.environ.get("DR_CHAOS_KILL_AFTER", "0")))

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        """A handler is a task."""
        self.v2_playbook_on_task_start(task, False)


def _kill_after(seconds: float) -> None:
    group = os.getpgrp()
    if not seconds:
        os.killpg(group, signal.SIGKILL)
    elif os.fork() == 0:
        os.setsid()  # workers have a session of their own too: the group is ansible-playbook alone
        time.sleep(seconds)
        os.killpg(group, signal.SIGKILL)
        os._exit(0)
