# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of a scratch PostgreSQL: of the restored cluster's own, only what recovery needs is kept.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from .errors import Refused, failed

_MB = 1 << 20
_AUTO = "postgresql.auto.conf"
_LINE = re.compile(r"^\s*([a-z_0-9.]+)\s*(?:=|\s)\s*'((?:[^'\\]|''|\\.)*)'", re.I)
#: what is kept of the restored postgresql.auto.conf, where pgBackRest writes it
_KEPT = ("restore_command", "recovery_target", "recovery_target_time", "recovery_target_lsn", "recovery_target_xid",
         "recovery_target_name", "recovery_target_timeline", "recovery_target_inclusive")  # fmt: skip
#: of these a target is made
TARGETS = tuple(
    name for name in _KEPT if name.startswith("recovery_target") and not name.endswith(("line", "inclusive"))
)
#: libraries whose workers act by themselves: they would run the service's jobs in the copy
_ACTS_BY_ITSELF = ("pg_cron", "pg_squeeze", "pg_partman_bgw", "pglogical", "bdr", "pg_background", "pgagent", "repmgr")

#: asked of the running server, each with the only answer that is right
ASKED = {
    "listen_addresses": "",
    "archive_mode": "off",
    "primary_conninfo": "",
    "max_logical_replication_workers": "0",
    "ssl": "off",
}


@dataclass
class Settings:
    """What a scratch is started with. `left_out` names preloaded libraries that are not loaded, with the reason."""

    values: dict[str, str]
    recovery: dict[str, str] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)

    @property
    def has_target(self) -> bool:
        """True when recovery ends at a target, where it then pauses."""
        return any(self.recovery.get(name) for name in TARGETS)

    def text(self) -> str:
        """Return the content of postgresql.conf."""
        return "".join(f"{name} = '{_quoted(value)}'\n" for name, value in {**self.values, **self.recovery}.items())


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def base_settings(scratch: Path, port: int, memory_mb: int | None, free_bytes: int) -> dict[str, str]:
    """Return what every scratch has: a socket only, no archive, no replication, quick to restore into.

    The figures are those that were measured best of the safe ones; fsync off gained nothing.
    """
    memory = (memory_mb or _memory_mb()) * _MB
    return {
        "listen_addresses": "",
        "unix_socket_directories": str(scratch / "socket"),
        "unix_socket_permissions": "0700",
        "port": str(port),
        "hba_file": str(scratch / "pg_hba.conf"),
        "ident_file": str(scratch / "pg_ident.conf"),
        "ssl": "off",
        "archive_mode": "off",
        "archive_command": "",
        "primary_conninfo": "",
        "primary_slot_name": "",
        "hot_standby": "on",
        "max_wal_senders": "0",
        "max_replication_slots": "0",
        "max_logical_replication_workers": "0",
        "shared_buffers": f"{max(16, min(2048, memory // 8 // _MB))}MB",
        "maintenance_work_mem": f"{max(16, min(1024, memory // 16 // _MB))}MB",
        "max_wal_size": f"{max(64, min(16384, free_bytes // 8 // _MB))}MB",
        "checkpoint_timeout": "1h",
        "synchronous_commit": "off",
        "wal_compression": "on",
        "autovacuum": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_min_messages": "warning",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "cluster_name": "scratch",
    }


def new_cluster_settings(base: dict[str, str]) -> Settings:
    """Return the settings of a cluster that was just made: nobody needs its WAL."""
    return Settings({**base, "wal_level": "minimal", "max_connections": "100"})


def restored_settings(
    base: dict[str, str],
    remembered: t.Mapping[str, str],
    recovery: dict[str, str],
    preload: str,
    libraries: Path,
    slots: int,
) -> Settings:
    """Return the settings of a restored data directory; `remembered` is what its control file says it ran with.

    In recovery a server needs at least what its primary had.
    """
    needed = ("max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions",
              "max_locks_per_transaction", "wal_level")  # fmt: skip
    values = {**base, **{name: remembered[name] for name in needed if name in remembered}}
    values["track_commit_timestamp"] = remembered.get("track_commit_timestamp", "off")
    values["max_replication_slots"] = str(slots)  # a restored slot needs its place; nobody can reach it
    loaded, left_out = _preload(preload, libraries)
    settings = Settings({**values, "shared_preload_libraries": ",".join(loaded)}, dict(recovery), left_out)
    if settings.has_target:
        settings.recovery["recovery_target_action"] = "pause"
    return settings


def _preload(wanted: str, libraries: Path) -> tuple[list[str], list[dict[str, str]]]:
    loaded, left_out = [], []
    for name in (one.strip().strip('"') for one in wanted.split(",") if one.strip()):
        if name in _ACTS_BY_ITSELF:
            left_out.append({"library": name, "reason": "its workers would act on the copy by themselves"})
        elif not (libraries / f"{name}.so").exists():
            left_out.append({"library": name, "reason": f"not installed in {libraries}"})
        else:
            loaded.append(name)
    return loaded, left_out


def inherited(data: Path) -> dict[str, str]:
    """Return the settings for recovery, and shared_preload_libraries, that were restored with a data directory."""
    found: dict[str, str] = {}
    for name in ("postgresql.conf", _AUTO):
        file = data / name
        if file.is_file():
            for line in file.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
                match = _LINE.match(line)
                if match and match[1].lower() in (*_KEPT, "shared_preload_libraries"):
                    found[match[1].lower()] = match[2].replace("''", "'").replace("\\\\", "\\")
    return {name: value for name, value in found.items() if value}


def neutralise(data: Path) -> None:
    """Empty the restored postgresql.auto.conf, which the server would read whatever we say; it is kept beside.

    What was a standby becomes a cluster in recovery: it would wait for its primary for ever.
    """
    auto, kept = data / _AUTO, data / f"{_AUTO}.restored"
    if auto.exists() and not kept.exists():
        like = os.stat(auto)
        auto.rename(kept)
        auto.touch(mode=0o600)
        if os.geteuid() == 0:
            os.chown(auto, like.st_uid, like.st_gid)
    if (data / "standby.signal").exists():
        (data / "standby.signal").rename(data / "recovery.signal")


def require_inside(data: Path, scratch: Path) -> None:
    """Raise Refused when the data directory leads out of the scratch: its tablespaces may be the service's own."""
    spaces = data / "pg_tblspc"
    links = [data / "pg_wal", *(spaces.iterdir() if spaces.is_dir() else ())]
    for link in links:
        if link.is_symlink() and not link.resolve().is_relative_to(scratch.resolve()):
            remedy = "Restore tablespaces and WAL into the scratch, for example with pgBackRest's tablespace-map-all."
            cause = f"{link.relative_to(data)} leads to {link.resolve()}"
            raise Refused(failed("start", f"a scratch in {data}", cause, remedy))


def _memory_mb() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MB
