# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rung `isolated`: a scratch cluster can neither be reached nor reach anything. The server is asked, not its files.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
import stat
import typing as t

from .errors import RecoveryError
from .verify_pool import Pool
from .verify_rung import Rung
from .verify_session import Session

#: settings that have to have this value
_SETTINGS = {
    "archive_mode": ("off", "it would archive its WAL into the source's archive. Start it with archive_mode = off."),
    "listen_addresses": ("", "it can be reached over TCP. Start it with listen_addresses = ''."),
}
_ASKED = (*_SETTINGS, "archive_command", "primary_conninfo", "shared_preload_libraries", "unix_socket_directories",
          "max_logical_replication_workers")  # fmt: skip
#: libraries whose workers do something by themselves, at times or all the time
_ACTING = ("pg_cron", "pg_timetable", "timescaledb", "pg_partman_bgw", "pglogical", "citus", "bdr", "pg_squeeze",
           "pg_background", "pgaudit_analyze")  # fmt: skip
_HARMLESS = ("client backend", "autovacuum", "checkpointer", "background writer", "walwriter", "startup", "logger",
             "archiver", "logical replication launcher", "parallel worker", "autoprewarm", "walsummarizer", "io worker",
             "slotsync")  # fmt: skip

_VALUES = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
_STATE = "SELECT pg_is_in_recovery(), host(inet_server_addr())"
_SLOTS = "SELECT slot_name::text FROM pg_replication_slots"
_SUBSCRIPTIONS = "SELECT subname::text FROM pg_subscription WHERE subenabled"
_WORKERS = "SELECT DISTINCT backend_type FROM pg_stat_activity WHERE backend_type IS NOT NULL"
_SENDERS = "SELECT count(*) FROM pg_stat_replication"
_RECEIVERS = "SELECT count(*) FROM pg_stat_wal_receiver"
_HIDDEN = "SELECT NOT pg_has_role('pg_read_all_settings', 'usage')"
_MAPPINGS = """
SELECT s.srvname::text, w.fdwname::text FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid
JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
"""
_FOREIGN_IN_USE = """
SELECT DISTINCT a.pid FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid
JOIN pg_foreign_table f ON f.ftrelid = l.relation
WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()
"""


def isolated(rung: Rung, pool: Pool, home: str, databases: t.Sequence[str], expected: t.Mapping[str, t.Any]) -> None:
    """Ask the server everything that would let it act on, or be acted on by, the world outside."""
    try:
        with pool.connect(home) as session:
            settings = dict(session.rows(_VALUES, (list(_ASKED),)))
            rung.details["settings"] = {name: settings.get(name) for name in _SETTINGS}
            _check_settings(rung, settings)
            check_libraries(rung, settings.get("shared_preload_libraries"))
            _check_state(rung, session, settings, bool(expected.get("in_recovery")))
            _check_links(rung, session, settings)
            _check_workers(rung, session)
    except RecoveryError as error:
        rung.caught("the server", error)
        return
    for database in databases:
        try:
            with pool.connect(database) as session:
                _check_mappings(rung, session)
        except RecoveryError as error:
            rung.caught(f"database {database}: its user mappings", error)


def _check_settings(rung: Rung, settings: t.Mapping[str, str]) -> None:
    for name, (wanted, why) in _SETTINGS.items():
        if name not in settings:
            rung.unverified(f"{name} may not be asked. Grant pg_read_all_settings.")
        elif settings[name] != wanted:
            rung.failed(f"{name} is {settings[name]!r}: {why}")
    command = settings.get("archive_command")
    if settings.get("archive_mode") != "off" and command not in (None, "", "(disabled)"):
        rung.failed("archive_command is set. Start it with archive_mode = off.")
    for directory in (settings.get("unix_socket_directories") or "").split(","):
        _check_socket(rung, directory.strip().strip('"'))


def _check_socket(rung: Rung, directory: str) -> None:
    """Somebody else may reach the socket unless its directory, or one above it, lets only the owner in."""
    if not directory or directory.startswith("@") or not os.path.isdir(directory):
        if directory.startswith("@"):
            rung.failed(f"its socket {directory} is abstract: everybody on this host can reach it")
        return
    above, path = [directory], directory
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        above.append(path)
    if all(stat.S_IMODE(os.stat(path).st_mode) & (stat.S_IXGRP | stat.S_IXOTH) for path in above):
        rung.failed(f"its socket directory {directory} is open to others. Make it mode 0700.")


def check_libraries(rung: Rung, preloaded: str | None) -> None:
    """Name libraries that would run jobs of the source here."""
    if preloaded is None:
        rung.unverified("shared_preload_libraries may not be asked. Grant pg_read_all_settings.")
        return
    libraries = [part.strip().strip('"') for part in preloaded.split(",") if part.strip()]
    for library in libraries:
        if os.path.basename(library).removesuffix(".so") in _ACTING:
            rung.failed(f"shared_preload_libraries has {library}, whose jobs would run here. Start it without.")


def _check_state(rung: Rung, session: Session, settings: t.Mapping[str, str], in_recovery: bool) -> None:
    found, address = session.row(_STATE)
    rung.details["in_recovery"] = found
    if found != in_recovery:
        state = ("in recovery", "out of recovery")
        rung.failed(f"the server is {state[not found]}, and was expected {state[not in_recovery]}")
    if address is not None:
        rung.failed(f"it was reached over TCP at {address}. Use its Unix socket, and listen_addresses = ''.")
    receivers = session.row(_RECEIVERS)[0]
    if "primary_conninfo" not in settings:
        rung.unverified("primary_conninfo may not be asked. Grant pg_read_all_settings.")
    elif receivers or (found and settings["primary_conninfo"]):
        rung.failed("primary_conninfo is in use: it follows another server. Start it with primary_conninfo = ''.")


def _check_links(rung: Rung, session: Session, settings: t.Mapping[str, str]) -> None:
    for (slot,) in session.rows(_SLOTS):
        rung.failed(f"replication slot {slot} is there. Drop it: SELECT pg_drop_replication_slot('{slot}').")
    if session.row(_SENDERS)[0]:
        rung.failed("another server replicates from it (pg_stat_replication)")
    if settings.get("max_logical_replication_workers") == "0":
        return
    for (subscription,) in session.rows(_SUBSCRIPTIONS):
        rung.failed(
            f"subscription {subscription} is enabled. Start it with max_logical_replication_workers = 0, or disable it."
        )


def _check_workers(rung: Rung, session: Session) -> None:
    found = [row[0] for row in session.rows(_WORKERS)]
    others = [name for name in found if not name.startswith(_HARMLESS)]
    rung.details["background_workers"] = others
    for name in others:
        if any(library in name for library in _ACTING) or "cron" in name:
            rung.failed(f"background worker {name} runs. Start the cluster without its library.")
        elif name in ("walsender", "walreceiver") or name.startswith("logical replication"):
            rung.failed(f"{name} is at work: the cluster is connected with another server")
    if session.row(_HIDDEN)[0]:
        rung.unverified("the role may not see everything. Grant pg_monitor.")


def _check_mappings(rung: Rung, session: Session) -> None:
    """User mappings come with a physical restore and are no defect; a session that uses a foreign table is."""
    for server, wrapper in session.rows(_MAPPINGS):
        rung.details.setdefault("user_mappings", []).append(f"{session.database}: {server} ({wrapper})")
    for (pid,) in session.rows(_FOREIGN_IN_USE):
        rung.failed(f"{session.database}: session {pid} uses a foreign table. End it.")
