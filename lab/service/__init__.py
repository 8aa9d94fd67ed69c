"""The sample service of the lab: what its image holds, its table and its model."""

from __future__ import annotations

from pathlib import Path

from lab.registry.images import build_image

HERE = Path(__file__).resolve().parent
APPLICATION = HERE / "app"
SCHEMA = HERE / "schema.sql"
ENTRYPOINT = ["python3", "-m", "sample_service"]
PORT = 8000


def build_service_image(store: Path, name: str, tag: str, labels: dict[str, str] | None = None) -> str:
    """Put the service's image into the registry's ``store``; its manifest digest.

    ``labels`` tell two releases of the same code apart: each set of labels gives an image with its own digest.
    """
    return build_image(APPLICATION, name, tag, store, ENTRYPOINT, env={"PORT": str(PORT)}, labels=labels or {})
