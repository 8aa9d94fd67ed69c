# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kinds of checks: each asks once and returns the address that answered well, or raises.

PRIVATE to the collection.
"""

from __future__ import annotations

import json
import typing as t
import uuid

from .clock import Deadline
from .probes_http import Reply, Request, exchange
from .probes_model import CannotTell, Check, CheckFailed, VantagePoint, endpoint
from .probes_network import addresses_of, connect, peer_of, query
from .probes_postgresql import single_value

#: What a write_read check writes unless `body` says otherwise.
_DEFAULT_WRITE = {"id": "$id", "seq": 0, "payload": "deep check"}
_SHOWN = 120


def http(check: Check, point: VantagePoint, deadline: Deadline) -> str | None:
    """Send one request; the status must be expected, and the body contain what is expected of it."""
    asked = check.options
    reply = exchange(_request(check, asked["url"], asked.get("method") or "GET", asked.get("body")), point, deadline)
    _expect_status(reply, asked.get("expect_status") or [200], "")
    wanted = asked.get("expect_contains")
    if wanted and wanted not in reply.body:
        raise CheckFailed(f"{reply.address}: the body does not contain {wanted!r}: {_shown(reply)}", reply.address)
    return reply.address


def write_read(check: Check, point: VantagePoint, deadline: Deadline) -> str | None:
    """Write a fresh identifier, then read it back: a committed write is readable."""
    asked, identifier = check.options, str(uuid.uuid4())
    body = _DEFAULT_WRITE if asked.get("body") is None else asked["body"]
    text = (body if isinstance(body, str) else json.dumps(body)).replace("$id", identifier)
    url = asked["url"].replace("$id", identifier)
    written = exchange(_request(check, url, asked.get("method") or "POST", text, json_body=True), point, deadline)
    _expect_status(written, asked.get("expect_status") or [201], "write: ")
    read = exchange(_request(check, asked["read_url"].replace("$id", identifier), "GET"), point, deadline)
    _expect_status(read, [200], f"read of the acknowledged write {identifier}: ")
    if identifier not in read.body:
        raise CheckFailed(f"{read.address}: the acknowledged write {identifier} reads as {_shown(read)}", read.address)
    return read.address


def tcp(check: Check, point: VantagePoint, deadline: Deadline) -> str | None:
    """Open a connection and close it."""
    host, port = check.options["host"], check.options["port"]
    if check.options.get("address"):
        host, port = endpoint(check.options["address"], port, "address")
    with connect(point, addresses_of(host, point, deadline), port, deadline) as connection:
        return peer_of(connection)


def dns(check: Check, point: VantagePoint, deadline: Deadline) -> str | None:
    """Ask for a record set; it must exist and hold what is expected. Returns what it holds and the TTL left."""
    asked = check.options["dns"]
    answer = query(asked["name"], asked["type"], point, deadline)
    if not answer:
        raise CheckFailed(f"{asked['name']} has no {asked['type']} record")
    values = sorted({_plain(record.to_text(), asked["type"]) for record in answer})
    shown = f"{', '.join(values)} (TTL {answer.ttl} s)"
    wanted = {_plain(value, asked["type"]) for value in asked.get("values") or values}
    agreed = set(values) <= wanted if asked["match"] == "subset" else set(values) == wanted
    if not agreed:
        expected = ", ".join(sorted(wanted))
        raise CheckFailed(f"{asked['name']} {asked['type']} is {shown}, expected {expected}", shown)
    return shown


def postgresql(check: Check, point: VantagePoint, deadline: Deadline) -> str | None:
    """Run one query; its single value must be the expected one, where one is expected."""
    value, where = single_value(check.options["postgres"], check.options["query"], point, deadline)
    expected = check.options.get("expect")
    if expected is not None and value != expected:
        found = "NULL" if value is None else repr(value[:_SHOWN])
        raise CheckFailed(f"{where}: the query answers {found}, expected {expected!r}", where)
    return where


#: kind -> how it asks once; returns the address (or records) that answered.
KINDS: dict[str, t.Callable[[Check, VantagePoint, Deadline], str | None]] = {
    "http": http,
    "tcp": tcp,
    "dns": dns,
    "postgresql": postgresql,
    "write_read": write_read,
}


def _request(check: Check, url: str, method: str, body: t.Any = None, json_body: bool = False) -> Request:
    asked = check.options
    headers = {str(name): str(value) for name, value in (asked.get("headers") or {}).items()}
    for name, path in (asked.get("header_files") or {}).items():
        headers[str(name)] = _content(str(path))
    data = None
    if body is not None:
        json_body = json_body or not isinstance(body, str)
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        if json_body and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = "application/json"
    return Request(url, method, headers, data, asked.get("address"), asked.get("ca_path"))


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeError) as error:
        raise CannotTell(f"cannot read the header in {path}: {error}") from None


def _expect_status(reply: Reply, expected: t.Sequence[int], of: str) -> None:
    if reply.status not in expected:
        wanted = " or ".join(str(status) for status in expected)
        reason = f"{reply.address}: {of}status {reply.status}, expected {wanted}: {_shown(reply)}"
        raise CheckFailed(reason, reply.address)


def _shown(reply: Reply) -> str:
    text = " ".join(reply.body.split())
    return text[:_SHOWN] + "..." if len(text) > _SHOWN else text or "(empty body)"


def _plain(value: str, kind: str) -> str:
    """Compare names without case and final dot, texts without quotes."""
    if kind == "TXT":
        return value.strip('"')
    return value.lower().rstrip(".")
