# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One query to a PostgreSQL server, with an end that holds even when the server is frozen.

PRIVATE to the collection.
"""

from __future__ import annotations

import select
import typing as t

from .clock import Deadline
from .probes_model import CannotTell, CheckFailed, VantagePoint
from .probes_network import addresses_of, show

try:
    import psycopg2 as _psycopg2
    from psycopg2 import extensions

    psycopg2: t.Any = _psycopg2
except ImportError:  # a check that needs it says so
    psycopg2 = None

#: libpq's words for credentials that are wrong: the check is at fault, and nothing is known of the server.
_NO_CREDENTIALS = ("password authentication failed", "no password supplied")


def single_value(
    options: t.Mapping[str, t.Any], query: str, point: VantagePoint, deadline: Deadline
) -> tuple[str | None, str]:
    """Return the first column of the query's only row, as PostgreSQL writes it, and the address asked.

    `options` follow the shared `postgres` option. Raises CheckFailed when the server does not answer, refuses,
    or answers other than with one row; CannotTell when the check cannot log in or has no library.
    """
    if psycopg2 is None:
        raise CannotTell("the Python package psycopg2 is not installed")
    if point.source_address:
        raise CannotTell("libpq cannot bind a source address; name vantage_points without one for this check")
    host, port = options["host"], options["port"]
    if host.startswith("/"):
        return _ask(options, host, None, query, deadline)
    failure: CheckFailed | None = None
    for address in addresses_of(host, point, deadline):
        try:
            return _ask(options, show(address, port), address, query, deadline)
        except CheckFailed as error:
            failure = error
    raise failure or CheckFailed(f"{host} has no address")


def _ask(
    options: t.Mapping[str, t.Any], where: str, address: str | None, query: str, deadline: Deadline
) -> tuple[str | None, str]:
    connection = None
    try:
        connection = psycopg2.connect(
            host=options["host"],
            hostaddr=address,
            port=options["port"],
            dbname=options["database"],
            user=options["user"],
            passfile=options.get("passfile"),
            sslmode=options.get("sslmode") or "prefer",
            application_name="health_probe",
            async_=True,
        )
        _await(connection, deadline)
        cursor = connection.cursor()
        # A check only looks, and what we no longer wait for is not left running. Local to the transaction, because
        # behind a pooler a session's settings are other clients' too.
        milliseconds = max(1, round(deadline.remaining * 1000))
        cursor.execute(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}")
        _await(connection, deadline)
        # psql's spelling of every value, not Python's: t and f, 1.50, 2026-01-01.
        extensions.register_type(extensions.new_type(tuple(extensions.string_types), "text", _as_text), cursor)
        cursor.execute(query)
        _await(connection, deadline)
        return _only_value(cursor, where), where
    except TimeoutError:
        raise CheckFailed(f"{where}: no answer within {deadline.seconds:g} s", where) from None
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        if any(words in reason for words in _NO_CREDENTIALS):
            raise CannotTell(f"cannot log in to {where} as {options['user']}: {reason}") from None
        raise CheckFailed(f"{where}: {reason}", where) from None
    finally:
        if connection is not None:
            connection.close()


def _only_value(cursor: t.Any, where: str) -> str | None:
    if cursor.description is None:
        raise CheckFailed(f"{where}: the query returned no rows", where)
    rows = cursor.fetchall()
    if len(rows) != 1:
        raise CheckFailed(f"{where}: the query returned {len(rows)} rows, one was expected", where)
    return t.cast("str | None", rows[0][0])


def _as_text(value: str | bytes | None, cursor: t.Any) -> str | bytes | None:
    return value


def _await(connection: t.Any, deadline: Deadline) -> None:
    """Drive an asynchronous connection until it is idle. Raises TimeoutError at the deadline."""
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        reading = [connection] if state == extensions.POLL_READ else []
        writing = [connection] if state == extensions.POLL_WRITE else []
        if not any(select.select(reading, writing, [], deadline.remaining)):
            raise TimeoutError
