"""One connection through the border: two flows of bytes, each in its lane."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum

from .config import Route
from .lane import Lane

#: what a flow keeps before it takes no more; as with TCP, the sender's own buffers come on top
WINDOW_BYTES = 262144
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Mark(Enum):
    """What may follow the last byte."""

    END = "end"
    RESET = "reset"


class Flow:
    """The bytes from one side to the other, in order, each leaving when its lane lets it.

    Under a rule that drops, everything stays where it is, the end and the reset of the connection too: that is what a
    black hole looks like from both sides. Afterwards all goes on, as TCP's retransmissions would make it.
    """

    def __init__(self, lane: Lane, finished: Callable[[], None]) -> None:
        self.source: asyncio.Transport | None = None
        self.target: asyncio.Transport | None = None
        self.ended = False
        self._lane = lane
        self._finished = finished
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes | Mark]] = deque()
        self._kept = 0
        self._last = 0.0
        self._held = False
        self._complete = False
        self._timer: asyncio.TimerHandle | None = None
        lane.watch(self.run)

    def feed(self, item: bytes | Mark) -> None:
        """Take in what the source sent."""
        size = len(item) if isinstance(item, bytes) else 0
        self._complete = self._complete or isinstance(item, Mark)
        self._last = self._lane.leaves(self._loop.time(), size, self._last)
        self._queue.append((self._last, item))
        self._kept += size
        self.run()

    def hold(self, held: bool) -> None:
        """The target takes no more for now, or takes more again."""
        self._held = held
        self.run()

    def run(self) -> None:
        """Let go what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue and self.target is not None and not (self.ended or self._lane.rule.drop or self._held):
            due, item = self._queue[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self.run)
                break
            self._queue.popleft()
            self._deliver(item)
        self._throttle()

    def close(self) -> None:
        """Deliver nothing more."""
        self.ended = True
        self._lane.forget(self.run)
        if self._timer is not None:
            self._timer.cancel()

    def _deliver(self, item: bytes | Mark) -> None:
        assert self.target is not None
        if isinstance(item, bytes):
            self._kept -= len(item)
            if not self.target.is_closing():
                self.target.write(item)
            return
        self.ended = True
        if item is Mark.RESET:
            reset(self.target)
        elif not self.target.is_closing():
            try:
                self.target.write_eof()
            except OSError:  # it hung up before, which nobody noticed because nobody read from it any more
                reset(self.target)
        self._finished()

    def _throttle(self) -> None:
        """Read from the source only what the window has room for."""
        if self.source is None or self._complete or self.source.is_closing():
            return
        with contextlib.suppress(RuntimeError):  # it ended meanwhile
            if self._kept > WINDOW_BYTES or self._held:
                self.source.pause_reading()
            else:
                self.source.resume_reading()


class Side(asyncio.Protocol):
    """One end of a connection: what it says goes into one flow, what it is told comes from the other."""

    def __init__(self, says: Flow, hears: Flow) -> None:
        self._says = says
        self._hears = hears

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._says.source = self._hears.target = transport
        self._hears.run()

    def data_received(self, data: bytes) -> None:
        self._says.feed(data)

    def eof_received(self) -> bool:
        self._says.feed(Mark.END)
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._says.feed(Mark.RESET)

    def pause_writing(self) -> None:
        self._hears.hold(True)

    def resume_writing(self) -> None:
        self._hears.hold(False)


class Connection:
    """A connection that was accepted, and its continuation to where the route leads."""

    def __init__(self, route: Route, lanes: dict[str, Lane], ended: Callable[[Connection], None]) -> None:
        self._route = route
        self._lanes = lanes
        self._ended = ended
        self._there = Flow(lanes[route.opens], self._check)
        self._back = Flow(lanes[route.answers], self._check)

    async def run(self, accepted: socket.socket, source: str) -> bool:
        """Carry it on; False where nobody listens at the other end."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: Side(self._there, self._back), accepted)
            # The accepted side believes to be connected already; the time of its handshake is added here.
            if travel := sum(lane.connect_seconds() for lane in self._lanes.values()):
                await asyncio.sleep(travel)
            host, port = self._route.forward
            local = (source, 0) if self._route.opens == "out" else None
            await loop.create_connection(lambda: Side(self._back, self._there), host, port, local_addr=local)
        except OSError:
            self._back.feed(Mark.RESET)
            return False
        return True

    def _check(self) -> None:
        """Both directions ended, or either by a reset: hang up."""
        transports = [one for one in (self._there.source, self._there.target) if one is not None]
        if all(flow.ended for flow in (self._there, self._back)) or any(one.is_closing() for one in transports):
            for flow in (self._there, self._back):
                flow.close()
            for transport in transports:
                transport.close()
            self._ended(self)


def reset(transport: asyncio.Transport) -> None:
    """Close with a reset, so that the peer knows that what it sent may be lost."""
    handle = transport.get_extra_info("socket")
    if handle is not None:
        with contextlib.suppress(OSError):
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    transport.abort()
