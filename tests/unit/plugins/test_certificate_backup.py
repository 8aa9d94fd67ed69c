"""certificate_backup with files, a Kubernetes API and moto's ACM, as a module and as an action."""

from __future__ import annotations

import base64
import json
import subprocess
import typing as t
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.unit.lab.kubernetes_server import running
from tests.unit.plugins.both_ways import BothWays
from tests.unit.plugins.certificate_support import Authority, issue, pem, pem_key, small_rsa
from tests.unit.plugins.secrets_support import (
    NAMESPACE,
    Region,
    aws_of,
    client_of,
    leaks,
    moto_server,
    new_key,
    secret,
)

KEYS = {
    "changed", "directory", "outcome", "problems", "unverified", "days_left", "certificates", "items", "recipients",
    "added", "updated", "removed", "diff", "evidence",
}  # fmt: skip
PATH = f"kubernetes/{NAMESPACE}/web"


@pytest.fixture(params=["main", "action"])
def both(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> BothWays:
    return BothWays(request.param, capsys)


@pytest.fixture(scope="module")
def regions(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[Region, Region]]:
    one, other = tmp_path_factory.mktemp("east"), tmp_path_factory.mktemp("west")
    with running(one) as east, running(other) as west:
        yield Region(east, one), Region(west, other)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Case:
    """One call's usual options."""

    def __init__(self, both: BothWays, authority: Authority) -> None:
        self.both, self.authority = both, authority
        self.directory, self.key = authority.directory / "backup", authority.directory / "age.identity"
        self.recipient = new_key(self.key)

    def do(self, state: str, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
        given: dict[str, t.Any] = {"state": state, "ca_file": str(self.authority.ca_file)}
        if state != "observed":
            given["directory"] = str(self.directory)
        if state == "present":
            given["recipients"] = [self.recipient]
        if state in ("proven", "restored"):
            given["identity_file"] = str(self.key)
        result = self.both("certificate_backup", {**given, **options}, check)
        if not result.get("failed"):
            assert set(result) >= KEYS, result
        return result


@pytest.fixture
def case(both: BothWays, authority: Authority) -> Case:
    return Case(both, authority)


def test_healthy_certificates_of_many_kinds(case: Case) -> None:
    keys = {
        "ec": ec.generate_private_key(ec.SECP384R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
    }
    files = [case.authority.write(name, case.authority.leaf(key=key)) for name, key in keys.items()]
    files.append(case.authority.write("names", case.authority.leaf("*.lab.test", "127.0.0.1")))
    files[-1]["hosts"] = ["api.lab.test", "127.0.0.1"]
    split = case.authority.leaf()
    chain = case.authority.directory / "chain.pem"
    chain.write_bytes(pem(case.authority.intermediate.certificate))
    files.append({**case.authority.write("split", split, chain=pem(split.certificate)), "chain": str(chain)})
    direct = issue("direct", case.authority.root, sans=("direct.lab.test",))
    files.append(case.authority.write("direct", direct, chain=pem(direct.certificate)))
    result = case.do("observed", files=files)
    assert (result["outcome"], result["problems"], result["changed"]) == ("passed", [], False)
    assert [one["key_kind"] for one in result["certificates"]][:2] == ["EC secp384r1", "RSA 2048"]
    assert 88 < result["days_left"] <= 90


def ends_in(days: float) -> t.Callable[[Case], dict[str, t.Any]]:
    return lambda case: case.authority.write("api", case.authority.leaf(days=(-60, days)))


def future(case: Case) -> dict[str, t.Any]:
    return case.authority.write("api", case.authority.leaf(days=(2, 90)))


def other_key(case: Case) -> dict[str, t.Any]:
    return case.authority.write("api", case.authority.leaf(), key=case.authority.leaf().key)


def no_intermediate(case: Case) -> dict[str, t.Any]:
    leaf = case.authority.leaf()
    return case.authority.write("api", leaf, chain=pem(leaf.certificate))


def forged_intermediate(case: Case) -> dict[str, t.Any]:
    """An intermediate of the right name, which the root did not sign."""
    other = Authority(case.authority.directory)
    case.authority.ca_file.write_bytes(pem(case.authority.root.certificate))
    return other.write("api", other.leaf())


def self_signed(case: Case) -> dict[str, t.Any]:
    leaf = issue("api", sans=("api.lab.test",))
    return case.authority.write("api", leaf, chain=pem(leaf.certificate))


def old_intermediate(case: Case) -> dict[str, t.Any]:
    case.authority.intermediate = issue("Old intermediate", case.authority.root, ca=True, days=(-60, -1))
    return case.authority.write("api", case.authority.leaf())


def weak(case: Case) -> dict[str, t.Any]:
    return case.authority.write("api", case.authority.leaf(key=small_rsa()))


def sha1(case: Case) -> dict[str, t.Any]:
    """By openssl, for cryptography signs nothing of that kind any more."""
    pair = case.authority.write("api", case.authority.leaf())
    made = ["openssl", "req", "-x509", "-new", "-sha1", "-key", pair["key"], "-out", pair["certificate"]]
    made += ["-subj", "/CN=api", "-addext", "subjectAltName=DNS:api.lab.test", "-days", "90"]
    subprocess.run(made, check=True, capture_output=True)
    return pair


def no_names(case: Case) -> dict[str, t.Any]:
    return case.authority.write("api", issue("api", case.authority.intermediate))


def other_host(case: Case) -> dict[str, t.Any]:
    return {**case.authority.write("api", case.authority.leaf("*.lab.test")), "hosts": ["a.b.lab.test"]}


def gone(case: Case) -> dict[str, t.Any]:
    pair = case.authority.write("api", case.authority.leaf())
    Path(pair["certificate"]).unlink()
    return pair


def locked(case: Case) -> dict[str, t.Any]:
    leaf = case.authority.leaf()
    pair = case.authority.write("api", leaf)
    encryption = serialization.BestAvailableEncryption(b"x")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    Path(pair["key"]).write_bytes(leaf.key.private_bytes(*form, encryption))
    return pair


def garbled(case: Case) -> dict[str, t.Any]:
    pair = case.authority.write("api", case.authority.leaf())
    Path(pair["certificate"]).write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    return pair


# how it is broken, outcome, what is said
DEFECTS = [
    ("expired", ends_in(-1), "failed", "expired: it ended on"),
    ("expiring", ends_in(29), "failed", "expiring: 29.0 days are left, not 30"),
    ("not-yet-valid", future, "failed", "not yet valid"),
    ("key-mismatch", other_key, "failed", "key mismatch"),
    ("missing-intermediate", no_intermediate, "failed", "missing intermediate: CN=Lab intermediate"),
    ("forged-intermediate", forged_intermediate, "failed", "chain: it does not verify"),
    ("self-signed", self_signed, "failed", "missing intermediate: CN=api"),
    ("expired-intermediate", old_intermediate, "failed", "intermediate CN=Old intermediate: expired"),
    ("weak-key", weak, "failed", "weak key: RSA 1024"),
    ("weak-signature", sha1, "failed", "weak signature: sha1"),
    ("no-names", no_names, "failed", "name: it has no subjectAltName"),
    ("other-host", other_host, "failed", "name: it does not cover a.b.lab.test"),
    ("missing-file", gone, "failed", "missing: there is no such file"),
    ("locked-key", locked, "unverified", "encrypted with a passphrase"),
    ("garbled", garbled, "unverified", "no PEM certificate"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "outcome", "told"), [pytest.param(*one[1:], id=one[0]) for one in DEFECTS])
def test_planted_defects(case: Case, plant: t.Callable[[Case], dict[str, t.Any]], outcome: str, told: str) -> None:
    healthy = case.authority.write("healthy", case.authority.leaf())
    pair = plant(case)
    result = case.do("observed", files=[pair, healthy])
    assert result["outcome"] == outcome
    reasons = result["problems"] + result["unverified"]
    assert any(one.startswith("files/api: ") and told in one for one in reasons), reasons
    assert not any(one.startswith("files/healthy") for one in reasons)


def test_a_short_time_left_is_judged_by_the_objective(case: Case) -> None:
    pair = ends_in(29)(case)
    assert case.do("observed", files=[pair], minimum_days=14)["outcome"] == "passed"
    assert case.do("observed", files=[self_signed(case)], verify_chain=False)["outcome"] == "passed"


def test_files_taken_proven_restored(case: Case) -> None:
    leaf = case.authority.leaf()
    pair = case.authority.write("api", leaf)
    assert case.do("present", files=[pair], check=True)["added"] == ["files/api"]
    assert not case.directory.exists()
    taken = case.do("present", files=[pair])
    assert (taken["added"], taken["problems"]) == (["files/api"], [])
    assert taken["items"][0]["sans"] == ["api.lab.test"]
    assert not case.do("present", files=[pair])["changed"]
    proven = case.do("proven")
    assert (proven["outcome"], proven["problems"], proven["unverified"]) == ("passed", [], [])
    assert proven["certificates"][0]["days_left"] == taken["certificates"][0]["days_left"]
    destination = case.authority.directory / "restored"
    for check in (True, False):
        restored = case.do("restored", check=check, destination=str(destination))
        assert (restored["changed"], restored["added"]) == (True, ["files/api"])
    assert (destination / "api.key").read_bytes() == pem_key(leaf.key)
    assert (destination / "api.crt").read_bytes() == case.authority.chain(leaf)
    assert (destination / "api.key").stat().st_mode & 0o777 == 0o600
    assert not case.do("restored", destination=str(destination))["changed"]
    told = json.dumps([taken, proven, restored])
    secret_line = pem_key(leaf.key).decode().splitlines()[1]
    assert leaks(secret_line, case.directory, told) == []
    renewed = case.authority.write("api", case.authority.leaf())
    assert case.do("present", files=[renewed])["updated"] == ["files/api"]


def test_a_backed_up_certificate_expires_and_is_restored_all_the_same(case: Case) -> None:
    pair = ends_in(-1)(case)
    taken = case.do("present", files=[pair])
    assert (taken["outcome"], taken["added"]) == ("failed", ["files/api"])
    proven = case.do("proven")
    assert proven["outcome"] == "failed"
    assert proven["problems"][0].startswith("files/api: expired")
    assert case.do("restored", destination=str(case.authority.directory / "back"))["changed"]


def test_a_pair_whose_key_is_not_its_own_is_not_restored(case: Case) -> None:
    case.do("present", files=[other_key(case)])
    proven = case.do("proven")
    assert proven["problems"] == ["files/api: key mismatch: the private key is not the certificate's"]
    refused = case.do("restored", destination=str(case.authority.directory / "back"))
    assert refused["failed"]
    assert not (case.authority.directory / "back").exists()


def swap(case: Case) -> None:
    one, other = (case.directory / f"files/{name}.age" for name in ("api", "web"))
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)


def flip(case: Case) -> None:
    path = case.directory / "files/api.age"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("plant", "outcome", "told"),
    [
        pytest.param(swap, "failed", "files/api: swapped", id="swapped"),
        pytest.param(flip, "failed", "files/api: changed", id="flipped"),
        pytest.param(lambda case: new_key(case.key), "failed", "wrong identity", id="wrong-identity"),
        pytest.param(lambda case: case.key.unlink(), "unverified", "No such file", id="lost-key"),
    ],
)
def test_a_damaged_backup(case: Case, plant: t.Callable[[Case], object], outcome: str, told: str) -> None:
    case.do("present", files=[case.authority.write(name, case.authority.leaf()) for name in ("api", "web")])
    plant(case)
    proven = case.do("proven")
    assert proven["outcome"] == outcome
    assert any(told in one for one in proven["problems"] + proven["unverified"])


def test_secrets_of_kubernetes_go_to_the_other_region(case: Case, regions: tuple[Region, Region]) -> None:
    east, west = regions
    east.fresh()
    west.fresh()
    leaf = case.authority.leaf(key=ec.generate_private_key(ec.SECP256R1()))
    values = {"tls.crt": case.authority.chain(leaf).decode(), "tls.key": pem_key(leaf.key).decode()}
    east.put(secret("web", values, "kubernetes.io/tls", labels={"tier": "1"}))
    east.put(secret("db", {"password": "no certificate"}))
    source = {"kubernetes": east.connection, "namespaces": [NAMESPACE]}
    assert case.do("observed", **source)["outcome"] == "passed"
    assert case.do("present", **source)["added"] == [PATH]
    assert not case.do("present", **source)["changed"]
    assert case.do("proven")["outcome"] == "passed"
    assert case.do("restored", check=True, kubernetes=west.connection)["added"] == [PATH]
    assert west.data() == {}
    assert case.do("restored", kubernetes=west.connection)["added"] == [PATH]
    assert west.data()["web"] == east.data()["web"]
    assert not case.do("restored", kubernetes=west.connection)["changed"]
    east.put(secret("bad", {"tls.crt": "x", "tls.key": base64.b64encode(b"y").decode()}, "kubernetes.io/tls"))
    assert case.do("observed", **source)["outcome"] == "unverified"
    other = case.both("secrets_backup", {"directory": str(case.directory), "recipients": [case.recipient], **source})
    assert "it holds another backup" in other["msg"]


def test_certificates_of_acm(both: BothWays, case: Case, tmp_path: Path) -> None:
    with moto_server() as url:
        aws = aws_of(url, tmp_path)
        acm = client_of("acm", aws)
        arns = {}
        for name, days in (("good", 90), ("ending", 12)):
            leaf = case.authority.leaf(key=rsa.generate_private_key(65537, 2048), days=(-60, days))
            chain = pem(case.authority.intermediate.certificate)
            arns[name] = acm.import_certificate(
                Certificate=pem(leaf.certificate), PrivateKey=pem_key(leaf.key), CertificateChain=chain
            )["CertificateArn"]
        assert case.do("observed", aws=aws, acm_arns=[arns["good"]])["outcome"] == "passed"
        result = case.do("observed", aws=aws, acm_arns=list(arns.values()))
        assert len(result["certificates"]) == 2
        assert [one.split(": ")[0] for one in result["problems"]] == [arns["ending"]]
        assert "expiring: 1" in result["problems"][0]
        assert result["days_left"] < 13
        none = case.do("observed", aws=aws, acm_arns=[arns["good"][:-4] + "ffff"])
        assert none["outcome"] == "failed"
    dead = case.do("observed", aws={**aws, "endpoint_url": "http://127.77.9.9:9", "timeout": 1}, acm_arns=["arn:x"])
    assert (dead["outcome"], dead["problems"]) == ("unverified", [])


def test_keys_of_ed25519(case: Case) -> None:
    """Sound, though browsers do not take them yet: the chain is judged by the rules of the web."""
    key = ed25519.Ed25519PrivateKey.generate()
    pair = case.authority.write("api", case.authority.leaf(key=key))
    result = case.do("observed", files=[pair], verify_chain=False)
    assert (result["outcome"], result["certificates"][0]["key_kind"]) == ("passed", "Ed25519")
