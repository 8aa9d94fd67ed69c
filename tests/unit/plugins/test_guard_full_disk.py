"""The guard on a disk that takes no more bytes: it guards on, and fences all the same."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.guard_state import (
    StateDirectory,
    write_atomically,
)
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.lease_record import receipt_key

from tests.unit.plugins.guard_support import Guard, Witness, prepare_database
from tests.unit.plugins.test_guard import writes
from tests.unit.servers import PostgresFactory, PostgresServer, S3Server, eventually


@pytest.fixture
def server(postgres_factory: PostgresFactory) -> Iterator[PostgresServer]:
    """A primary of one's own, to be fenced."""
    made = postgres_factory()
    prepare_database(made)
    yield made
    made.stop()


@pytest.fixture
def witness(s3_server: S3Server) -> Iterator[Witness]:
    """One witness store of one's own."""
    made = Witness(s3_server)
    yield made
    made.close()


@pytest.fixture
def guard(server: PostgresServer, witness: Witness) -> Iterator[Guard]:
    """A guard of a primary that serves."""
    made = Guard(server, "east", witness.option(), bootstrap=True)
    made.start().becomes("serving")
    yield made
    made.end()


def limit(guard: Guard, size: int) -> None:
    """How large a file the guard's two processes may write: their soft limit, which can be raised again."""
    assert guard.process is not None
    children = Path(f"/proc/{guard.process.pid}/task/{guard.process.pid}/children").read_text().split()
    for pid in (guard.process.pid, *map(int, children)):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def switches(pid: int) -> int:
    """How often the process's main thread has waited for something; fails when there is no such process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("voluntary_ctxt_switches")).split()[1])


def test_it_goes_on_serving_and_fences_when_it_must(guard: Guard, server: PostgresServer, witness: Witness) -> None:
    assert guard.process is not None
    watchdog = guard.process.pid
    limit(guard, 0)
    before = witness.read().record
    assert before is not None
    eventually(lambda: (now := witness.read().record) and now.sequence > before.sequence + 3, "renewals")
    assert writes(server)

    witness.claim("west")
    eventually(lambda: server.pid() is None, "the fence")
    went = switches(watchdog)
    eventually(lambda: switches(watchdog) > went + 20, "the guard to go on, without a word in its log")
    assert not writes(server)

    limit(guard, resource.RLIM_INFINITY)
    guard.fenced()  # the file is closed, too, as soon as there is room
    key = receipt_key(witness.key, "east", 2)
    store = witness.lease().stores[0]
    eventually(lambda: key in set(store.keys()), "the receipt, once the fence outlives a start")
    assert not writes(server)
    guard.becomes("fenced")


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: what is longer is written in part, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_fits_only_in_part_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_bytes(b"the rules that stand")
    with room_for(10), pytest.raises(OSError, match="too large"):
        write_atomically(path, b"rules that are longer than ten bytes", os.stat(path))
    assert path.read_bytes() == b"the rules that stand"
    assert os.listdir(tmp_path) == ["rules"]


def test_what_it_remembers_is_never_half_written(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.remember(highest_epoch=7)
    with room_for(10), pytest.raises(OSError, match="too large"):
        state.remember(highest_epoch=8)
    assert state.memory().highest_epoch == 7
