"""What is computed from the clients' and the observer's record, over records written to real files."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from lab.client.http import ServiceConnection
from lab.client.names import Names, OneAddress, Unresolved
from lab.measurement import KnownLosses, MeasurementError, longest_outage, measure_service, writes

BEGIN = dt.datetime(2026, 11, 23, 10, 0, tzinfo=dt.UTC)


def at(seconds: float) -> str:
    return (BEGIN + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def client_record(path: Path, pattern: str, step: float = 1.0, name: str = "w") -> Path:
    """One write a step: `+` acknowledged, `-` failed; the ids are w0, w1, ..."""
    with path.open("w", encoding="utf-8") as out:
        for number, sign in enumerate(pattern):
            line = {"t": at(number * step), "op": "write", "id": f"{name}{number}", "ok": sign == "+", "seconds": 0.1}
            out.write(json.dumps(line) + "\n")
            out.write(json.dumps({**line, "op": "read"}) + "\n")
        out.write('{"t": "half a li')
    return path


@pytest.mark.parametrize(
    ("pattern", "seconds"),
    [("+++++", 0.0), ("++---+", 3.1), ("+-+---+", 3.1), ("--+++", 2.1), ("+-++", 1.1)],
)
def test_the_outage_runs_from_the_first_failure_to_the_end_of_the_first_success(
    tmp_path: Path, pattern: str, seconds: float
) -> None:
    outage = longest_outage(writes(client_record(tmp_path / "c.jsonl", pattern), BEGIN))
    assert outage.seconds == pytest.approx(seconds)


def test_an_outage_that_lasts_has_no_end(tmp_path: Path) -> None:
    outage = longest_outage(writes(client_record(tmp_path / "c.jsonl", "+++--"), BEGIN))
    assert (outage.started, outage.ended) == (BEGIN + dt.timedelta(seconds=3), None)


@pytest.fixture
def service() -> Iterator[tuple[str, set[str]]]:
    """A service that says which of the writes it still has."""
    kept: set[str] = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["ids"]
            body = json.dumps({"present": [one for one in asked if one in kept]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://api.test:{server.server_port}", kept
    server.shutdown()


def test_lost_writes_are_the_acknowledged_ones_that_cannot_be_read(
    tmp_path: Path, service: tuple[str, set[str]]
) -> None:
    url, kept = service
    kept |= {"w0", "w1", "w7", "w8"}
    record = client_record(tmp_path / "c.jsonl", "++++---++")
    connection = ServiceConnection(url, OneAddress("127.0.0.1"))
    found = measure_service({"name": "api", "tier": 1}, record, BEGIN, connection, 1)
    assert (found["acknowledged_writes"], found["lost_acknowledged_writes"]) == (6, 2)
    assert [lost["id"] for lost in found["lost"]] == ["w2", "w3"]
    assert found["rpo_seconds"] == pytest.approx(1.9)  # w2 was acknowledged at 2.1, the outage began at 4
    assert found["outage"]["seconds"] == pytest.approx(3.1)


def test_writes_of_clients_inside_count_as_lost_but_their_failures_are_no_outage(
    tmp_path: Path, service: tuple[str, set[str]]
) -> None:
    url, kept = service
    kept |= {"w0", "w1", "w7", "w8", "east0", "east1"}
    world = client_record(tmp_path / "world.jsonl", "++-----++")
    inside = {
        "east": client_record(tmp_path / "east.jsonl", "+++++----", name="east"),
        "west": client_record(tmp_path / "west.jsonl", "---------", name="west"),
    }
    found = measure_service(
        {"name": "api", "tier": 1}, world, BEGIN, ServiceConnection(url, OneAddress("127.0.0.1")), 1, inside
    )
    assert found["vantages"] == {
        "world": {"acknowledged_writes": 4, "lost_acknowledged_writes": 0},
        "east": {"acknowledged_writes": 5, "lost_acknowledged_writes": 3},
        "west": {"acknowledged_writes": 0, "lost_acknowledged_writes": 0},
    }
    assert (found["acknowledged_writes"], found["lost_acknowledged_writes"]) == (9, 3)
    assert found["lost"][0] == {"id": "east2", "acknowledged_at": at(2.1), "vantage": "east"}
    assert found["outage"]["seconds"] == pytest.approx(5.1)
    assert found["rpo_seconds"] == pytest.approx(2.0)  # what east wrote from 2.1 to 4.1, while the world saw an outage


def test_what_an_earlier_incident_cost_is_not_counted_again(tmp_path: Path, service: tuple[str, set[str]]) -> None:
    """The failover lost w2 and w3 and took an outage; the failback after it lost w9 and took a shorter one."""
    url, kept = service
    kept |= {"w0", "w1", "w7", "w8", "w11"}
    record = client_record(tmp_path / "c.jsonl", "++++---+++-+")
    connection = ServiceConnection(url, OneAddress("127.0.0.1"))
    failover, failback = BEGIN + dt.timedelta(seconds=5), BEGIN + dt.timedelta(seconds=8)
    remembered = KnownLosses(tmp_path / "known.json", failover)
    first = measure_service({"name": "api"}, record, BEGIN, connection, 1, None, failover, remembered.before("api"))
    remembered.save({"api": ["w2", "w3"]})
    again = KnownLosses(tmp_path / "known.json", failover)
    assert again.before("api") == [], "the same incident, measured again, says the same"
    later = KnownLosses(tmp_path / "known.json", failback)
    second = measure_service({"name": "api"}, record, BEGIN, connection, 1, None, failback, later.before("api"))
    assert first["outage"]["seconds"] == pytest.approx(3.1) and {"w2", "w3"} < set(first["lost_ids"])
    assert second["lost_ids"] == ["w9"] and second["outage"]["seconds"] == pytest.approx(1.1)


@pytest.mark.parametrize(("pattern", "reason"), [("++--", "its last write failed"), ("", "no write of it")])
def test_a_measurement_waits_for_success_and_says_when_there_is_none(
    tmp_path: Path, service: tuple[str, set[str]], pattern: str, reason: str
) -> None:
    connection = ServiceConnection(service[0], OneAddress("127.0.0.1"))
    record = client_record(tmp_path / "c.jsonl", pattern)
    with pytest.raises(MeasurementError, match=reason):
        measure_service({"name": "api"}, record, BEGIN, connection, 0)


def test_names_are_kept_for_their_ttl_and_no_longer() -> None:
    answers = iter([("127.0.0.8", 1), ("127.0.0.9", 60)])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        for address, ttl in answers:
            wire, peer = server.recvfrom(4096)
            answer = dns.message.make_response(dns.message.from_wire(wire))
            answer.answer.append(dns.rrset.from_text("api.test.", ttl, "IN", "A", address))
            server.sendto(answer.to_wire(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    names = Names("127.0.0.1", server.getsockname()[1])
    assert names.resolve("api.test") == "127.0.0.8"
    assert names.resolve("api.test") == "127.0.0.8"
    thread.join(1.2)
    assert names.resolve("api.test") == "127.0.0.9"
    server.close()


def test_a_silent_resolver_is_no_address() -> None:
    with pytest.raises(Unresolved, match=r"api\.test"):
        Names("127.0.0.1", 9, 0.1).resolve("api.test")
