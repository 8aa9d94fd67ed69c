"""Settings of the service, read from the environment once at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(Exception):
    """The environment lacks a value, or holds one that cannot be used."""


@dataclass(frozen=True)
class DatabaseSettings:
    """Where the database is. ``password`` stays out of every message."""

    host: str
    port: int
    name: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"DatabaseSettings({self.user}@{self.host}:{self.port}/{self.name})"


@dataclass(frozen=True)
class ModelSettings:
    """Where the model file is: a path, or an object in S3. The keys stay out of every message."""

    file: Path | None
    endpoint: str | None
    bucket: str
    key: str
    region: str
    access_key: str
    secret_key: str
    session_token: str | None

    def __repr__(self) -> str:
        return f"ModelSettings({self.location})"

    @property
    def location(self) -> str:
        """The model's address, as a reader would write it."""
        return str(self.file) if self.file else f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class Settings:
    """Everything the service is told."""

    service: str
    region: str
    address: str
    port: int
    drain_seconds: float
    database: DatabaseSettings
    model: ModelSettings

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from environment variables; SettingsError names the variable at fault."""
        return cls(
            service=_required(environment, "SERVICE_NAME"),
            region=_required(environment, "REGION"),
            address=environment.get("BIND_ADDRESS") or _required(environment, "POD_IP"),
            port=int(_number(environment, "PORT", 8000)),
            drain_seconds=_number(environment, "DRAIN_SECONDS", 0.5),
            database=_database(environment),
            model=_model(environment),
        )


def _database(environment: Mapping[str, str]) -> DatabaseSettings:
    return DatabaseSettings(
        host=_required(environment, "PGHOST"),
        port=int(_number(environment, "PGPORT", 5432)),
        name=_required(environment, "PGDATABASE"),
        user=_required(environment, "PGUSER"),
        password=environment.get("PGPASSWORD", ""),
    )


def _model(environment: Mapping[str, str]) -> ModelSettings:
    file = environment.get("MODEL_FILE")
    if not file:
        for name in ("MODEL_S3_BUCKET", "MODEL_S3_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            _required(environment, name)
    return ModelSettings(
        file=Path(file) if file else None,
        endpoint=environment.get("MODEL_S3_ENDPOINT") or None,
        bucket=environment.get("MODEL_S3_BUCKET", ""),
        key=environment.get("MODEL_S3_KEY", ""),
        region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1",
        access_key=environment.get("AWS_ACCESS_KEY_ID", ""),
        secret_key=environment.get("AWS_SECRET_ACCESS_KEY", ""),
        session_token=environment.get("AWS_SESSION_TOKEN") or None,
    )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise SettingsError(f"Failed to read the environment: {name} is not set")
    return value


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, "")
    try:
        return float(text) if text else default
    except ValueError:
        raise SettingsError(f"Failed to read the environment: {name} is {text!r}, not a number") from None
