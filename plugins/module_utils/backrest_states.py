# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each state of pg_backrest does.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

from . import backrest_archive, backrest_backup, backrest_expire, backrest_gap, backrest_info, backrest_restore
from .backrest_command import Backrest, Tell
from .backrest_info import Facts
from .backrest_verify import verify
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result

#: seconds between two backups where no schedule is given
_DEFAULT_SCHEDULE: Facts = {"full": 7 * 86400.0, "diff": 86400.0, "incr": 3600.0}


class Call:
    """One call of pg_backrest."""

    def __init__(self, params: Params, check_mode: bool, tell: Tell | None) -> None:
        self.params, self.check_mode, self.tell = params, check_mode, tell
        self.started = time.monotonic()
        self.repositories: list[Facts] = []
        self.archive = backrest_archive.not_asked(params.get("rpo_seconds"))
        self.due: list[Facts] = []
        self.taken_backups: list[Facts] = []
        self.archived_segments: list[str] = []
        self.expired_backups: dict[str, list[str]] = {}
        self.verified_repositories: list[Facts] = []
        self.restored_cluster: Facts | None = None
        self.changed = False
        self.before: Facts = {}
        self.after: Facts = {}
        self.outcome, self.problems = "unverified", list[str]()
        self._backrest: Backrest | None = None

    @property
    def backrest(self) -> Backrest:
        """The program with the task's configuration."""
        if self._backrest is None:
            self._backrest = Backrest(
                Path(self.params["config"]), self.params["stanza"], self.params["repositories"] or (),
                self.params.get("postgres"), self.params["program"], self.params["lock_timeout"],
            )  # fmt: skip
        return self._backrest

    def result(self) -> Result:
        """Return the module's result as far as it is known."""
        seconds = round(time.monotonic() - self.started, 3)
        known = {
            "outcome": self.outcome,
            "problems": self.problems,
            "repositories": self.repositories,
            "archive": self.archive,
            "archived": self.archived_segments,
            "due": self.due,
            "taken": self.taken_backups,
            "expired": self.expired_backups,
            "verified": self.verified_repositories,
            "restored": self.restored_cluster,
            "error_kind": None,
            "seconds": seconds,
        }
        short = [{name: one[name] for name in ("name", "outcome", "reasons")} for one in self.repositories]
        about = {"state": self.params["state"], "stanza": self.params["stanza"], "repositories": short}
        shown = ("outcome", "problems", "archive", "archived", "due", "taken", "expired", "restored", "seconds")
        evidence = {**about, **{name: known[name] for name in shown}}
        diff = {"before": self.before, "after": self.after}
        return {**known, "changed": self.changed, "evidence": evidence, "diff": diff}

    def present(self) -> None:
        """List what there is and how far the archive is behind."""
        self._look(timelines=True)
        self._measure()
        self._judge()

    def created(self) -> None:
        """Bring the stanza about in every repository. One that belongs to another cluster is refused."""
        self.backrest.require_known_server()
        self._look()
        absent = [one for one in self.repositories if one["status_code"] in (1, 3)]
        self._require_known([one for one in self.repositories if one not in absent])
        self.before = {"stanza": {one["name"]: one not in absent for one in self.repositories}}
        self.after = {"stanza": dict.fromkeys(self.before["stanza"], True)}
        self.changed = bool(absent)
        if self.check_mode or not absent:
            self._judge(backups=False)
            return
        # for all of them at once: pgBackRest then sees to it that they belong to the same cluster
        self.backrest.run(
            "create", f"stanza {self.params['stanza']}", "stanza-create", timeout=self.params["timeout"],
            asks_server=True,
        )  # fmt: skip
        self._look()
        self._judge(backups=False)

    def archived(self) -> None:
        """Hand in what this server received as a standby and the old primary never archived."""
        self._look()
        gap = backrest_gap.absent(self.backrest, self.repositories, self.params["query_timeout"])
        self.before, self.after = {"absent": gap}, {"absent": {}}
        self.changed = bool(gap)
        problem = ""
        for segment in gap:
            try:
                if not self.check_mode:
                    backrest_gap.hand_in(self.backrest, segment, self.params["timeout"])
                self.archived_segments.append(segment)
            except RecoveryError as error:  # it may be in the others now: the next call sees
                problem = str(error)
                break
        self._look(timelines=True)
        self._measure()
        self._judge(backups=False)
        found = [*([problem] if problem else []), *([] if self.check_mode else backrest_gap.holes(self.repositories))]
        if found:
            self.outcome, self.problems = "failed", [*self.problems, *found]
        self._require_passed("hand in", f"WAL of stanza {self.params['stanza']}")

    def checked(self) -> None:
        """Let the server finish a WAL segment and see it arrive in every repository."""
        self._look()
        began, problem = time.monotonic(), ""
        missing = [reason for one in self.repositories if one["status_code"] not in (0, 2) for reason in one["reasons"]]
        if not missing and not self.check_mode:
            try:
                self.backrest.run(
                    "check", f"the archive of stanza {self.params['stanza']}", "check", timeout=self.params["timeout"],
                    asks_server=True, watch=lambda line: None,
                )  # fmt: skip
            except RecoveryError as error:
                problem = str(error)
            self._look()
        checked = round(time.monotonic() - began, 3)
        self._measure()
        self._judge(backups=False)
        if self.check_mode:
            self.problems.append("Check mode: no WAL segment was sent.")
            self.outcome = "failed" if self.outcome == "failed" else "unverified"
        elif problem:
            self.problems.append(problem)
            self.outcome = "failed"
        elif not missing:
            self.archive["checked_seconds"] = checked
        self._require_passed("check", f"the archive of stanza {self.params['stanza']}")

    def taken(self) -> None:
        """Take what is due, or what is asked for, into every repository that is asked for."""
        self.backrest.require_known_server()
        copies = list(self.params["copies"])
        for name in copies:
            self.backrest.repository(name)
        backrest_backup.require_primary(self.backrest)
        self._look()
        chosen = [one for one in self.repositories if not copies or one["name"] in copies]
        schedule = {**(self.params.get("schedule") or _DEFAULT_SCHEDULE)}
        plans = backrest_backup.plan(self.backrest, chosen, copies, self.params["type"], schedule)
        self.before = {"backups": {one["name"]: len(one["backups"]) for one in chosen}}
        self.due = [
            {"repository": one.repository.name, "type": one.type, "reason": one.reason} for one in plans if one.type
        ]
        counts = dict(self.before["backups"])
        for one in plans:
            counts[one.repository.name] += 1 if one.type else 0
        self.after, failures = {"backups": counts}, dict[str, RecoveryError]()
        for entry in chosen:
            if not backrest_info.usable(entry):
                failures[entry["name"]] = backrest_info.error_of(self.backrest, entry)
        for one in plans:
            if one.type is None:
                continue
            self.changed = True
            if self.check_mode:
                continue
            before = next(entry["backups"] for entry in chosen if entry["name"] == one.repository.name)
            try:
                self.taken_backups.append(
                    backrest_backup.take(self.backrest, one, before, self.params["timeout"], self.tell)
                )
            except RecoveryError as error:
                failures[one.repository.name] = error
        self.changed = self.changed if self.check_mode else bool(self.taken_backups)
        if not self.check_mode:
            self._look()
        self._measure()
        self._judge()
        if failures:
            self._fail("take", f"backups of stanza {self.params['stanza']}", failures)
        damaged = [one["label"] for one in self.taken_backups if one["error"]]
        if damaged:
            what = f"backup {', '.join(damaged)}"
            remedy = "Its label stays listed as damaged. Find the pages in PostgreSQL's log, repair or restore them."
            raise RecoveryError(failed("believe", what, "it has pages with wrong checksums", remedy))

    def verified(self) -> None:
        """Let pgBackRest read every file in the repositories and compare it with its checksum."""
        self._look()
        chosen = [one for one in self.repositories if one["name"] in (self.params["copies"] or [one["name"]])]
        self.verified_repositories = [verify(self.backrest, one, self.params["timeout"]) for one in chosen]
        self._conclude(self.verified_repositories)
        self._require_passed("verify", f"stanza {self.params['stanza']}")

    def expired(self) -> None:
        """Remove what is older than its retention."""
        given = self.params["retention"]
        if given["minimum_full"] < 1:
            raise Refused(failed("expire", "backups", "minimum_full is below 1", "Keep one full backup at least."))
        retention = backrest_expire.Retention(
            given["full_days"], given.get("diff_days"), given.get("archive_days"), given["minimum_full"],
            tuple(given.get("keep") or ()),
        )  # fmt: skip
        self._look()
        chosen = [one for one in self.repositories if one["name"] in (self.params["copies"] or [one["name"]])]
        failures: dict[str, RecoveryError] = {}
        reachable = [one for one in chosen if backrest_info.usable(one)]
        for one in chosen:
            if one not in reachable:
                failures[one["name"]] = backrest_info.error_of(self.backrest, one)
        if not failures:
            backrest_expire.require_known(chosen, retention.keep)
        self.before = {"backups": {one["name"]: [backup["label"] for backup in one["backups"]] for one in reachable}}
        for one in reachable:
            try:
                self.expired_backups[one["name"]] = backrest_expire.expire(
                    self.backrest, one, retention, self.check_mode, self.params["timeout"]
                )
            except RecoveryError as error:
                failures[one["name"]] = error
        self.after = {
            "backups": {
                name: [label for label in labels if label not in self.expired_backups.get(name, [])]
                for name, labels in self.before["backups"].items()
            }
        }
        self.changed = any(self.expired_backups.values())
        if not self.check_mode:
            self._look()
        self._judge()
        if failures:
            self._fail("expire", f"backups of stanza {self.params['stanza']}", failures)

    def restored(self) -> None:
        """Fill an empty directory beside."""
        directory = Path(self.params["directory"])
        target = self.params.get("target")
        backrest_restore.target_options(target)
        backrest_restore.require_beside(self.backrest, directory)
        self._look()
        entry, backup = self._source(target)
        backrest_restore.require_room(directory, backup["bytes"])
        self.before = {"directory": None}
        self.after = {"directory": str(directory), "label": backup["label"], "repository": entry["name"]}
        self.changed = True
        if not self.check_mode:
            self.restored_cluster = backrest_restore.restore(
                self.backrest, self.backrest.repository(entry["name"]), backup, directory, target,
                self.params.get("processes") or max(1, os.cpu_count() or 1), self.params["timeout"], self.tell,
            )  # fmt: skip
        self.outcome, self.problems = "passed", []

    def _source(self, target: Facts | None) -> tuple[Facts, Facts]:
        """Return the repository that was named, or the first that has what is wanted, and the backup in it."""
        name, label = self.params.get("repository"), self.params.get("label")
        entries = [one for one in self.repositories if name in (None, one["name"])]
        if name:
            self.backrest.repository(name)
        last: RecoveryError | None = None
        for entry in entries:
            try:
                if not backrest_info.usable(entry):
                    raise backrest_info.error_of(self.backrest, entry)
                return entry, backrest_restore.choose(entry, label, target)
            except RecoveryError as error:
                last = last or error
                self.problems.append(str(error))
        raise last or Refused(failed("restore", "a backup", "the configuration has no repository"))

    def _look(self, timelines: bool = False) -> None:
        self.repositories = backrest_info.look(self.backrest, self.params["query_timeout"], timelines)

    def _measure(self) -> None:
        if self.params.get("postgres"):
            self.archive = backrest_archive.measure(
                self.params["postgres"], self.repositories, self.params.get("rpo_seconds")
            )

    def _require_known(self, entries: list[Facts]) -> None:
        failures = {
            one["name"]: backrest_info.error_of(self.backrest, one) for one in entries if not backrest_info.usable(one)
        }
        if failures:
            self._fail("create", f"stanza {self.params['stanza']}", failures)

    def _judge(self, backups: bool = True) -> None:
        """Sum up repositories and archive."""
        parts = [
            one if backups or one["status_code"] != backrest_info.NO_BACKUP else {"outcome": "passed", "reasons": []}
            for one in self.repositories
        ]
        self._conclude([*parts, self.archive] if self.params.get("rpo_seconds") is not None else parts)

    def _conclude(self, parts: t.Sequence[Facts]) -> None:
        found = {one["outcome"] for one in parts}
        self.outcome = next((one for one in ("failed", "unverified") if one in found), "passed")
        self.problems = [reason for one in parts for reason in one["reasons"]]

    def _require_passed(self, verb: str, what: str) -> None:
        if self.outcome != "passed" and self.params["required"]:
            raise RecoveryError(failed(verb, what, " ".join(self.problems) or self.outcome))

    def _fail(self, verb: str, what: str, failures: dict[str, RecoveryError]) -> t.NoReturn:
        """Raise one error for several repositories, of the class of the first."""
        first = next(iter(failures.values()))
        facts = {"error_kind": first.facts.get("error_kind") or type(first).__name__}
        if len(failures) == 1:
            first.facts = {**first.facts, **facts}
            raise first
        raise type(first)(failed(verb, what, " ".join(map(str, failures.values()))), **facts)
