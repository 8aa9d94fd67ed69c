# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks all checks from all their vantage points at once, once or until they pass.

PRIVATE to the collection.
"""

from __future__ import annotations

import math
import threading
import time
import typing as t

from .clock import Deadline
from .probes_kinds import KINDS
from .probes_model import FAILED, PASSED, UNVERIFIED, CannotTell, Check, CheckFailed, Finding, VantagePoint
from .probes_network import bindable
from .probes_verdict import combine

#: (index of the check, index of its vantage point) -> what was found there last
Findings = dict[tuple[int, int], Finding]

#: Questions under way at one time: enough for any catalogue, below the usual limit of open files.
_AT_ONCE = 128
#: Seconds beyond all deadlines before a question counts as stuck.
_ALLOWANCE = 10.0


class Round:
    """One run over all checks. Threads are daemons: a hanging one never holds the task beyond its end."""

    def __init__(self, checks: t.Sequence[Check], wait_timeout: float) -> None:
        self._checks = checks
        self._deadline = Deadline(wait_timeout)
        self._waits = wait_timeout > 0
        self._findings: Findings = {}
        self._running = 0
        self._over = False
        self._changed = threading.Condition()
        self._slots = threading.Semaphore(_AT_ONCE)

    def ask(self) -> Findings:
        """Ask, and return one finding a check and vantage point."""
        pairs = [(c, p) for c, check in enumerate(self._checks) for p in range(len(check.points))]
        self._running = len(pairs)
        for pair in pairs:
            threading.Thread(target=self._keep_asking, args=pair, daemon=True, name=f"probe {pair}").start()
        limit = Deadline(self._limit(len(pairs)))
        with self._changed:
            while self._running and not limit.expired and not (self._waits and self._all_passed()):
                self._changed.wait(limit.remaining)
            self._over = True
            found = dict(self._findings)
        why = "when the time was up" if limit.expired else "when enough other vantage points had passed"
        late = Finding(UNVERIFIED, f"still being asked {why}")
        return {pair: found.get(pair, late) for pair in pairs}

    def _limit(self, pairs: int) -> float:
        """Return the seconds after which whatever still runs must be stuck: every attempt has its own deadline."""
        longest = max((check.attempts * (check.timeout + check.interval) for check in self._checks), default=0.0)
        return self._deadline.seconds + longest * math.ceil(pairs / _AT_ONCE) + _ALLOWANCE

    def _keep_asking(self, c: int, p: int) -> None:
        check, point = self._checks[c], self._checks[c].points[p]
        left = check.attempts
        while True:
            with self._slots:
                finding = ask_once(check, point)
            left -= 1
            with self._changed:
                if not self._over:
                    self._findings[c, p] = finding
                done = finding.outcome == PASSED or self._over or (left <= 0 and self._deadline.expired)
                done = done or (self._waits and self._passed(c))
                if done:
                    self._running -= 1
                self._changed.notify_all()
                if done:
                    return
                # Between tries; an end of the whole run cuts it short.
                self._changed.wait_for(lambda: self._over, check.interval)

    def _passed(self, c: int) -> bool:
        check = self._checks[c]
        found = [self._findings[c, p].outcome for p in range(len(check.points)) if (c, p) in self._findings]
        return combine(found, check.agreement) == PASSED

    def _all_passed(self) -> bool:
        return all(self._passed(c) for c in range(len(self._checks)))


def ask_once(check: Check, point: VantagePoint) -> Finding:
    """Ask one check from one vantage point, once."""
    started = time.monotonic()
    outcome, reason, address = PASSED, "", None
    try:
        problem = bindable(point)
        if problem:
            raise CannotTell(problem)
        address = KINDS[check.kind](check, point, Deadline(check.timeout))
    except CheckFailed as error:
        outcome, reason, address = FAILED, str(error), error.address
    except CannotTell as error:
        outcome, reason = UNVERIFIED, str(error)
    except Exception as error:  # a fault of ours must neither pass nor accuse the service
        outcome, reason = UNVERIFIED, f"the check broke: {type(error).__name__}: {error}"
    return Finding(outcome, reason, round(time.monotonic() - started, 3), address)
