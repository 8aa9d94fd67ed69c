"""Where certificates and keys are: known without the library that makes them."""

from __future__ import annotations

from pathlib import Path

AUTHORITY = "ca.pem"


def certificate(directory: Path, name: str) -> Path:
    """The certificate that was issued under a name."""
    return directory / f"{name}.pem"


def key(directory: Path, name: str) -> Path:
    """Its private key."""
    return directory / f"{name}.key"
