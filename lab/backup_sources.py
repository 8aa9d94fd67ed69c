"""What a lab with backups has to back up beside its services, and the keys that seal and encrypt it.

Not the stores' certificates: those bear addresses as names, which only pgBackRest wants.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.terragon.disaster_recovery.plugins.module_utils import aws

from lab.catalogue import MODEL_BUCKET, REGIONS, ZONE
from lab.layout import Lab, write_text
from lab.names import aws_option

LOG_GROUP, LOG_DAYS = "/counterfactual-lab/api", 30
VALID = dt.timedelta(days=90)
CONFIGURATION = {"service.yaml": "timeout_seconds: 5\n", "features.yaml": "explanations: true\n"}
MONITORING = {
    "prometheus.yml": "global: {scrape_interval: 15s}\nrule_files: [rules/*.yml]\n",
    "rules/availability.yml": "groups:\n  - name: availability\n    rules: []\n",
}


def make(lab: Lab) -> None:
    """Write keys, a Git repository, monitoring's configuration and the public name's certificate."""
    directory = _directory(lab)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _signing_key(directory)
    _identity(directory)
    _certificate(directory)
    for name, text in MONITORING.items():
        (directory / "monitoring" / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(directory / "monitoring" / name, text, 0o644)
    _repository(directory / "configuration")


def keep_logs(lab: Lab) -> None:
    """Make the log group that the catalogue names, kept as long as the plan says."""
    client = aws.client("logs", {**aws_option(lab), "timeout": 15.0})
    with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName=LOG_GROUP)
    client.put_retention_policy(logGroupName=LOG_GROUP, retentionInDays=LOG_DAYS)


def describe(lab: Lab) -> dict[str, Any]:
    """What the inventory needs of them: names of files, and the recipient, which is public."""
    from lab.stores import store_option  # noqa: PLC0415 needs boto3

    directory = _directory(lab)
    return {
        "signing_key": str(directory / "signing.pem"),
        "public_key": str(directory / "signing.pub.pem"),
        "identity_file": str(directory / "identity.txt"),
        "recipients": (directory / "recipients").read_text().split(),
        "configuration": str(directory / "configuration"),
        "monitoring": str(directory / "monitoring"),
        "certificate": str(directory / "api.pem"),
        "certificate_key": str(directory / "api.key"),
        "certificate_authority": str(directory / "ca.pem"),
        "models": [store_option(lab, f"models-{one}", one, MODEL_BUCKET, "orchestrator") for one in REGIONS],
        "staging": str(lab.directory / "staging"),
        "scratch": str(lab.data / "scratch"),
        "recovery": str(lab.data / "recovery"),
    }


def _directory(lab: Lab) -> Path:
    return lab.private / "backup"


def _signing_key(directory: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 only labs with backups load it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = private.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    write_text(directory / "signing.pem", pem.decode())
    write_text(directory / "signing.pub.pem", public.decode(), 0o644)


def _identity(directory: Path) -> None:
    """Two recipients, as the documentation advises; one secret key is here, and the other one is thrown away."""
    from pyrage import x25519  # type: ignore[import-untyped]  # noqa: PLC0415

    kept, spare = x25519.Identity.generate(), x25519.Identity.generate()
    write_text(directory / "identity.txt", f"{kept}\n")
    write_text(directory / "recipients", f"{kept.to_public()}\n{spare.to_public()}\n", 0o644)


def _certificate(directory: Path) -> None:
    """An authority, and what it vouches for by the rules that web clients go by."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    def build(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, above: Any) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
        return (
            x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + VALID)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
        )

    usage = {
        "digital_signature": False, "content_commitment": False, "key_encipherment": False, "data_encipherment": False,
        "key_agreement": False, "key_cert_sign": False, "crl_sign": False, "encipher_only": False,
        "decipher_only": False,
    }  # fmt: skip
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = "disaster recovery lab, public names"
    authority = (
        build(issuer, issuer, root, root.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**{**usage, "key_cert_sign": True, "crl_sign": True}), critical=True)
        .sign(root, hashes.SHA256())
    )
    certificate = (
        build(f"api.{ZONE}", issuer, leaf, root.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**usage, "digital_signature": True}), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(f"api.{ZONE}")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(root, hashes.SHA256())
    )
    key = leaf.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    write_text(directory / "ca.pem", authority.public_bytes(form.Encoding.PEM).decode(), 0o644)
    write_text(directory / "api.pem", certificate.public_bytes(form.Encoding.PEM).decode(), 0o644)
    write_text(directory / "api.key", key.decode())


def _repository(directory: Path) -> None:
    directory.mkdir(parents=True)
    for name, text in CONFIGURATION.items():
        write_text(directory / name, text, 0o644)
    who = ["-c", "user.name=lab", "-c", "user.email=lab@localhost", "-c", "commit.gpgsign=false"]
    for argv in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        [*who, "commit", "--quiet", "-m", "Configuration"],
    ):
        subprocess.run(["git", "-C", str(directory), *argv], check=True, capture_output=True)
