# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applies manifests server-side, kind after kind; never removes anything.

PRIVATE to the collection.
"""

from __future__ import annotations

import itertools
import typing as t

from .clock import wait_until
from .errors import RecoveryError
from .kubernetes_api import Conflict
from .manifests_check import TRIES, Checker, explained, look, passing
from .manifests_entry import FAILED, PASSED, UNCHANGED, Entry
from .manifests_export import Tell
from .workloads_preflight import each

#: How long a kind may take to be served once its definition was made.
_SERVED_SECONDS = 30.0


def apply(checker: Checker, entries: t.Sequence[Entry], tell: Tell) -> None:
    """Apply all that differs, those of one rank at once. Raises RecoveryError after the first rank with a failure."""
    done = 0
    for _rank, group in itertools.groupby(entries, key=lambda entry: entry.manifest.identity.kind.rank):
        rank = list(group)
        each(lambda entry: _one(checker, entry), rank)
        done += len(rank)
        tell(f"{done} of {len(entries)} manifests applied")
        refused = [line for entry in rank if entry.outcome == FAILED for line in entry.told()]
        if refused:
            left = len(entries) - done
            rest = f" {left} were not tried." if left else ""
            raise RecoveryError(f"Failed to apply manifests: {'; '.join(refused)}{rest} Mend that and run it again.")


def _one(checker: Checker, entry: Entry) -> None:
    if entry.outcome == PASSED and entry.action == UNCHANGED:
        return
    try:
        if entry.resource is None:
            _await_kind(checker, entry)
        _apply(checker, entry)
    except RecoveryError as error:
        entry.note(FAILED, explained(error))
        return
    entry.outcome, entry.applied = PASSED, True
    entry.reasons = []


def _apply(checker: Checker, entry: Entry) -> None:
    for attempt in range(TRIES):
        try:
            entry.after = checker.api.apply(checker.path(entry), checker.body(entry), checker.force, dry_run=False)
            return
        except Conflict as error:
            if attempt == TRIES - 1 or not passing(error, checker.keeps(entry)):
                raise
            look(checker.api, entry)


def _await_kind(checker: Checker, entry: Entry) -> None:
    identity = entry.manifest.identity

    def served() -> bool:
        checker.discovery.forget()
        entry.resource = checker.discovery.exact(identity.kind, entry.manifest.api_version)
        return entry.resource is not None

    wait_until(served, _SERVED_SECONDS, f"the API to serve {identity.kind}")
