"""Keeps the run that it is part of at the beginning of a play, until it is let go. For tests alone.

Enabled by its name in ANSIBLE_CALLBACKS_ENABLED. DR_CHAOS_HOLD_AT is how the play's name begins; DR_CHAOS_HOLD_FILE is
written with the process id when the run gets there, and the run goes on when that file is removed.
"""

from __future__ import annotations

DOCUMENTATION = """
name: hold_at
type: notification
short_description: Keep the run at a play
description: See the file.
"""

import os
import time
import typing as t
from pathlib import Path

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Waits where it is told to: alive, so that the run keeps what it holds."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "hold_at"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Wait at the play."""
        if not play.get_name().startswith(os.environ["DR_CHAOS_HOLD_AT"]):
            return
        file = Path(os.environ["DR_CHAOS_HOLD_FILE"])
        new = file.with_name(f"{file.name}.new")
        new.write_text(f"{os.getpid()}\n", encoding="ascii")
        new.rename(file)
        while file.exists():
            time.sleep(0.1)
