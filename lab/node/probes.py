"""Probes and hooks: what is done once, and what many of them say together."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]
MAX_ANSWER_BYTES = 10 * 1024


@dataclass(frozen=True)
class Target:
    """The container that is asked: its address, its named ports, and how to run a command in it."""

    address: str
    ports: Mapping[str, int]
    execute: Callable[[list[str]], Awaitable[int]]


class ActionFailed(Exception):
    """The container did not do, or answer, what it should have."""


async def perform(action: Document, target: Target, seconds: float) -> None:
    """One httpGet, tcpSocket, exec or sleep, as a probe or a hook; ActionFailed says what went wrong."""
    try:
        async with asyncio.timeout(seconds):
            if "httpGet" in action:
                await _http_get(action["httpGet"], target)
            elif "tcpSocket" in action:
                await _tcp_socket(action["tcpSocket"], target)
            elif "exec" in action:
                await _exec(action["exec"], target)
            elif "sleep" in action:
                await asyncio.sleep(action["sleep"]["seconds"])
            else:
                raise ActionFailed("this node offers httpGet, tcpSocket and exec only")
    except TimeoutError:
        raise ActionFailed(f"no answer within {seconds:g} s") from None
    except OSError as error:
        raise ActionFailed(str(error)) from error


async def _http_get(action: Document, target: Target) -> None:
    host, port = action.get("host") or target.address, _port(action["port"], target)
    headers = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/lab", "Accept": "*/*", "Connection": "close"}
    headers |= {entry["name"]: entry["value"] for entry in action.get("httpHeaders") or []}
    lines = [f"GET {action.get('path') or '/'} HTTP/1.1", *(f"{key}: {value}" for key, value in headers.items())]
    context = _unverified() if action.get("scheme") == "HTTPS" else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while len(answer) < MAX_ANSWER_BYTES and (data := await reader.read(MAX_ANSWER_BYTES)):
            answer += data
    finally:
        writer.close()
    status = _status(answer)
    if not 200 <= status < 400:
        raise ActionFailed(f"HTTP probe failed with statuscode: {status}")


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _status(answer: bytes) -> int:
    words = answer.partition(b"\r\n")[0].split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        raise ActionFailed("the answer is not HTTP")
    return int(words[1])


async def _tcp_socket(action: Document, target: Target) -> None:
    host = action.get("host") or target.address
    _, writer = await asyncio.open_connection(host, _port(action["port"], target))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _exec(action: Document, target: Target) -> None:
    code = await target.execute(list(action["command"]))
    if code != 0:
        raise ActionFailed(f"the command ended with status {code}")


def _port(port: int | str, target: Target) -> int:
    if isinstance(port, int) or port.isdigit():
        return int(port)
    if port not in target.ports:
        raise ActionFailed(f"the container names no port {port!r}")
    return target.ports[port]


async def watch(
    probe: Document, target: Target, initially: bool | None, changed: Callable[[bool, str], Awaitable[None]]
) -> None:
    """Probe for ever, and tell each time the thresholds turn the verdict; the verdict before any is ``initially``."""
    verdict, last, streak = initially, None, 0
    period = float(probe.get("periodSeconds") or 10)
    loop = asyncio.get_running_loop()
    await asyncio.sleep(probe.get("initialDelaySeconds") or 0)
    due = loop.time()
    while True:
        problem = await _once(probe, target)
        passed = not problem
        streak = streak + 1 if passed == last else 1
        last = passed
        threshold = int((probe.get("successThreshold") or 1) if passed else (probe.get("failureThreshold") or 3))
        if streak >= threshold and passed != verdict:
            verdict = passed
            await changed(passed, problem)
        due = max(due + period, loop.time())
        await asyncio.sleep(due - loop.time())


async def _once(probe: Document, target: Target) -> str:
    """What is wrong, or nothing."""
    try:
        await perform(probe, target, float(probe.get("timeoutSeconds") or 1))
    except ActionFailed as failure:
        return str(failure)
    return ""
