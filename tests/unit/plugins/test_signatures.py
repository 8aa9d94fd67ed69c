"""Detached ed25519 signatures: our own, openssl's, and what is neither."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.terragon.disaster_recovery.plugins.module_utils import signatures
from ansible_collections.terragon.disaster_recovery.plugins.module_utils.errors import RecoveryError

DATA = b"what is signed\n\x00\xff"


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)


def make_key(directory: Path, name: str, *how: str) -> tuple[str, str]:
    """Make a key pair by the commands that the documentation gives."""
    private, public = directory / f"{name}.pem", directory / f"{name}.pub.pem"
    made = openssl("genpkey", *(how or ("-algorithm", "ed25519")), "-out", private)
    assert made.returncode == 0, made.stderr
    assert openssl("pkey", "-in", private, "-pubout", "-out", public).returncode == 0
    return str(private), str(public)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    directory = tmp_path_factory.mktemp("keys")
    return {
        "ours": make_key(directory, "ours"),
        "theirs": make_key(directory, "theirs"),
        "rsa": make_key(directory, "rsa", "-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"),
    }


def test_the_key_that_signed_is_named(keys: dict[str, tuple[str, str]]) -> None:
    private, public = keys["ours"]
    signature = signatures.sign(DATA, private)
    assert len(signature) == signatures.SIZE
    both = [keys["theirs"][1], public]
    assert signatures.verify(DATA, signature, both) == signatures.fingerprint(public) == signatures.signer(private)
    assert signatures.fingerprint(public) != signatures.fingerprint(keys["theirs"][1])


def test_the_fingerprint_is_what_the_documented_command_prints(keys: dict[str, tuple[str, str]]) -> None:
    der = openssl("pkey", "-pubin", "-in", keys["ours"][1], "-outform", "DER").stdout
    printed = subprocess.run(["sha256sum"], input=der, capture_output=True, check=True).stdout.split()[0].decode()
    assert signatures.fingerprint(keys["ours"][1]) == f"sha256:{printed}"


def test_a_public_key_may_be_given_as_text(keys: dict[str, tuple[str, str]]) -> None:
    text = Path(keys["ours"][1]).read_text(encoding="utf-8")
    signature = signatures.sign(DATA, keys["ours"][0])
    for given in (text, text.strip(), "\n" + text):  # as a YAML block or an inventory variable may leave it
        assert signatures.verify(DATA, signature, [given]) == signatures.fingerprint(keys["ours"][1])


def test_openssl_verifies_what_we_sign_and_we_what_it_signs(keys: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    data, signature = tmp_path / "data", tmp_path / "data.sig"
    data.write_bytes(DATA)
    signature.write_bytes(signatures.sign(DATA, keys["ours"][0]))
    verify = ("pkeyutl", "-verify", "-rawin", "-pubin", "-in", data, "-sigfile", signature)
    assert openssl(*verify, "-inkey", keys["ours"][1]).returncode == 0
    assert openssl(*verify, "-inkey", keys["theirs"][1]).returncode != 0
    made = openssl("pkeyutl", "-sign", "-rawin", "-in", data, "-inkey", keys["theirs"][0], "-out", signature)
    assert made.returncode == 0, made.stderr
    assert signatures.verify(DATA, signature.read_bytes(), [keys["theirs"][1]])


@pytest.mark.parametrize(
    ("data", "spoil", "by", "says"),
    [
        (DATA + b" ", None, "ours", "none of the public keys made it"),
        (DATA, None, "theirs", "none of the public keys made it"),
        (DATA, lambda one: one[:-1] + bytes([one[-1] ^ 1]), "ours", "none of the public keys made it"),
        (DATA, lambda one: one[:-1], "ours", "it has 63 bytes"),
        (DATA, lambda one: b"", "ours", "it has 0 bytes"),
        (DATA, None, "", "no public key is given"),
    ],
    ids=["other data", "other key", "flipped bit", "truncated", "empty", "no key"],
)
def test_a_wrong_signature_is_refused(
    data: bytes, spoil: Any, by: str, says: str, keys: dict[str, tuple[str, str]]
) -> None:
    signature = signatures.sign(DATA, keys["ours"][0])
    public = [keys[by][1]] if by else []
    with pytest.raises(signatures.BadSignature, match=says):
        signatures.verify(data, spoil(signature) if spoil else signature, public)


@pytest.mark.parametrize("which", ["missing", "rsa", "public", "text", "encrypted"])
def test_what_is_no_signing_key_is_named(which: str, keys: dict[str, tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    says = "it is no ed25519 key" if which == "rsa" else "Failed to load signing key"
    if which == "missing":
        says = "Failed to read signing key .*No such file"
    elif which == "rsa":
        path = Path(keys["rsa"][0])
    elif which == "public":
        path = Path(keys["ours"][1])
    elif which == "text":
        path.write_text("no key", encoding="utf-8")
    else:
        made = openssl("pkey", "-in", keys["ours"][0], "-aes256", "-passout", "pass:of the tests", "-out", path)
        assert made.returncode == 0, made.stderr
    with pytest.raises(RecoveryError, match=says):
        signatures.sign(DATA, str(path))


@pytest.mark.parametrize("which", ["missing", "rsa", "private", "text"])
def test_what_is_no_public_key_is_named_and_never_a_pass(
    which: str, keys: dict[str, tuple[str, str]], tmp_path: Path
) -> None:
    text = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    given = {"missing": str(tmp_path / "none"), "rsa": keys["rsa"][1], "private": keys["ours"][0], "text": text}[which]
    signature = signatures.sign(DATA, keys["ours"][0])
    with pytest.raises(RecoveryError, match="public key"):
        signatures.verify(DATA, signature, [given, keys["ours"][1]])
