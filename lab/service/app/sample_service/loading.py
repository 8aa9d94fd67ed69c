"""Fetches the model when the service starts, trying until it can be had."""

from __future__ import annotations

import logging
import threading
from urllib.parse import quote

from .model import Model, ModelError
from .settings import ModelSettings

log = logging.getLogger(__name__)
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 2.0
CONNECT_SECONDS = 1.0
READ_SECONDS = 5.0


class ModelHolder:
    """The loaded model, or the reason why there is none yet."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._stopped = threading.Event()
        self._model: Model | None = None
        self._problem = "the model is being loaded"

    def start(self) -> None:
        """Begin to load in the background: the service answers ``/health`` meanwhile."""
        threading.Thread(target=self._load_until_done, name="model", daemon=True).start()

    def stop(self) -> None:
        """Stop trying."""
        self._stopped.set()

    def model(self) -> Model:
        """The model; ModelError says why it is not there."""
        if self._model is None:
            raise ModelError(self._problem)
        return self._model

    def _load_until_done(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while not self._stopped.is_set():
            try:
                self._model = Model.parse(read_model(self._settings))
            except ModelError as error:
                if str(error) != self._problem:
                    log.warning("%s", error)
                self._problem = str(error)
                self._stopped.wait(delay)
                delay = min(delay * 2, LONGEST_DELAY_SECONDS)
            else:
                log.info("model %s loaded from %s", self._model.version, self._settings.location)
                return


def read_model(settings: ModelSettings) -> bytes:
    """The bytes of the model file; ModelError names the place it was looked for."""
    try:
        return settings.file.read_bytes() if settings.file else _get_object(settings)
    except OSError as error:
        raise ModelError(f"Failed to read {settings.location}: {error.strerror or error}") from error


def _get_object(settings: ModelSettings) -> bytes:
    """Get one object with botocore's signer and transport.

    A boto3 client costs another 0.3 s of CPU at each start, which every pod of a region would pay at once while
    that region takes over.
    """
    from botocore.auth import S3SigV4Auth  # noqa: PLC0415 imported late: the service listens first
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, HTTPClientError  # noqa: PLC0415
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415

    endpoint = settings.endpoint or f"https://s3.{settings.region}.amazonaws.com"
    request = AWSRequest("GET", f"{endpoint.rstrip('/')}/{settings.bucket}/{quote(settings.key)}")
    credentials = Credentials(settings.access_key, settings.secret_key, settings.session_token)
    S3SigV4Auth(credentials, "s3", settings.region).add_auth(request)
    session = URLLib3Session(timeout=(CONNECT_SECONDS, READ_SECONDS))  # type: ignore[arg-type]
    try:
        response = session.send(request.prepare())
    except (BotoCoreError, HTTPClientError) as error:
        raise ModelError(f"Failed to read {settings.location}: {type(error).__name__}") from error
    finally:
        session.close()
    if response.status_code != 200:
        raise ModelError(f"Failed to read {settings.location}: HTTP {response.status_code}")
    return bytes(response.content)
