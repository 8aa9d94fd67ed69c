"""The sample service as a process, against a real PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab.service import APPLICATION, SCHEMA
from lab.service.model_file import build_model
from tests.unit.lab.node_support import (
    Postgres,
    free_port,
    listens,
    postgres_programs,
    request,
    running,
    wait_until,
)

HOST = "127.79.1.1"


@dataclass
class Service:
    url: str
    port: int
    process: Any
    postgres: Postgres

    def call(self, method: str, path: str, document: Any = None) -> tuple[int, dict[str, Any]]:
        return request(method, self.url + path, document)

    def ready(self) -> bool:
        return self.call("GET", "/ready")[0] == 200


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server on this machine")
    with tempfile.TemporaryDirectory(prefix="service-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = Postgres(programs, directory, HOST)
        server.start()
        server.sql(SCHEMA.read_text())
        yield server
        server.stop()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A SeaweedFS that knows one key."""
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if weed is None:
        pytest.skip("no weed on this machine")
    directory = tmp_path_factory.mktemp("store")
    keys = {"AWS_ACCESS_KEY_ID": "drill", "AWS_SECRET_ACCESS_KEY": "drill-secret"}
    credentials = [{"accessKey": "drill", "secretKey": "drill-secret"}]
    identities = {"identities": [{"name": "drill", "credentials": credentials, "actions": ["Admin"]}]}
    (directory / "s3.json").write_text(json.dumps(identities))
    host, ports = "127.79.1.2", ["master", "volume", "filer", "s3"]
    chosen = {name: free_port(host) for name in ports}
    command = [weed, "server", f"-ip={host}", f"-ip.bind={host}", f"-dir={directory}", "-filer", "-s3"]
    command += [f"-s3.config={directory / 's3.json'}", f"-s3.port={chosen['s3']}", f"-filer.port={chosen['filer']}"]
    command += [f"-master.port={chosen['master']}", f"-volume.port={chosen['volume']}", "-volume.max=5"]
    for name in ports:
        command.append(f"-{name}.port.grpc={free_port(host)}")
    with running(command, directory / "log", stop=signal.SIGKILL):
        endpoint = f"http://{host}:{chosen['s3']}"
        wait_until(lambda: listens(host, chosen["s3"]), "SeaweedFS to listen")
        yield endpoint, keys


def environment(postgres: Postgres, port: int, model: Path) -> dict[str, str]:
    return {
        **postgres.environment,
        "BIND_ADDRESS": HOST,
        "PORT": str(port),
        "SERVICE_NAME": "counterfactual-lab",
        "REGION": "us-east-1",
        "MODEL_FILE": str(model),
    }


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.json"
    path.write_bytes(build_model("7"))
    return path


@pytest.fixture
def service(postgres: Postgres, model: Path, tmp_path: Path) -> Iterator[Service]:
    port = free_port(HOST)
    command = [sys.executable, "-m", "sample_service"]
    with running(command, tmp_path / "log", environment(postgres, port, model), APPLICATION) as process:
        found = Service(f"http://{HOST}:{port}", port, process, postgres)
        wait_until(lambda: listens(HOST, port), "the service to listen")
        wait_until(found.ready, "the service to be ready")
        yield found


def a_write(seq: int = 1, payload: str = "é'\"\\") -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "seq": seq, "payload": payload}


def test_write_is_acknowledged_once_it_can_be_read(service: Service) -> None:
    write = a_write()
    status, body = service.call("POST", "/writes", write)
    assert (status, body["id"], body["region"]) == (201, write["id"], "us-east-1")
    assert body["committed_at"].endswith("+00:00")
    status, row = service.call("GET", f"/writes/{write['id']}")
    assert (status, row["seq"], row["payload"]) == (200, 1, write["payload"])


def test_repeated_write_is_acknowledged_again_but_another_content_is_refused(service: Service) -> None:
    write = a_write()
    first, second = (service.call("POST", "/writes", write)[0] for _ in range(2))
    assert (first, second) == (201, 201)
    assert service.call("POST", "/writes", {**write, "payload": "other"})[0] == 409


def test_query_names_the_present_ones_only(service: Service) -> None:
    write = a_write()
    service.call("POST", "/writes", write)
    ids = [write["id"], str(uuid.uuid4())]
    assert service.call("POST", "/writes/query", {"ids": ids}) == (200, {"present": [write["id"]]})
    assert service.call("POST", "/writes/query", {"ids": []}) == (200, {"present": []})


@pytest.mark.parametrize(
    ("method", "path", "document", "status"),
    [
        ("POST", "/writes", {"id": "x", "seq": 1, "payload": ""}, 400),
        ("POST", "/writes", {"id": str(uuid.uuid4()), "seq": "1", "payload": ""}, 400),
        ("POST", "/writes", {"id": str(uuid.uuid4()), "seq": 2**63, "payload": ""}, 400),
        ("POST", "/writes", {"id": str(uuid.uuid4()), "seq": 1, "payload": "\0"}, 400),
        ("POST", "/writes", [], 400),
        ("POST", "/writes/query", {"ids": ["x"]}, 400),
        ("GET", "/writes/x", None, 400),
        ("GET", "/writes/00000000-0000-4000-8000-000000000000", None, 404),
        ("GET", "/nothing", None, 404),
        ("POST", "/infer", {"input": [1]}, 400),
        ("POST", "/infer", {"input": "1"}, 400),
        ("POST", "/writes", {"id": str(uuid.uuid4()), "seq": 1, "payload": "x" * (1 << 20)}, 413),
    ],
)
def test_bad_requests(service: Service, method: str, path: str, document: Any, status: int) -> None:
    try:
        answer = service.call(method, path, document)
    except (ConnectionError, OSError):
        assert status == 413  # the service may close before it has read what it refuses
        return
    assert answer[0] == status
    assert answer[1]["error"]


def test_inference_gives_the_golden_answer(service: Service, model: Path) -> None:
    golden = json.loads(model.read_bytes())["golden"]
    status, body = service.call("POST", "/infer", {"input": golden["input"]})
    assert status == 200
    assert list(body["probabilities"].values()) == pytest.approx(golden["expected"])
    assert sum(body["probabilities"].values()) == pytest.approx(1)
    assert body["label"] == max(body["probabilities"], key=body["probabilities"].get)
    assert service.call("GET", "/model/health")[0] == 200


def test_altered_weight_is_loaded_but_found_by_the_golden_inference(
    postgres: Postgres, model: Path, tmp_path: Path
) -> None:
    document = json.loads(model.read_bytes())
    document["weights"][0][0] += 0.01
    model.write_text(json.dumps(document))
    port = free_port(HOST)
    env = environment(postgres, port, model)
    with running([sys.executable, "-m", "sample_service"], tmp_path / "log", env, APPLICATION):
        wait_until(lambda: listens(HOST, port), "the service to listen")
        wait_until(lambda: request("GET", f"http://{HOST}:{port}/ready")[0] == 200, "ready")
        status, body = request("GET", f"http://{HOST}:{port}/model/health")
        assert (status, body["reason"]) == (503, "golden")


def test_unreadable_model_keeps_it_alive_but_not_ready_until_the_file_is_right(
    postgres: Postgres, model: Path, tmp_path: Path
) -> None:
    good = model.read_bytes()
    model.write_bytes(good[: len(good) // 2])
    port = free_port(HOST)
    env = environment(postgres, port, model)
    with running([sys.executable, "-m", "sample_service"], tmp_path / "log", env, APPLICATION):
        wait_until(lambda: listens(HOST, port), "the service to listen")
        url = f"http://{HOST}:{port}"
        wait_until(lambda: "Failed to read the model" in request("GET", f"{url}/ready")[1].get("error", ""), "reason")
        assert request("GET", f"{url}/health")[0] == 200
        assert request("GET", f"{url}/ready")[1]["reason"] == "model"
        model.write_bytes(good)
        wait_until(lambda: request("GET", f"{url}/ready")[0] == 200, "ready after the repair")


def test_survives_a_restart_of_the_database(service: Service) -> None:
    assert service.call("POST", "/writes", a_write())[0] == 201
    service.postgres.stop()
    status, body = service.call("POST", "/writes", a_write())
    assert (status, body["reason"]) == (503, "unreachable")
    assert service.call("GET", "/ready")[0] == 503
    assert service.call("GET", "/health")[0] == 200
    service.postgres.start()
    assert service.call("POST", "/writes", a_write())[0] == 201, "the first call after the restart connects anew"


def test_killed_session_is_replaced_within_the_same_call(service: Service) -> None:
    assert service.call("POST", "/writes", a_write())[0] == 201
    service.postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'counterfactual%'"
    )
    assert service.call("POST", "/writes", a_write())[0] == 201


def test_read_only_database_serves_reads_and_refuses_writes(service: Service) -> None:
    write = a_write()
    service.call("POST", "/writes", write)
    server = service.postgres
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        wait_until(lambda: service.call("GET", "/ready")[1].get("database") == "read-only", "read-only")
        status, body = service.call("POST", "/writes", a_write())
        assert (status, body["reason"]) == (503, "read_only")
        assert service.call("GET", f"/writes/{write['id']}")[0] == 200
    finally:
        server.sql("SET default_transaction_read_only = off", "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
    wait_until(lambda: service.call("POST", "/writes", a_write())[0] == 201, "writes after the fence is lifted")


def test_write_without_its_synchronous_standby_is_not_acknowledged(service: Service) -> None:
    server = service.postgres
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
    try:
        write = a_write()
        wait_until(lambda: service.call("POST", "/writes", write)[0] == 503, "a write that is not replicated")
        assert service.call("POST", "/writes", write)[0] == 503, "a repeat proves no more than the first one"
    finally:
        server.sql("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
    wait_until(lambda: service.call("POST", "/writes", write)[0] == 201, "the standby is no longer asked for")


def test_cancelled_wait_for_the_standby_is_no_acknowledgement(service: Service) -> None:
    """PostgreSQL reports success with a warning when somebody cancels the wait for a synchronous standby."""
    server = service.postgres
    answers: list[tuple[int, dict[str, Any]]] = []
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
    try:
        wait_until(lambda: service.call("POST", "/writes", a_write())[0] == 503, "synchronous commit")
        writer = threading.Thread(target=lambda: answers.append(service.call("POST", "/writes", a_write())))
        writer.start()
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        while writer.is_alive():
            server.sql(cancel)
        writer.join()
    finally:
        server.sql("ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")
    status, body = answers[0]
    assert (status, body["reason"]) == (503, "not_replicated")


def test_model_comes_from_s3_with_a_signature_that_the_store_checks(
    postgres: Postgres, model: Path, tmp_path: Path, store: tuple[str, dict[str, str]]
) -> None:
    endpoint, keys = store
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket="models")
    port = free_port(HOST)
    env = environment(postgres, port, model)
    del env["MODEL_FILE"]
    env |= {"MODEL_S3_ENDPOINT": endpoint, "MODEL_S3_BUCKET": "models", "MODEL_S3_KEY": "a b/model.json", **keys}
    url = f"http://{HOST}:{port}"
    with running([sys.executable, "-m", "sample_service"], tmp_path / "log", env, APPLICATION):
        wait_until(lambda: listens(HOST, port), "the service to listen")
        wait_until(lambda: "HTTP 404" in request("GET", f"{url}/ready")[1].get("error", ""), "a missing model")
        client.put_object(Bucket="models", Key="a b/model.json", Body=model.read_bytes())
        wait_until(lambda: request("GET", f"{url}/ready")[0] == 200, "ready once the model is there")
    wrong = {**env, "AWS_SECRET_ACCESS_KEY": "wrong"}
    with running([sys.executable, "-m", "sample_service"], tmp_path / "log", wrong, APPLICATION):
        wait_until(lambda: listens(HOST, port), "the service to listen")
        wait_until(lambda: "HTTP 403" in request("GET", f"{url}/ready")[1].get("error", ""), "a refused key")


def test_frozen_database_gives_an_answer_and_is_used_again_when_it_thaws(service: Service) -> None:
    assert service.call("POST", "/writes", a_write())[0] == 201
    pids = [service.postgres.pid(), *_children(service.postgres.pid())]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        status, body = service.call("POST", "/writes", a_write())
        assert (status, body["reason"]) == (503, "timeout")
        assert service.call("GET", "/health")[0] == 200
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: service.call("POST", "/writes", a_write())[0] == 201, "writes after the thaw")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_stop_finishes_what_it_began(service: Service) -> None:
    statuses: list[int] = []
    service.postgres.sql("ALTER TABLE writes ADD COLUMN slow text DEFAULT 'x'", "ALTER TABLE writes DROP COLUMN slow")

    def write_until_refused() -> None:
        try:
            while True:
                statuses.append(service.call("POST", "/writes", a_write())[0])
        except OSError:
            return

    writers = [threading.Thread(target=write_until_refused) for _ in range(3)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(statuses) > 3, "writes under way")
    service.process.terminate()
    assert service.process.wait(10) == 0
    for writer in writers:
        writer.join()
    assert set(statuses) == {201}


def test_keeps_one_connection_for_many_requests(service: Service) -> None:
    with socket.create_connection((HOST, service.port), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("missing", ["SERVICE_NAME", "REGION", "PGHOST", "BIND_ADDRESS"])
def test_missing_variable_is_named(postgres: Postgres, model: Path, tmp_path: Path, missing: str) -> None:
    env = {**environment(postgres, free_port(HOST), model), missing: ""}
    with running([sys.executable, "-m", "sample_service"], tmp_path / "log", env, APPLICATION) as process:
        assert process.wait(10) == 2
    assert (missing if missing != "BIND_ADDRESS" else "POD_IP") in (tmp_path / "log").read_text()
