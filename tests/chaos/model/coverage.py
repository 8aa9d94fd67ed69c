"""What the schedules really contained: a generator that has rotted finds nothing and says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.chaos.model.schedule import Verdict

#: In how many of a hundred schedules this has to have happened at least, for many schedules.
LEAST = {
    "promotion": 60, "receipt": 60, "switchover": 12, "failback": 6, "way back": 2, "loss": 1,
    "promotion by acceptance": 1,
    "refusal": 15, "rival": 8, "switchover became failover": 2,
    "partition": 8, "one_way": 8, "cut_witness": 8, "cut_regions": 4, "slow_link": 6,
    "answer lost: put": 5, "answer lost: get": 4, "request twice": 10,
    "store_down": 8, "store_slow": 4, "store_throttles": 4, "store_forgets": 1,
    "crash": 12, "killed: operator": 3, "frozen: operator": 2, "killed: renewer": 4, "killed: watchdog": 4,
    "frozen: renewer": 4, "frozen: watchdog": 4, "frozen: postgres": 8, "killed: postgres": 5,
    "clock_step": 5, "slow_fence": 10, "full_disk": 2, "replay_paused": 8, "replay_lags": 4,
}  # fmt: skip
#: Fewer schedules than these say nothing about shares.
ENOUGH = 300


def shares(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """Return, by what can happen, in how many of a hundred schedules it happened."""
    total: Counter[str] = Counter()
    count = 0
    for verdict in verdicts:
        count += 1
        total.update(dict.fromkeys(verdict.counted, 1))
    return {name: 100.0 * found / max(1, count) for name, found in sorted(total.items())}


def rotten(found: dict[str, float]) -> list[str]:
    """Say what happened too seldom."""
    return [
        f"{name}: in {found.get(name, 0.0):.1f} of 100 schedules, {least} at least are wanted"
        for name, least in LEAST.items()
        if found.get(name, 0.0) < least
    ]
