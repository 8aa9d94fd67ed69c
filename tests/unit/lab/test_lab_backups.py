"""A lab with backups: what it refuses, and what it prepares. That it works, drills and test_lab_whole show."""

from __future__ import annotations

import shutil
import ssl
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature

from lab import backups, certificates, shutdown, tls
from lab.border_routes import border_config
from lab.catalogue import REGIONS, other
from lab.components import Component, argv_of
from lab.errors import LabError
from lab.keys import Keys
from lab.layout import Lab
from lab.startup import create
from lab.state import describe

needs_pgbackrest = pytest.mark.skipif(
    shutil.which("pgbackrest") is None, reason="pgbackrest is not installed here: apt-get install pgbackrest"
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with backups and nothing running."""
    made = create(tmp_path / "lab", {}, {}, with_backups=True)
    yield made
    shutdown.stop_lab(made)


@pytest.mark.parametrize(("text", "wanted"), [("", False), ("0", False), ("1", True)])
def test_the_environment_says_whether(text: str, wanted: bool) -> None:
    assert backups.wanted({"DR_LAB_BACKUPS": text}) is wanted


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(LabError, match="Set it to 0 or 1"):
        backups.wanted({"DR_LAB_BACKUPS": "yes"})


def test_without_pgbackrest_it_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Lab
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="apt-get install pgbackrest"):
        backups.require_programs(plain)


@needs_pgbackrest
def test_a_postgresql_that_is_too_new_is_refused(tmp_path: Path, plain: Lab) -> None:
    newer = tmp_path / "postgres"
    newer.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n")
    newer.chmod(0o755)
    with pytest.raises(LabError, match=r"knows PostgreSQL up to \d+, and .* has 99.1"):
        backups.require_programs(replace(plain, postgres_bin=tmp_path))


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Lab]:
    """A lab without backups."""
    made = create(tmp_path / "plain", {}, {})
    yield made
    shutdown.stop_lab(made)


def test_a_lab_without_has_none_of_it(plain: Lab) -> None:
    told = describe(plain, "sha256:0")
    assert not told["backups"] and told["regions"][REGIONS[0]]["backup"] is None
    assert not any("https" in word for word in argv_of(plain, Component("store", REGIONS[0])))
    assert not any("TLS" in route["name"] for route in border_config(plain, REGIONS[0])["routes"])
    assert not plain.certificates.exists() and not plain.backup_directory(REGIONS[0]).exists()


@needs_pgbackrest
class TestPrepared:
    def test_the_lab_remembers(self, lab: Lab) -> None:
        assert Lab.load(lab.directory) == lab and lab.backups

    @pytest.mark.parametrize("region", REGIONS)
    def test_secrets_are_for_postgresqls_user_alone(self, lab: Lab, region: str) -> None:
        directory = lab.backup_directory(region)
        assert sorted(path.name for path in directory.iterdir()) == ["ca.pem", "cipher-pass", "credentials", "pgpass"]
        for path in (directory, *directory.iterdir()):
            assert path.stat().st_mode & 0o077 == 0, path
            assert path.owner() == (lab.account or path.owner())
        assert "[backup]" in (directory / "credentials").read_text()
        assert "orchestrator" not in (directory / "credentials").read_text()

    def test_no_secret_is_in_the_state_or_in_a_command(self, lab: Lab) -> None:
        keys = Keys.load(lab)
        told = str(describe(lab, "sha256:0")) + str([argv_of(lab, Component("store", region)) for region in REGIONS])
        told += backups.settings(lab, REGIONS[0])
        assert len(keys.cipher_pass) > 20
        secrets = [keys.cipher_pass, keys.database["dr_backup"], keys.aws["backup"].secret]
        assert not [one for one in secrets if one in told]

    def test_each_region_has_both_repositories_its_own_first(self, lab: Lab) -> None:
        for region in REGIONS:
            told = describe(lab, "sha256:0")["regions"][region]["backup"]["pgbackrest"]
            assert [one["name"] for one in told["repositories"]] == [region, other(region)]
            own, far = (one["endpoint_url"] for one in told["repositories"])
            assert lab.inner("store", region) in own and lab.outbound("store", region) in far

    def test_the_other_store_is_reached_through_the_borders(self, lab: Lab) -> None:
        for region in REGIONS:
            port = lab.stores(other(region))["s3.https"]
            routes = border_config(lab, region)["routes"]
            assert [
                one
                for one in routes
                if one["opens"] == "out" and one["listen"] == (lab.outbound("store", region), port)
            ]

    def test_the_certificates_hold_for_every_way_to_a_store(self, lab: Lab) -> None:
        for region in REGIONS:
            context = ssl.create_default_context(cafile=str(lab.certificates / certificates.AUTHORITY))
            assert context.get_ca_certs()
            text = decoded(certificates.certificate(lab.certificates, region))
            for address in (
                lab.inner("store", region),
                lab.address("store", region),
                lab.outbound("store", other(region)),
            ):
                assert address in text
            assert stat.S_IMODE(certificates.key(lab.certificates, region).stat().st_mode) == 0o600


def decoded(path: Path) -> list[str]:
    """The addresses that a certificate is for."""
    from cryptography import x509

    found = x509.load_pem_x509_certificate(path.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one) for one in names.get_values_for_type(x509.IPAddress)]


def test_an_authority_vouches_for_its_own_alone(tmp_path: Path) -> None:
    from cryptography import x509

    loaded = []
    for name in ("one", "two"):
        authority = tls.issue(tmp_path / name, {"server": ["127.0.0.1"]})
        loaded.append(x509.load_pem_x509_certificate(authority.read_bytes()))
    mine = x509.load_pem_x509_certificate(certificates.certificate(tmp_path / "one", "server").read_bytes())
    mine.verify_directly_issued_by(loaded[0])
    with pytest.raises(InvalidSignature):
        mine.verify_directly_issued_by(loaded[1])
