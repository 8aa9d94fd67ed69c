"""One address at the region's edge: open, closed as what is behind it, or a black hole."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import socket

from .config import Address, Route
from .connection import Connection
from .lane import Lane

log = logging.getLogger(__name__)
BACKLOG = 256
#: one that fills the backlog of 0, and one to take its place
FILLERS = 2


class State(enum.Enum):
    """What meets a new connection."""

    OPEN = "open"
    #: refused, because nobody listens at the other end
    CLOSED = "closed"
    #: no answer at all
    BLACK_HOLE = "black hole"


class Listener:
    """Answers at the route's address for what is at its other end.

    A black hole is a listener whose backlog is full: the kernel then drops a client's SYN, as a network would.
    """

    def __init__(self, route: Route, lanes: dict[str, Lane], source: str) -> None:
        self.route = route
        self._lanes = lanes
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._state = State.CLOSED
        self._socket: socket.socket | None = None
        self._fillers: dict[Address, socket.socket] = {}
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def update(self, listening: set[Address]) -> None:
        """Bring the state about that follows from the rules and from who listens now. OSError: the port is taken."""
        if any(lane.rule.drop for lane in self._lanes.values()):
            self._become(State.BLACK_HOLE)
        else:
            self._become(State.OPEN if self.route.forward in listening else State.CLOSED)

    def _become(self, state: State) -> None:
        if state is self._state:
            return
        log.info("%s at %s:%d is %s", self.route.name, *self.route.listen, state.value)
        self._state = state
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
        if state is State.CLOSED:
            self._close()
            return
        if self._socket is None:
            self._socket = _bound(self.route.listen)
        if state is State.OPEN:
            self._socket.listen(BACKLOG)
            self._loop.add_reader(self._socket, self._accept)
            self._accept()
            self._empty()
        else:
            self._socket.listen(0)
            self._fill()

    def _fill(self) -> None:
        for _ in range(FILLERS):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.route.listen)
            self._fillers[filler.getsockname()] = filler

    def _empty(self) -> None:
        for filler in self._fillers.values():
            filler.close()

    def _close(self) -> None:
        self._empty()
        self._fillers.clear()
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _accept(self) -> None:
        while self._socket is not None:
            try:
                accepted, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("Failed to accept at %s:%d: %s", *self.route.listen, error)
                return
            if self._fillers.pop(address, None) is not None:
                accepted.close()
                continue
            accepted.setblocking(False)
            task = self._loop.create_task(self._carry(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, accepted: socket.socket) -> None:
        connection = Connection(self.route, self._lanes, self._connections.discard)
        self._connections.add(connection)
        if not await connection.run(accepted, self._source) and self._state is State.OPEN:
            self._become(State.CLOSED)


def _bound(address: Address) -> socket.socket:
    one = socket.socket()
    with contextlib.ExitStack() as undo:
        undo.callback(one.close)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setblocking(False)
        one.bind(address)
        undo.pop_all()
    return one
