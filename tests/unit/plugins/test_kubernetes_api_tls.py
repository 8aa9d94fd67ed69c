"""A kubeconfig that embeds its certificates: they are used, and no file of them is left behind."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.kubernetes_api import KubernetesApi

from tests.unit.plugins.probe_servers import Api, certificate_for, serving


def kubeconfig(path: Path, port: int, authority: bytes, client: bytes | None = None) -> dict[str, str]:
    user = {"token": "t"}
    if client:
        data = base64.b64encode(client).decode()
        user = {"client-certificate-data": data, "client-key-data": data}
    cluster = {
        "server": f"https://localhost:{port}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return {"kubeconfig": str(path)}


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.mark.parametrize("with_client_certificate", [False, True])
def test_embedded_certificates_are_used_and_not_left_in_files(
    tmp_path: Path, nothing_left: Path, with_client_certificate: bool
) -> None:
    pem = certificate_for("localhost", tmp_path)
    client = pem.read_bytes() if with_client_certificate else None
    with serving(Api(), pem) as server:
        options = kubeconfig(tmp_path / "config", server.server_address[1], pem.read_bytes(), client)
        for _time in range(2):  # the client remembers files that it made
            assert KubernetesApi(options).get("/healthz") == {"status": "ok"}
            assert list(nothing_left.iterdir()) == []


def test_a_server_of_another_authority_is_refused(tmp_path: Path, nothing_left: Path) -> None:
    pem = certificate_for("localhost", tmp_path)
    (tmp_path / "other").mkdir()
    other = certificate_for("localhost", tmp_path / "other")
    with serving(Api(), pem) as server:
        options = kubeconfig(tmp_path / "config", server.server_address[1], other.read_bytes())
        with pytest.raises(RecoveryError, match="certificate"):
            KubernetesApi(options).get("/healthz")


def test_an_authority_that_is_none_is_named(tmp_path: Path, nothing_left: Path) -> None:
    with pytest.raises(RecoveryError, match="certificates for https://localhost:9"):
        KubernetesApi(kubeconfig(tmp_path / "config", 9, b"no certificate"))
    assert list(nothing_left.iterdir()) == []
