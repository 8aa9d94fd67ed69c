"""One probe of an endpoint, as a Route 53 health checker makes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

CONNECT_SECONDS = {"HTTP": 4.0, "TCP": 10.0}
RESPONSE_SECONDS = 2.0
SEARCHED_BYTES = 5120


@dataclass(frozen=True)
class Probed:
    """What one probe saw; ``text`` reads like Route 53's status reports."""

    healthy: bool
    text: str


@dataclass(frozen=True)
class Timeouts:
    """Seconds for the connection and then for the response (the body has as long again)."""

    connect: float
    response: float

    @classmethod
    def scaled(cls, kind: str, scale: float, floor: float = 1.0) -> Timeouts:
        """Route 53's own timeouts times the lab's scale, but no shorter than ``floor`` seconds."""
        connect = CONNECT_SECONDS["TCP" if kind == "TCP" else "HTTP"]
        return cls(max(floor, connect * scale), max(floor, RESPONSE_SECONDS * scale))


async def probe(config: dict[str, Any], address: str, timeouts: Timeouts) -> Probed:
    """Probe one address as a health check's configuration says. Never raises for what the endpoint does."""
    try:
        if config["Type"] == "TCP":
            return await _tcp(config, address, timeouts)
        return await _http(config, address, timeouts)
    except TimeoutError:
        return Probed(False, "Failure: The connection or the response timed out.")
    except (OSError, aiohttp.ClientError) as error:
        return Probed(False, f"Failure: {error or type(error).__name__}")


async def _tcp(config: dict[str, Any], address: str, timeouts: Timeouts) -> Probed:
    connecting = asyncio.open_connection(address, config["Port"])
    _, writer = await asyncio.wait_for(connecting, timeouts.connect)
    writer.close()
    return Probed(True, f"Success: TCP connection established. Resolved IP: {address}")


async def _http(config: dict[str, Any], address: str, timeouts: Timeouts) -> Probed:
    scheme = "https" if config["Type"].startswith("HTTPS") else "http"
    host = f"[{address}]" if ":" in address else address
    url = f"{scheme}://{host}:{config['Port']}{_path(config)}"
    server_name = config.get("FullyQualifiedDomainName")
    limits = aiohttp.ClientTimeout(
        total=timeouts.connect + 2 * timeouts.response, sock_connect=timeouts.connect, sock_read=timeouts.response
    )
    connector = aiohttp.TCPConnector(force_close=True, ssl=False)
    async with aiohttp.ClientSession(connector=connector, timeout=limits, auto_decompress=False) as session:
        headers = {"User-Agent": "Amazon-Route53-Health-Check-Service"} | ({"Host": server_name} if server_name else {})
        sni = server_name if scheme == "https" and config.get("EnableSNI", True) else None
        async with session.get(url, headers=headers, allow_redirects=False, server_hostname=sni) as response:
            return await _judge(config, address, response)


async def _judge(config: dict[str, Any], address: str, response: aiohttp.ClientResponse) -> Probed:
    seen = f"HTTP Status Code {response.status}, {response.reason}. Resolved IP: {address}"
    if not 200 <= response.status < 400:
        return Probed(False, f"Failure: {seen}")
    wanted = config.get("SearchString")
    if wanted and wanted.encode() not in await _beginning(response):
        return Probed(
            False, f"Failure: The response body has no '{wanted}' in its first {SEARCHED_BYTES} bytes. {seen}"
        )
    return Probed(True, f"Success: {seen}")


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    data = b""
    while len(data) < SEARCHED_BYTES and (chunk := await response.content.read(SEARCHED_BYTES - len(data))):
        data += chunk
    return data


def _path(config: dict[str, Any]) -> str:
    path = config.get("ResourcePath") or "/"
    return path if path.startswith("/") else f"/{path}"
