"""A certificate authority for the tests: a root, an intermediate, and leaves of every kind of trouble."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = dt.datetime.now(dt.UTC)


def pem_key(key: Any) -> bytes:
    """A private key as PKCS #8."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


@dataclass
class Made:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Any


def issue(
    name: str,
    by: Made | None = None,
    *,
    ca: bool = False,
    key: Any = None,
    sans: tuple[str, ...] = (),
    days: tuple[float, float] = (-1, 90),
    digest: hashes.HashAlgorithm | None = None,
) -> Made:
    """Sign a certificate; without `by` it signs itself. `days`: begin and end, from now."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = by.certificate.subject if by else subject
    authority = by.key if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + dt.timedelta(days=days[0]))
        .not_valid_after(NOW + dt.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
        .add_extension(_usage(ca), critical=True)
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    if sans:
        names = [_name(one) for one in sans]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Made(builder.sign(authority, digest or hashes.SHA256()), key)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _usage(ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class Authority:
    """A root in a CA file, and an intermediate below it."""

    directory: Path
    root: Made = field(default_factory=lambda: issue("Lab root", ca=True, days=(-30, 3650)))

    def __post_init__(self) -> None:
        self.intermediate = issue("Lab intermediate", self.root, ca=True, days=(-30, 1000))
        self.ca_file = self.directory / "ca.pem"
        self.ca_file.write_bytes(pem(self.root.certificate))

    def leaf(self, *sans: str, **more: Any) -> Made:
        """A server's certificate."""
        return issue("api", self.intermediate, sans=sans or ("api.lab.test",), **more)

    def chain(self, leaf: Made) -> bytes:
        """What a server sends."""
        return pem(leaf.certificate, self.intermediate.certificate)

    def write(self, name: str, leaf: Made, *, chain: bytes | None = None, key: Any = None) -> dict[str, Any]:
        """The pair as files, and the option that names them."""
        certificate, secret = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        certificate.write_bytes(self.chain(leaf) if chain is None else chain)
        secret.write_bytes(pem_key(key or leaf.key))
        secret.chmod(0o600)
        return {"name": name, "certificate": str(certificate), "key": str(secret)}


def small_rsa() -> Any:
    """A key that is too short."""
    return rsa.generate_private_key(65537, 1024)
