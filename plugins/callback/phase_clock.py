# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: phase_clock
type: notification
short_description: Show a recovery's phases against its RTO while it runs
version_added: "0.1.0"
author:
  - Terragon Platform Team (@terragon)
description:
  - For every play whose name begins with a phase and a bar, as in C(Isolate | fence us-east-1), draws a line with the
    time since the incident was declared and what is left of the recovery time objective.
  - Names the tasks that took long, a failed step with its remedy, and at the end the incident's report.
  - A run that goes on with an incident is told what its earlier runs have done.
  - It learns the clock from the results of M(terragon.disaster_recovery.incident_ledger), or of any task that returns
    C(incident_clock) with C(declared_at) and C(rto_objective_seconds).
  - Plays that are no phase are left alone. Nothing is recorded here. The verdict is the ledger's.
requirements:
  - enable in C(callbacks_enabled)
options:
  slow_seconds:
    description: Tasks that take at least this many seconds are named with the time they took.
    type: float
    default: 2.0
    ini:
      - section: callback_phase_clock
        key: slow_seconds
    env:
      - name: DR_PHASE_CLOCK_SLOW_SECONDS
  width:
    description: Columns to draw in.
    type: int
    default: 100
    ini:
      - section: callback_phase_clock
        key: width
    env:
      - name: DR_PHASE_CLOCK_WIDTH
"""

import re
import textwrap
import time
import typing as t

from ansible import constants as C
from ansible.plugins.callback import CallbackBase
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import from_iso, utc_now
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_event import PHASES
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.ledger_story import done_before
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.report_table import duration

_PLAY_NAME = re.compile(rf"({'|'.join(PHASES)})\s*\|\s*(.*)", re.IGNORECASE | re.DOTALL)

#: what an operator copies from a message stays on one line
_TO_TYPE = re.compile(r"-e (?:'[^']*'|\S+)")
_JOINED = "\0"

_AGAIN = "What was done is kept. Remove the cause and run the same command again: it goes on from there."
_CLOSED = "The incident is closed: its ledger takes nothing more. Whatever is left to do is a new incident."


class CallbackModule(CallbackBase):
    """Draws the phase clock."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "terragon.disaster_recovery.phase_clock"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *arguments: t.Any, **options: t.Any) -> None:
        super().__init__(*arguments, **options)
        self._phase: str | None = None
        self._stopped: str | None = None
        self._declared_at: str | None = None
        self._closed_at: str | None = None
        self._read_ledger = False
        self._objective: float | None = None
        self._table: str | None = None
        self._task_since = 0.0

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Draw the phase that begins."""
        match = _PLAY_NAME.fullmatch(str(play.get_name()).strip())
        self._phase = match[1].upper() if match else None
        if match:
            self._line(f"{self._phase} | {match[2]}", self._clock())

    def v2_playbook_on_task_start(self, task: t.Any, is_conditional: bool) -> None:
        """Note when a task begins."""
        self._task_since = time.monotonic()

    def v2_playbook_on_handler_task_start(self, task: t.Any) -> None:
        """Note when a handler begins."""
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        """Learn the clock and the report from a result; name a task that took long."""
        self._learn(result)
        took = time.monotonic() - self._task_since
        if self._phase and took >= self.get_option("slow_seconds"):
            where = f"{result.task.get_name()} [{result.host.get_name()}]"
            self._text(f"{duration(took)}  {where}  ({self._clock()})", C.COLOR_VERBOSE)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        """Name the failed step and its remedy."""
        self._learn(result)
        if self._phase and not ignore_errors:
            self._failed(result)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        """Name the step whose host could not be reached."""
        if self._phase:
            self._failed(result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        """Draw how it ended, and the report."""
        ended_badly = any(stats.failures.values()) or any(stats.dark.values())
        if self._stopped and ended_badly:
            self._line(f"STOPPED in {self._stopped}", self._clock())
            self._text(_CLOSED if self._closed_at else _AGAIN, C.COLOR_WARN)
        if self._table:
            self._display.display(f"\n{self._table}")

    def _learn(self, result: t.Any) -> None:
        told = result.result
        if str(result.task.action).endswith("incident_report") and told.get("table"):
            self._table = str(told["table"])
        if str(result.task.action).endswith("incident_ledger"):
            self._set(told.get("declared_at"), (told.get("objectives") or {}).get("rto_seconds"))
            self._closed_at = told.get("closed_at") or self._closed_at
            self._found(told)
        facts = told.get("ansible_facts")
        clock = told.get("incident_clock") or (facts.get("incident_clock") if isinstance(facts, dict) else None)
        if isinstance(clock, dict):
            self._set(clock.get("declared_at"), clock.get("rto_objective_seconds"))

    def _found(self, told: t.Any) -> None:
        """Say what earlier runs have done: what the ledger has when this run looks into it for the first time."""
        if not self._read_ledger and not self._closed_at and told.get("events"):
            done, begun = done_before(told["events"])
            self._text(f"This incident goes on. Done before: {', '.join(done) or 'nothing'}.", C.COLOR_VERBOSE)
            if begun:
                self._text(f"Begun, outcome not recorded: {', '.join(begun)}.", C.COLOR_WARN)
        self._read_ledger = self._read_ledger or "changed" in told

    def _set(self, declared_at: t.Any, objective: t.Any) -> None:
        try:
            from_iso(str(declared_at))
        except ValueError:
            return
        new = self._declared_at != str(declared_at)
        self._declared_at = str(declared_at)
        if objective is not None:
            self._objective = float(objective)
        if new and self._phase:
            self._line(f"declared at {declared_at}", self._clock())

    def _clock(self) -> str:
        """Return elapsed and remaining time."""
        if self._declared_at is None:
            return "the clock starts with the declaration"
        until = from_iso(self._closed_at) if self._closed_at else utc_now()
        elapsed = (until - from_iso(self._declared_at)).total_seconds()
        text = (
            f"closed {duration(elapsed)} after it was declared"
            if self._closed_at
            else f"{duration(elapsed)} since declared"
        )
        if self._objective is None or self._closed_at:
            return text
        left = self._objective - elapsed
        return f"{text}, {duration(left)} of RTO left" if left >= 0 else f"{text}, RTO MISSED by {duration(-left)}"

    def _failed(self, result: t.Any) -> None:
        told, name = result.result, result.task.get_name()
        self._stopped = f"{self._phase}: {name}"
        self._line(f"FAILED in {self._phase}: {name} [{result.host.get_name()}]", self._clock())
        items = [item for item in told.get("results") or [] if item.get("failed") or item.get("unreachable")]
        for one in items or [told]:
            self._text(str(one.get("msg") or "It gave no reason."), C.COLOR_ERROR)

    def _line(self, left: str, right: str) -> None:
        """Draw one line over the width: what, and the clock."""
        fill = "-" * max(3, self.get_option("width") - len(left) - len(right) - 8)
        self._display.display(f"\n-- {left} {fill} {right} --", color=C.COLOR_HIGHLIGHT)

    def _text(self, text: str, color: str) -> None:
        width = self.get_option("width")
        for line in text.splitlines():
            whole = _TO_TYPE.sub(lambda found: found[0].replace(" ", _JOINED), line)
            wrapped = textwrap.fill(
                whole,
                width,
                initial_indent="   ",
                subsequent_indent="   ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            self._display.display(wrapped.replace(_JOINED, " "), color=color)
