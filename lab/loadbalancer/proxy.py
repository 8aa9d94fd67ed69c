"""Carries bytes between a client and the first backend that accepts, or says that there is none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

from lab.loadbalancer.backends import Backends
from lab.loadbalancer.config import ListenerConfig

log = logging.getLogger(__name__)
CONNECT_SECONDS = 0.5
REQUEST_SECONDS = 1.0
CHUNK_BYTES = 65536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Listener:
    """One listening address and the connections it has taken."""

    def __init__(self, config: ListenerConfig, backends: Backends) -> None:
        self._config = config
        self._backends = backends
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; OSError when the address cannot be had."""
        self._server = await asyncio.start_server(self._accept, self._config.host, self._config.port, backlog=256)

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve((reader, writer))
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def _serve(self, downstream: Streams) -> None:
        upstream = await self._connect()
        if upstream is None:
            await _refuse(downstream, self._config)
            return
        try:
            await asyncio.gather(_pump(downstream[0], upstream[1]), _pump(upstream[0], downstream[1]))
            downstream[1].close()
            upstream[1].close()
        except (OSError, asyncio.CancelledError):
            upstream[1].transport.abort()
            raise

    async def _connect(self) -> Streams | None:
        """A connection to the next backend that accepts one."""
        for address in self._backends.in_turn():
            try:
                return await asyncio.wait_for(
                    asyncio.open_connection(address, self._config.target_port), CONNECT_SECONDS
                )
            except (OSError, TimeoutError):
                continue
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _refuse(downstream: Streams, config: ListenerConfig) -> None:
    """Answer 503 in HTTP once the request has come: an answer to an unread request would be lost in a reset."""
    reader, writer = downstream
    with contextlib.suppress(TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), REQUEST_SECONDS)
    message = f"no ready pod for {config.selector} in {config.namespace}"
    body = json.dumps({"reason": "no_backend", "error": message}).encode()
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\nRetry-After: 1\r\n\r\n" + body)
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_discard(reader), REQUEST_SECONDS)
    writer.close()


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(CHUNK_BYTES):
        pass
