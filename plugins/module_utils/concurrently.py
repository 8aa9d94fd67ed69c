# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask several others at once, and wait for none longer than agreed.

PRIVATE to the collection.
"""

from __future__ import annotations

import queue
import threading
import typing as t

from .clock import Deadline
from .errors import RecoveryError, Unreachable

R = t.TypeVar("R")


def ask_all(calls: t.Mapping[str, t.Callable[[], R]], seconds: float) -> dict[str, R | RecoveryError]:
    """Run the calls in threads of their own and return what each gave, in their order; a RecoveryError is an answer.

    A call that has not returned after `seconds` counts as Unreachable. Its thread is a daemon: it holds nobody up.
    Any other exception is raised here.
    """
    inbox: queue.SimpleQueue[tuple[str, R | Exception]] = queue.SimpleQueue()

    def ask(name: str, call: t.Callable[[], R]) -> None:
        try:
            inbox.put((name, call()))
        except Exception as error:  # goes on in the caller's thread
            inbox.put((name, error))

    deadline = Deadline(seconds)
    for name, call in calls.items():
        threading.Thread(target=ask, args=(name, call), daemon=True, name=f"ask {name}").start()
    answers: dict[str, R | RecoveryError] = {
        name: Unreachable(f"{name} did not answer within {seconds:g} s.") for name in calls
    }
    for _call in calls:
        try:
            name, got = inbox.get(timeout=max(0.001, deadline.remaining))
        except queue.Empty:
            break
        if isinstance(got, Exception) and not isinstance(got, RecoveryError):
            raise got
        answers[name] = got
    return answers
