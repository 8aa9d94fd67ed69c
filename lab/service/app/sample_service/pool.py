"""A small PostgreSQL connection pool in which nothing waits longer than its deadline.

libpq's own timeouts do not cover a server that is frozen with its sockets open, so each call polls the connection
under a deadline that this side keeps. A connection that failed is closed, never reused, and its idle siblings with it:
after a restart, a fence or a promotion the next call connects anew.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions

from .settings import DatabaseSettings

POOL_SIZE = 8
_POLL_EVENTS = {
    psycopg2.extensions.POLL_READ: select.POLLIN | select.POLLPRI,
    psycopg2.extensions.POLL_WRITE: select.POLLOUT,
}
_deadlines = threading.local()


class DeadlineExceeded(psycopg2.OperationalError):
    """The database did not answer in time; whether it did the work is unknown."""


def _wait(connection: Any) -> None:
    poller = select.poll()
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        remaining = _deadlines.at - time.monotonic()
        descriptor = connection.fileno()
        poller.register(descriptor, _POLL_EVENTS[state])
        if remaining <= 0 or not poller.poll(remaining * 1000):
            raise DeadlineExceeded("no answer from the database in time")
        poller.unregister(descriptor)


psycopg2.extensions.set_wait_callback(_wait)


class ConnectionPool:
    """At most ``size`` autocommit connections, the last used first. Safe to share between threads."""

    def __init__(self, settings: DatabaseSettings, application: str, size: int = POOL_SIZE) -> None:
        self._settings = settings
        self._application = application
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        self._generation = 0

    @contextmanager
    def connection(self, seconds: float, fresh: bool = False) -> Iterator[tuple[Any, bool]]:
        """A connection and whether it was in use before, for work that ends within ``seconds``.

        ``fresh`` asks for a new one. Raises psycopg2.Error, DeadlineExceeded when no slot or answer came in time.
        """
        _deadlines.at = time.monotonic() + seconds
        if not self._slots.acquire(timeout=seconds):
            raise DeadlineExceeded("every connection to the database is busy")
        try:
            reused = None if fresh else self._take()
            generation = self._generation
            connection = reused or self._connect()
            try:
                yield connection, reused is not None
            except BaseException:
                self._discard(connection)
                raise
            self._give_back(connection, generation)
        finally:
            self._slots.release()

    def close(self) -> None:
        """Close every idle connection."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
        for connection in idle:
            connection.close()

    def _connect(self) -> Any:
        settings = self._settings
        connection = psycopg2.connect(
            host=settings.host,
            port=settings.port,
            dbname=settings.name,
            user=settings.user,
            password=settings.password,
            application_name=self._application,
            options="-c statement_timeout=2000 -c lock_timeout=1000",
        )
        connection.autocommit = True
        return connection

    def _take(self) -> Any | None:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if not connection.closed:
                    return connection
        return None

    def _give_back(self, connection: Any, generation: int) -> None:
        with self._lock:
            if generation == self._generation and not connection.closed:
                self._idle.append(connection)
                return
        connection.close()

    def _discard(self, connection: Any) -> None:
        connection.close()
        self.close()
