"""A primary with its standby in another region, the guard's own sampler, and the lease that both regions share."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils.clock import utc_now
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_config import GuardConfig
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_sampler import Sampler
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease import Lease, LeaseView

from tests.unit.plugins.guard_support import ALLOWANCE, TTL, Witness, know_passwords, prepare_database
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, eventually

HOME, AWAY = "us-east-1", "us-west-2"


@dataclass
class Regions:
    """HOME's primary, AWAY's standby and a lease of their own for every test."""

    primary: PostgresServer
    standby: PostgresServer
    witness: Witness
    lease: Lease = field(init=False)
    epoch: int | None = None
    written: list[tuple[int, dt.datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lease = self.witness.lease()

    def servers(self, **more: Any) -> list[dict[str, Any]]:
        """The option `servers`."""
        pairs = ((HOME, self.primary), (AWAY, self.standby))
        return [{"region": region, "postgres": self.options(server), **more} for region, server in pairs]

    def options(self, server: PostgresServer, **more: Any) -> dict[str, Any]:
        return server.options("dr_operator", passfile=str(self.primary.passfile), **more)

    def bound(self, **lease: Any) -> dict[str, Any]:
        """Arguments that ask for the loss bound of AWAY."""
        return {"servers": self.servers()[1:], "lease": {**self.witness.option(), **lease}, "target": AWAY}

    def claim(self, holder: str, **data: Any) -> LeaseView:
        view = self.lease.claim(self.lease.read(), holder, TTL, allowance=ALLOWANCE, claimed_by="test", data=data)
        assert view.record is not None
        self.epoch = view.record.epoch
        return view

    def renew(self, **changes: Any) -> LeaseView:
        return self.lease.renew(self.lease.read(), **changes)

    def write(self, count: int = 20) -> None:
        """Commit rows one by one, as an application; remember when each was acknowledged, by the machine's clock."""
        with contextlib.closing(self.primary.connect("app")) as connection, connection.cursor() as cursor:
            for _ in range(count):
                cursor.execute("INSERT INTO writes (at) VALUES (clock_timestamp()) RETURNING id")
                self.written.append((cursor.fetchone()[0], utc_now()))

    def lost(self) -> list[dt.datetime]:
        """When each acknowledged row was acknowledged that the standby does not show."""
        shown = {row[0] for row in self.standby.sql("SELECT id FROM writes")}
        return [moment for number, moment in self.written if number not in shown]

    @contextlib.contextmanager
    def heartbeats(self, region: str = HOME) -> Iterator[Sampler]:
        """Let the guard's sampler write heartbeats under the present epoch."""
        serving = [self.epoch]
        sampler = Sampler(_config(self.primary, region, self.witness), lambda: serving[0])
        sampler.lease = self.lease
        sampler.start()
        try:
            yield sampler
        finally:
            serving[0] = None
            eventually(lambda: sampler._connection is None, "the end of the sampler's session")

    def replays(self) -> None:
        """Wait until the standby has replayed what the primary has written."""
        lsn = self.primary.sql("SELECT pg_current_wal_lsn()")[0][0]
        eventually(lambda: self.standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")[0][0], "the replay")

    @contextlib.contextmanager
    def replay_paused(self) -> Iterator[None]:
        self.standby.sql("SELECT pg_wal_replay_pause()")
        paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        eventually(lambda: self.standby.sql(paused)[0][0], "the pause")
        try:
            yield
        finally:
            self.standby.sql("SELECT pg_wal_replay_resume()")


def make_pair(factory: PostgresFactory) -> tuple[PostgresServer, PostgresServer]:
    """A primary with the shipped schema, and its standby."""
    primary = factory()
    prepare_database(primary)
    standby = factory.standby_of(primary)
    know_passwords(standby)
    return primary, standby


@contextlib.contextmanager
def regions(pair: tuple[PostgresServer, PostgresServer], s3_server: S3Server, stores: int = 1) -> Iterator[Regions]:
    """The pair without heartbeats, under a new lease that HOME holds."""
    witness = Witness(s3_server, stores)
    both = Regions(*pair, witness)
    both.primary.sql("TRUNCATE dr.heartbeat, dr.probe, writes")
    both.claim(HOME)
    both.replays()
    try:
        yield both
    finally:
        witness.close()


def _config(server: PostgresServer, region: str, witness: Witness) -> GuardConfig:
    config = GuardConfig(
        region=region,
        lease=witness.option(),
        renew_seconds=0.5,
        fence_margin_seconds=1.0,
        postgres=server.options("dr_guard"),
        data_directory=server.data,
        hba_file=server.data / "pg_hba.conf",
        start_argv=tuple(server.start_argv),
        state_directory=Path(server.directory) / "guard",
    )
    return replace(config)
