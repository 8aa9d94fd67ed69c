# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Configuration of the lease guard: one JSON file, no secrets in it.

PRIVATE to the collection. The guard's files import nothing of Ansible: they run beside PostgreSQL without it.
"""

from __future__ import annotations

import json
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .errors import RecoveryError

_REQUIRED = (
    "region",
    "lease",
    "renew_seconds",
    "fence_margin_seconds",
    "postgres",
    "data_directory",
    "hba_file",
    "start_argv",
    "state_directory",
)


def now() -> float:
    """Return seconds since boot, including time asleep; the same in all processes of the machine."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class GuardConfig:
    """What one guard guards. Durations are seconds."""

    region: str
    lease: dict[str, t.Any]
    renew_seconds: float
    fence_margin_seconds: float
    postgres: dict[str, t.Any]
    data_directory: Path
    hba_file: Path
    start_argv: tuple[str, ...]
    state_directory: Path
    bootstrap: bool = False

    @classmethod
    def load(cls, path: str) -> GuardConfig:
        """Read and check the file. Raises RecoveryError."""
        what = f"Failed to read the lease guard's configuration {path}: "
        try:
            raw = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecoveryError(f"{what}{error}.") from error
        missing = [name for name in _REQUIRED if name not in raw]
        unknown = sorted(set(raw) - set(_REQUIRED) - {"bootstrap"})
        if missing or unknown:
            raise RecoveryError(f"{what}missing {missing}, unknown {unknown}. See roles/lease_guard/README.md.")
        config = cls(
            region=str(raw["region"]),
            lease=raw["lease"],
            renew_seconds=float(raw["renew_seconds"]),
            fence_margin_seconds=float(raw["fence_margin_seconds"]),
            postgres=raw["postgres"],
            data_directory=Path(raw["data_directory"]),
            hba_file=Path(raw["hba_file"]),
            start_argv=tuple(raw["start_argv"]),
            state_directory=Path(raw["state_directory"]),
            bootstrap=bool(raw.get("bootstrap", False)),
        )
        if config.fence_margin_seconds < 1 or config.ttl < config.fence_margin_seconds + 2 * config.renew_seconds:
            raise RecoveryError(
                f"{what}lease.ttl_seconds ({config.ttl:g}) must leave room for two renewals (renew_seconds "
                f"{config.renew_seconds:g}) beside the time to fence (fence_margin_seconds "
                f"{config.fence_margin_seconds:g}, 1 at least)."
            )
        return config

    @property
    def ttl(self) -> float:
        """Time to live of one renewal."""
        return float(self.lease["ttl_seconds"])

    @property
    def allowance(self) -> float:
        """What is added to the TTL before a silent holder counts as stopped."""
        return float(self.lease["clock_allowance_seconds"])

    @property
    def patience(self) -> float:
        """How long a renewal may fail before the fence begins."""
        return self.ttl - self.fence_margin_seconds

    @property
    def watchdog_grace(self) -> float:
        """How much later than the renewer the watchdog acts on the same deadline."""
        return min(0.5, self.fence_margin_seconds / 4)

    @property
    def answer_seconds(self) -> float:
        """How long one answer of a witness store is waited for: two tries must fit before the fence."""
        return max(0.3, (self.patience - self.renew_seconds) / 2)

    def lease_options(self) -> dict[str, t.Any]:
        """The `lease` option with the stores' timeouts cut to what the TTL allows."""
        stores = [
            {**store, "timeout": min(float(store.get("timeout") or 5.0), self.answer_seconds)}
            for store in self.lease["stores"]
        ]
        return {**self.lease, "stores": stores}
