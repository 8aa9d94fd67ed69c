# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an incident's earlier runs have done, as a run that goes on with it tells it.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t


def done_before(events: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[list[str], list[str]]:
    """Return the steps that changed something, and those begun of which nobody recorded the outcome; in order, once.

    `events` are the ledger's, as incident_ledger returns them. A step is told as `<step> (<phase>)`.
    """
    done: dict[str, None] = {}
    begun: dict[tuple[t.Any, ...], str] = {}
    for event in events:
        data, state = event.get("data") or {}, event.get("state")
        told = f"{event.get('step')} ({event.get('phase')})"
        key = (told, data.get("task"), data.get("host"), str(data.get("item")))
        if state == "intent":
            begun[key] = told
            continue
        begun.pop(key, None)
        if state in ("verified", "effect") and data.get("changed"):
            done[told] = None
    return list(done), list(dict.fromkeys(begun.values()))
