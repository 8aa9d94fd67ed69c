"""A certificate authority of the lab's own, and what it vouches for. New for each lab; its key is forgotten at once."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.certificates import AUTHORITY, certificate, key
from lab.layout import write_text

#: a lab lives for hours; machines whose clocks are a little slow take its certificates, too
VALID, SLOW = dt.timedelta(days=30), dt.timedelta(days=1)


def issue(directory: Path, servers: Mapping[str, Iterable[str]]) -> Path:
    """Write the authority's certificate, and one with its key for each server by its addresses; the former's path."""
    authority = ec.generate_private_key(ec.SECP256R1())
    name = _name("disaster recovery lab")
    certified = (
        _builder(name, name, authority)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority, hashes.SHA256())
    )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_text(directory / AUTHORITY, _pem(certified), 0o644)
    for server, addresses in servers.items():
        private = ec.generate_private_key(ec.SECP256R1())
        signed = (
            _builder(_name(server), name, private)
            .add_extension(x509.SubjectAlternativeName([*_alternatives(addresses)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(authority, hashes.SHA256())
        )
        write_text(certificate(directory, server), _pem(signed), 0o644)
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_text(key(directory, server), pem.decode("ascii"))
    return directory / AUTHORITY


def _alternatives(addresses: Iterable[str]) -> Iterable[x509.GeneralName]:
    """Each as an address and as a name: pgBackRest compares names only."""
    for address in addresses:
        yield x509.IPAddress(ipaddress.ip_address(address))
        yield x509.DNSName(address)


def _builder(subject: x509.Name, issuer: x509.Name, private: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLOW)
        .not_valid_after(now + VALID)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certified: x509.Certificate) -> str:
    return certified.public_bytes(serialization.Encoding.PEM).decode("ascii")
