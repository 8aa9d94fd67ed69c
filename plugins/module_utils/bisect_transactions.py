# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From backups to the two neighbouring transactions between which the damage began.

PRIVATE to the collection.
"""

from __future__ import annotations

import time
import typing as t

from .backrest_info import Facts
from .bisect_history import Bound
from .bisect_journal import Journal
from .bisect_plan import Chooser
from .bisect_probes import Answer, ask
from .bisect_result import BAD, FOUND, GOOD, NARROWED, Found
from .bisect_scratch import Machine
from .bisect_search import Span, narrow, newest_good
from .bisect_wal import ArchivedWal, Commits, Moment
from .clock import Deadline
from .errors import RecoveryError, Refused, TimedOut, failed
from .execution import Params
from .logical_process import Tell
from .postgres_state import lsn_number
from .standby_timelines import lsn_text
from .verify_session import Limits


class WalGap(RecoveryError):
    """WAL is missing where the damage may have begun."""


class Transactions:
    """One search. Everything that it learns goes into `found`."""

    def __init__(
        self, params: Params, found: Found, machine: Machine, wal: t.Callable[[], ArchivedWal], journal: Journal,
        deadline: Deadline, tell: Tell,
    ) -> None:  # fmt: skip
        self.params, self.found, self.machine, self.journal = params, found, machine, journal
        self.deadline, self.tell = deadline, tell
        self._wal = wal
        self.wal: ArchivedWal
        self.base: Facts = {}
        self.before: Moment | None = None
        self.commits = Commits()
        self.span = Span(-1, 0)

    def find(
        self, backups: t.Sequence[Facts], not_before: Bound | None, not_after: Bound | None, last_segment: str
    ) -> None:
        """Find it; `last_segment` is the newest in the archive. Raises RecoveryError."""
        self.last_segment = last_segment
        bad_backup = self._choose(backups)
        whole = self._list(bad_backup, not_after)
        self.span = Span(-1, len(self.commits) - 1)
        self.found.candidates = len(self.commits)
        if not self.commits:
            self._without_transactions(bad_backup)
            return
        self._require_good_at(not_before)
        if not (bad_backup and whole) and self._ask_at(self.span.bad):
            self.span = Span(self.span.bad, self.span.bad)
            self._good_to_the_end(bad_backup)
            return
        self._remember()
        narrow(self.span, self._ask_at, self._chooser, self._may_go_on)
        self._conclude()

    def _choose(self, backups: t.Sequence[Facts]) -> Facts | None:
        """Find the newest backup that is good, `base`; return the one after it, which is bad."""
        self.tell(f"{len(backups)} backups, the newest is {backups[-1]['label']}")
        if self._ask_backup(backups[-1]):
            self.base, bad = backups[-1], None
        else:
            number = newest_good(len(backups), lambda index: self._ask_backup(backups[index]))
            if number is None:
                self._all_bad(backups[0])
            self.base, bad = backups[t.cast("int", number)], backups[t.cast("int", number) + 1]
        self.found.label = self.base["label"]
        return bad

    def _all_bad(self, oldest: Facts) -> t.NoReturn:
        self.found.answer = BAD
        cause = f"the oldest backup that serves, {oldest['label']} of {oldest['stopped']}, is bad already"
        remedy = (
            "Use an older repository or a logical backup, or correct the probes: on a sound state they have to be good."
        )
        reasons = self.found.history[-1]["reasons"]
        self.found.problems = reasons
        raise Refused(failed("find", "a good state", f"{cause}: {'; '.join(reasons)}", remedy))

    def _list(self, bad_backup: Facts | None, not_after: Bound | None) -> bool:
        """List the commits between the base and the bad backup, else the end. True when nothing is missing there."""
        stop = lsn_number(bad_backup["lsn_stop"]) if bad_backup else None
        base_stop = lsn_number(self.base["lsn_stop"])
        self.machine.ensure(self.base)
        self.wal = self._wal()
        for moment in self.wal.commits(lsn_number(self.base["lsn_start"])):
            if stop is not None and moment.lsn >= stop:
                break
            if not_after and not_after.before(moment.lsn, moment.time):
                stop, bad_backup = None, None
                break
            if moment.lsn < base_stop:
                self.before = moment
            else:
                self.commits.append(moment)
        self.found.segments = self.wal.segments
        self.tell(f"{len(self.commits)} transactions in {self.wal.segments} WAL segments after {self.base['label']}")
        end = self.wal.end
        if end is None:
            return stop is not None
        if stop is not None and end.lsn >= stop:
            return True
        if self._is_gap(end.segment, stop):
            self.found.gap = {"segment": end.segment, "lsn": lsn_text(end.lsn), "cause": end.cause}
        return False

    def _is_gap(self, segment: str, stop: int | None) -> bool:
        """Whether there is WAL after the segment at which the archive's WAL ends for us."""
        return stop is not None or segment[8:] <= self.last_segment[8:]

    def _require_good_at(self, not_before: Bound | None) -> None:
        """Raise Refused where the state at `not_before` is bad; else begin the search there."""
        if not_before is None:
            return
        early = -1
        while early + 1 < len(self.commits):
            moment = self.commits[early + 1]
            if not_before.before(moment.lsn, moment.time):
                break
            early += 1
        if early < 0:
            return
        if not self._ask_at(early):
            self.found.answer, self.found.first_bad = BAD, self._moment(early)
            remedy = "Name an earlier not_before, or leave it out."
            raise Refused(failed("search from", f"not_before {not_before.text}", "that moment is bad already", remedy))
        self.span.good = early

    def _remember(self) -> None:
        """Begin where a killed call had come to: its steps were other ones, its answers hold."""
        for index in self.commits.indexes(lsn_number(key) for key in self.journal.answers if "/" in key):
            if self.span.good < index < self.span.bad:
                if self._ask_at(index):
                    self.span.good = index
                else:
                    self.span.bad = index

    def _good_to_the_end(self, bad_backup: Facts | None) -> None:
        """The last transaction that can be reached is good: nothing to find, or it is behind missing WAL."""
        self._conclude()
        gap = self.found.gap
        if gap is None:
            self.found.answer, self.found.first_bad, self.found.exact = GOOD, None, True
            return
        self.found.answer, self.found.exact = NARROWED, False
        behind = f", backup {bad_backup['label']} of {bad_backup['stopped']} is bad" if bad_backup else ""
        cause = f"WAL segment {gap['segment']} is missing ({gap['cause']}): all is good up to {gap['lsn']}{behind}"
        remedy = "Hand in the segment (pg_backrest, state archived), or recover to last_good and lose what follows."
        raise WalGap(failed("search behind", f"position {gap['lsn']}", cause, remedy), error_kind="WalGap")

    def _without_transactions(self, bad_backup: Facts | None) -> None:
        """No commit lies between the base and the end."""
        self._conclude()
        if bad_backup is None and self.found.gap is None:
            self.found.answer, self.found.exact = GOOD, True
        elif self.found.gap:
            self._good_to_the_end(bad_backup)
        else:
            cause = f"{self.base['label']} is good, the next backup is bad, and nothing was committed between them"
            remedy = "Look at what takes effect without a commit, as sequences do."
            raise RecoveryError(failed("find", "the first bad transaction", cause, remedy))

    def _conclude(self) -> None:
        """Put what is known into the result."""
        found, span = self.found, self.span
        found.last_good = self._last_good()
        found.target = self._target()
        if span.bad > span.good:
            found.first_bad = self._moment(span.bad)
            found.exact = span.left == 1
            found.answer = FOUND if found.exact else NARROWED
            if not found.exact:
                why = "max_probes" if found.probes_asked >= self.params["max_probes"] else "timeout"
                found.problems = [f"{why} is reached: {span.left} transactions may be the first bad one."]

    def _last_good(self) -> Facts:
        if self.span.good >= 0:
            return self._moment(self.span.good)
        before = self.before or self.wal.last_before(lsn_number(self.base["lsn_start"]))
        if before is not None:
            return before.as_dict(self.wal.timeline_of(before.lsn))
        lsn = self.base["lsn_stop"]
        return {
            "lsn": lsn,
            "xid": None,
            "time": self.base["stopped"],
            "timeline": self.wal.timeline_of(lsn_number(lsn)),
        }

    def _target(self) -> Facts:
        """Return pg_backrest's target. The last good transaction may be older than what the backup needs to recover."""
        timeline = str(self.found.timeline)
        if self.span.good >= 0:
            return {"lsn": lsn_text(self.commits[self.span.good].lsn), "exclusive": False, "timeline": timeline}
        if self.span.bad == 0 and self.commits:
            return {"lsn": lsn_text(self.commits[0].lsn), "exclusive": True, "timeline": timeline}
        return {"immediate": True}

    def _moment(self, index: int) -> Facts:
        moment = self.commits[index]
        return moment.as_dict(self.wal.timeline_of(moment.lsn))

    def _ask_backup(self, backup: Facts) -> bool:
        moment = {"lsn": backup["lsn_stop"], "xid": None, "time": backup["stopped"], "backup": backup["label"]}
        return self._answer(backup["label"], moment, lambda: self.machine.at_backup(backup))

    def _ask_at(self, index: int) -> bool:
        moment = self.commits[index]
        about = {**self._moment(index), "backup": None}
        return self._answer(lsn_text(moment.lsn), about, lambda: self.machine.at(self.base, moment.lsn))

    def _answer(self, key: str, moment: Facts, go: t.Callable[[], None]) -> bool:
        """Return whether a moment is good: known already, or asked there. Raises Unanswered, TimedOut."""
        known, started = self.journal.answers.get(key), time.monotonic()
        if known is None:
            if self.deadline.expired:
                raise TimedOut(f"Timed out after {self.deadline.seconds:g} s: the damage was not found. Raise timeout.")
            self._say()
            go()
            answer = self._ask()
            self.found.probes_asked += 1
            self.journal.note(key, answer)
        else:
            answer = known
        self.found.restores, self.found.steps = self.machine.restores, self.machine.steps
        self.found.heard(moment, answer.good, answer.reasons, known is not None, time.monotonic() - started)
        return answer.good

    def _ask(self) -> Answer:
        limits = Limits(self.params["statement_timeout"], self.params["lock_timeout"], self.deadline)
        return ask(self.machine.options, self.params["probes"], self.params["missing"], limits)

    def _chooser(self) -> Chooser:
        """Return the best steps by what restores and steps have taken so far."""
        restores, steps = self.machine.restore_seconds[-1:] or [1.0], self.machine.step_seconds[-5:] or [1.0]
        return Chooser(restores[-1], sum(steps) / len(steps))

    def _may_go_on(self) -> bool:
        return not self.deadline.expired and self.found.probes_asked < self.params["max_probes"]

    def _say(self) -> None:
        done = f"{self.machine.restores} restores, {self.found.probes_asked} probes"
        if self.span.left > 1:
            left = f"about {self._chooser().seconds(self.span.left):.0f} s left"
            self.tell(f"candidates {self.span.good + 2}..{self.span.bad + 1} of {len(self.commits)}, {done}, {left}")
        else:
            self.tell(f"looking at backups, {done}")
