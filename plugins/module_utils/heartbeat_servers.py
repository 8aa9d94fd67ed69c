# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each region's PostgreSQL answers: whether it is there, what it is, how far it is, and if it commits a write.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .errors import RecoveryError, Unreachable
from .postgres_state import Heartbeat, ServerState, heartbeats
from .sql import LoginFailed, Postgres, SqlFailed, WriteRefused

#: No table dr.probe, or no right to write to it: says nothing of other writes.
_CANNOT_ASK = ("3F000", "42P01", "42501")


@dataclass(frozen=True)
class Server:
    """One entry of the option `servers`."""

    region: str
    options: dict[str, t.Any]
    probe_write: bool = False

    def connect(self) -> Postgres:
        """Return a connection that opens when it is first used."""
        return Postgres(self.options, self.region)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.options['host']}:{self.options.get('port') or 5432}"


@dataclass
class Answer:
    """What one server answered. None is what is not known."""

    server: Server
    reachable: bool = False
    state: ServerState | None = None
    heartbeats: list[Heartbeat] = field(default_factory=list)
    accepts_writes: bool | None = None
    error: str | None = None
    #: what could not be told, beside what follows from an unreachable server
    unverified: list[str] = field(default_factory=list)
    login: LoginFailed | None = None

    def as_dict(self) -> dict[str, t.Any]:
        """The module's return value for one server."""
        state = self.state
        return {
            "region": self.server.region,
            "address": self.server.address,
            "reachable": self.reachable,
            "in_recovery": state.in_recovery if state else None,
            "accepts_writes": self.accepts_writes,
            "timeline": state.timeline if state else None,
            "system_identifier": state.system_identifier if state else None,
            "lsn": state.lsn if state else None,
            "receive_lsn": state.receive_lsn if state else None,
            "replay_lsn": state.replay_lsn if state else None,
            "replay_paused": state.replay_paused if state else None,
            "heartbeat": self.heartbeats[0].as_dict() if self.heartbeats else None,
            "error": self.error,
        }

    @property
    def is_primary(self) -> bool:
        """True when it is known to be out of recovery."""
        return self.state is not None and not self.state.in_recovery


def ask(server: Server, check_mode: bool) -> Answer:
    """Look at one server; what goes wrong is part of the answer."""
    answer = Answer(server)
    try:
        with server.connect() as connection:
            answer.state = ServerState.of(connection)
            answer.reachable = True
            _read_heartbeats(answer, connection)
            if server.probe_write:
                _probe(answer, connection, check_mode)
    except LoginFailed as error:
        answer.login, answer.error = error, str(error)
    except (Unreachable, WriteRefused) as error:
        answer.reachable, answer.error = False, str(error)
    except RecoveryError as error:
        answer.error = str(error)
    if answer.error and answer.accepts_writes is None:
        unknown = "whether it accepts writes is not known. " if server.probe_write else ""
        answer.unverified.append(f"{server.region}: {unknown}{answer.error}")
    return answer


def _read_heartbeats(answer: Answer, connection: Postgres) -> None:
    try:
        answer.heartbeats = heartbeats(connection)
    except SqlFailed as error:
        answer.unverified.append(f"{answer.server.region}: its heartbeats cannot be read. {error}")


def _probe(answer: Answer, connection: Postgres, check_mode: bool) -> None:
    """Try a write. A refusal by the server is a no; anything else that goes wrong tells nothing."""
    region = answer.server.region
    if check_mode:  # in recovery nothing can be written; a write would be an effect
        answer.accepts_writes = None if answer.is_primary else False
        if answer.is_primary:
            answer.unverified.append(f"{region}: whether it accepts writes is not asked in check mode.")
        return
    try:
        connection.rows("SET default_transaction_read_only = off")  # it binds nobody who does not want it
        connection.probe_write(region)
        answer.accepts_writes = True
    except WriteRefused as error:
        answer.accepts_writes = False
        if answer.is_primary:
            answer.error = str(error)
    except (SqlFailed, Unreachable) as error:
        if isinstance(error, Unreachable) or error.sqlstate in _CANNOT_ASK:
            answer.unverified.append(f"{region}: whether it accepts writes is not known. {error}")
        else:
            answer.accepts_writes, answer.error = False, str(error)
