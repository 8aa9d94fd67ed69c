"""PostgreSQL's clients in the model: what the collection's code gets in the place of a connection."""

from __future__ import annotations

import datetime as dt
import types
from typing import TYPE_CHECKING, Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import Unreachable
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.postgres_state import _STATE
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.promotion_order import _ORDER
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.sql import SqlFailed, WriteRefused

from tests.chaos.model.network import NoAnswer, Reply

if TYPE_CHECKING:
    from tests.chaos.model.database import Database
    from tests.chaos.model.world import World


class ModelPostgres:
    """sql.Postgres: the same methods and errors, over the model's network."""

    def __init__(self, world: World, options: dict[str, Any], region: str) -> None:
        self.world = world
        self.options = options
        self.host = str(options["host"])
        self.name = f"PostgreSQL of {region}"

    def __enter__(self) -> ModelPostgres:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is kept open."""

    def rows(self, query: str, values: Any = (), timeout: float | None = None) -> list[tuple[Any, ...]]:
        """Run one of the statements that the model knows. Raises as sql.Postgres does."""
        if query.startswith("SET "):
            return []
        if query == _STATE:
            return [self._ask(lambda server: server.state(), timeout)]
        if "FROM dr.heartbeat" in query:
            return self._ask(lambda server: list(server.beats.values()), timeout)
        if query == "SELECT clock_timestamp()":
            return [(self._ask(lambda server: self.world.wall_clock_of(server.region.host), timeout),)]
        if query == _ORDER:
            by = self.world.here()
            return [(self._request(lambda *given: self._promote(*given, values[0], by), timeout or 5.0),)]
        if query == "CHECKPOINT":
            return []
        raise NotImplementedError(query)

    def row(self, query: str, values: Any = (), timeout: float | None = None) -> tuple[Any, ...]:
        """The only row."""
        return self.rows(query, values, timeout)[0]

    def probe_write(self, region: str) -> str:
        """Commit a row."""
        self._ask(lambda server: server.write("probe"), None)
        return "token"

    def _promote(self, server: Database, reply: Reply, until: dt.datetime, by: str) -> None:
        server._need_login()
        if self.world.wall_clock_of(server.region.host) < until:
            server.promote(reply, by)
        else:
            self.world.count("order came too late")
            reply(None)

    def _ask(self, work: Any, timeout: float | None) -> Any:
        return self._request(lambda server, reply: reply(work(server)), timeout or 3.0)

    def _request(self, work: Any, timeout: float) -> Any:
        server = self.world.regions[self.host].database

        def serve(reply: Reply) -> None:
            def answer() -> None:
                try:
                    work(server, reply)
                except (WriteRefused, SqlFailed) as error:
                    reply(error)

            server.when_awake(answer)

        try:
            return self.world.network.request(self.host, serve, timeout)
        except NoAnswer:
            raise Unreachable(f"Failed to ask {self.name}: no answer within {timeout:g} s.") from None


class SamplerDriver(types.SimpleNamespace):
    """psycopg2 for the guard's sampler: a local connection to the server beside it."""

    class Error(Exception):
        """psycopg2.Error."""

    def __init__(self, world: World) -> None:
        super().__init__(world=world)

    def connect(self, **given: Any) -> _Connection:
        """Log in. Raises Error."""
        connection = _Connection(self.world, self.world.regions[given["host"]].database)
        connection.ask(lambda server: server._need_login())
        return connection


class _Connection:
    autocommit = False

    def __init__(self, world: World, server: Database) -> None:
        self.world = world
        self.server = server
        self.process = server.process
        self._answer: Any = None

    def ask(self, work: Any) -> Any:
        """Wait for the server, for as long as it is frozen. Raises Error when it ends."""
        self.world.engine.sleep(self.world.rng.uniform(0.0005, 0.004))
        while self._alive() and not self.server.awake:
            self.server.gone.wait(0.2)
        if not self._alive():
            raise SamplerDriver.Error("server closed the connection unexpectedly")
        try:
            return work(self.server)
        except WriteRefused as error:
            raise SamplerDriver.Error(str(error)) from error

    def _alive(self) -> bool:
        process = self.server.process
        return process is not None and process is self.process and process.alive

    def cursor(self) -> _Connection:
        """A cursor is as good as its connection here."""
        return self

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def execute(self, _statement: str, values: dict[str, Any]) -> None:
        """Write the heartbeat."""
        self._answer = self.ask(lambda server: server.heartbeat(values))
        self.world.engine.sleep(self.world.rng.uniform(0.0001, 0.002))

    def fetchone(self) -> tuple[str]:
        """The position."""
        return (self._answer,)

    def close(self) -> None:
        """Hang up."""
