"""What each path of the HTTP API does, apart from HTTP itself."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any

from .loading import ModelHolder
from .model import ModelError
from .writes import DatabaseUnavailable, Write, WriteConflict, WriteStore

MAX_IDS = 10_000
MAX_SEQ = 2**63 - 1


@dataclass(frozen=True)
class Answer:
    """A status code and the JSON object that goes with it."""

    status: int
    body: dict[str, Any]


class BadRequest(Exception):
    """The caller sent something that cannot be used."""


class Api:
    """Answers requests; knows nothing of sockets."""

    def __init__(self, service: str, region: str, store: WriteStore, models: ModelHolder) -> None:
        self._about = {"service": service, "region": region}
        self._store = store
        self._models = models
        self.draining = False

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """The answer to one request."""
        try:
            return self._route(method, path, body)
        except BadRequest as error:
            return Answer(400, {"error": str(error)})
        except WriteConflict as error:
            return Answer(409, {"error": str(error)})
        except ModelError as error:
            return Answer(503, {"reason": "model", "error": str(error), **self._about})
        except DatabaseUnavailable as error:
            return Answer(503, {"reason": error.reason, "error": str(error), **self._about})

    def _route(self, method: str, path: str, body: bytes) -> Answer:
        match method, path.partition("?")[0].strip("/").split("/"):
            case "GET", ["health"]:
                answer = Answer(200, {"status": "alive", **self._about})
            case "GET", ["ready"]:
                answer = self._ready()
            case "GET", ["model", "health"]:
                answer = self._model_health()
            case "POST", ["infer"]:
                answer = self._infer(_document(body))
            case "POST", ["writes"]:
                answer = self._write(_document(body))
            case "POST", ["writes", "query"]:
                answer = self._query(_document(body))
            case "GET", ["writes", text]:
                answer = self._read(_identifier(text))
            case _:
                answer = Answer(404, {"error": f"no such thing as {method} {path}"})
        return answer

    def _ready(self) -> Answer:
        if self.draining:
            return Answer(503, {"reason": "draining", "error": "the service is stopping", **self._about})
        model = self._models.model()
        access = "read-only" if self._store.read_only() else "read-write"
        return Answer(200, {"status": "ready", "database": access, "model_version": model.version, **self._about})

    def _model_health(self) -> Answer:
        model = self._models.model()
        about = {"model_version": model.version, "model_sha256": model.sha256, **self._about}
        try:
            difference = model.check_golden()
        except ModelError as error:
            return Answer(503, {"status": "wrong", "reason": "golden", "error": str(error), **about})
        return Answer(200, {"status": "right", "difference": difference, **about})

    def _infer(self, document: dict[str, Any]) -> Answer:
        model = self._models.model()
        values = document.get("input")
        if not isinstance(values, list) or not all(_is_number(value) for value in values):
            raise BadRequest("input must be a list of numbers")
        try:
            probabilities = model.infer(values)
        except (ModelError, OverflowError) as error:
            raise BadRequest(str(error)) from error
        label = model.classes[probabilities.index(max(probabilities))]
        named = dict(zip(model.classes, probabilities, strict=True))
        return Answer(200, {"label": label, "probabilities": named, "model_version": model.version, **self._about})

    def _write(self, document: dict[str, Any]) -> Answer:
        seq, payload = document.get("seq"), document.get("payload")
        if not isinstance(seq, int) or isinstance(seq, bool) or abs(seq) > MAX_SEQ:
            raise BadRequest("seq must be a 64-bit integer")
        if not isinstance(payload, str) or "\0" in payload:
            raise BadRequest("payload must be a string with no NUL")
        done = self._store.add(Write(_identifier(document.get("id")), seq, payload))
        body = {"id": str(done.id), "region": done.region, "committed_at": done.committed_at.isoformat()}
        return Answer(201, body)

    def _query(self, document: dict[str, Any]) -> Answer:
        ids = document.get("ids")
        if not isinstance(ids, list) or len(ids) > MAX_IDS:
            raise BadRequest(f"ids must be a list of at most {MAX_IDS} UUIDs")
        return Answer(200, {"present": self._store.present([_identifier(text) for text in ids])})

    def _read(self, write_id: uuid.UUID) -> Answer:
        row = self._store.get(write_id)
        return Answer(200, row) if row else Answer(404, {"error": f"no write {write_id}"})


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadRequest("the body must be a JSON object")
    return document


def _identifier(text: Any) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except (ValueError, TypeError, AttributeError):
        raise BadRequest(f"{text!r} is not a UUID") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
