"""The role certificate_renewal with a local authority and a TLS server, by ansible-playbook itself."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import typing as t
from pathlib import Path

import pytest

from tests.unit.plugins.certificate_support import Authority, pem, pem_key
from tests.unit.plugins.role_play import ROOT, include


class TlsServer(threading.Thread):
    """Serves what `current` points to when it was last reloaded; a file `reload` reloads it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self.directory, self.reload = directory, directory.parent / "reload"
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.context: ssl.SSLContext | None = None

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _address = self.socket.accept()
                if self.context is None or self.reload.exists():
                    self.reload.unlink(missing_ok=True)
                    self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                    pair = (self.directory / "current" / name for name in ("tls.crt", "tls.key"))
                    self.context.load_cert_chain(*pair)
                with contextlib.suppress(OSError), self.context.wrap_socket(peer, server_side=True) as talk:
                    talk.recv(1)


class Renewal:
    """One certificate, its authority and its server."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "ssl"
        self.home, self.play = directory, directory / "play.json"
        self.authority = Authority(directory)
        files = {
            "ca.pem": pem(self.authority.intermediate.certificate),
            "ca.key": pem_key(self.authority.intermediate.key),
        }
        for name, data in files.items():
            (directory / f"authority-{name}").write_bytes(data)
        self.variables: dict[str, t.Any] = {
            "certificate_renewal_directory": str(self.directory),
            "certificate_renewal_hosts": ["api.lab.test", "127.0.0.1"],
            "certificate_renewal_ca_file": str(self.authority.ca_file),
            "certificate_renewal_authority": {
                "certificate": str(directory / "authority-ca.pem"),
                "key": str(directory / "authority-ca.key"),
            },
            "certificate_renewal_wait_seconds": 2,
        }

    def sign_with(self, authority: Authority) -> None:
        """Let it be the issuer."""
        (self.home / "authority-ca.pem").write_bytes(pem(authority.intermediate.certificate))
        (self.home / "authority-ca.key").write_bytes(pem_key(authority.intermediate.key))

    def place(self, days: float) -> str:
        """Put a certificate there that has so many days left; where the link leads then."""
        where = self.directory / "generations/20260101T000000.000000000Z"
        where.mkdir(parents=True)
        leaf = self.authority.leaf("api.lab.test", "127.0.0.1", days=(-60, days))
        (where / "tls.crt").write_bytes(self.authority.chain(leaf))
        (where / "tls.key").write_bytes(pem_key(leaf.key))
        (self.directory / "current").symlink_to(f"generations/{where.name}")
        return self.current()

    def run(self, *arguments: str, **variables: t.Any) -> tuple[int, str]:
        """Exit status and what was said."""
        given = {**self.variables, **variables, "ansible_python_interpreter": sys.executable}
        play = {"hosts": "localhost", "gather_facts": False, "vars": given, "tasks": [include("certificate_renewal")]}
        self.play.write_text(json.dumps([play]))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "localhost,", "-c", "local"]
        done = subprocess.run(
            [*command, *arguments, str(self.play)],
            capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0"},
        )  # fmt: skip
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    def current(self) -> str:
        """Where the link leads."""
        return os.readlink(self.directory / "current")

    def generations(self) -> list[str]:
        """All of them, oldest first."""
        return sorted(os.listdir(self.directory / "generations"))


@pytest.fixture
def renewal(tmp_path: Path) -> Renewal:
    return Renewal(tmp_path)


def test_issued_and_left_alone(renewal: Renewal) -> None:
    status, said = renewal.run("--check")
    assert (status, renewal.directory.exists()) == (0, False), said
    assert "Would renew" in said
    status, said = renewal.run("-vvv", "--diff")
    assert status == 0, said
    key = renewal.directory / "current/tls.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().splitlines()[1] not in said
    first = renewal.current()
    status, said = renewal.run()
    assert (status, renewal.current()) == (0, first), said
    assert "changed=0" in said


def test_renewed_and_pruned_and_taken_back_where_it_is_not_served(renewal: Renewal) -> None:
    first = renewal.place(29)
    server = TlsServer(renewal.directory)
    server.start()
    served = {"host": "127.0.0.1", "port": server.port, "server_name": "api.lab.test"}
    try:
        with socket.create_connection(("127.0.0.1", server.port)) as plain, contextlib.suppress(OSError):
            ssl._create_unverified_context().wrap_socket(plain)  # it holds the first certificate from now on
        status, said = renewal.run(certificate_renewal_served=served)
        assert status != 0
        assert "the new one is not served. The old one is in use again" in said
        assert renewal.current() == first
        more = {"certificate_renewal_reload": ["touch", str(server.reload)], "certificate_renewal_keep": 2}
        status, said = renewal.run(certificate_renewal_served=served, **more)
        assert status == 0, said
        assert len(renewal.generations()) == 2
        assert renewal.current() == f"generations/{renewal.generations()[-1]}" != first
    finally:
        server.socket.close()


def test_a_new_one_that_is_not_sound_is_never_used(renewal: Renewal, tmp_path: Path) -> None:
    first = renewal.place(29)
    renewal.sign_with(Authority(tmp_path))  # of the same names, with other keys, and its root is in no CA file
    (tmp_path / "ca.pem").write_bytes(pem(renewal.authority.root.certificate))
    status, said = renewal.run()
    assert status != 0
    assert "does not verify" in said
    assert renewal.current() == first


def test_one_that_cannot_be_read_is_not_replaced(renewal: Renewal) -> None:
    first = renewal.place(90)
    (renewal.directory / "current/tls.key").write_text("garbled")
    status, said = renewal.run()
    assert status != 0
    assert "no PEM private key" in said
    assert renewal.current() == first
