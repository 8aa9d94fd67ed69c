# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWS clients from the shared `aws`/`store` options.

PRIVATE to the collection.
"""

from __future__ import annotations

import configparser
import contextlib
import functools
import os
import threading
import typing as t

from .errors import RecoveryError, failed, require

try:
    import boto3 as _boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ProfileNotFound
    from botocore.handlers import add_expect_header

    boto3: t.Any = _boto3
except ImportError:  # the module runs where boto3 is not; client() says so
    boto3 = None

_MAKING = threading.Lock()


def client(service: str, options: t.Mapping[str, t.Any], attempts: int = 1) -> t.Any:
    """Return a boto3 client for `service`.

    `options` follow the `aws` option: endpoint_url, region, profile, credentials_file, timeout (seconds).
    botocore retries are off by default: a retried conditional write answers 412 for its own first try, and
    the services do their own retries with a deadline. Raises RecoveryError for an unknown profile.
    """
    require(boto3, "boto3")
    timeout = float(options.get("timeout") or 5.0)
    config = Config(
        connect_timeout=min(timeout, 3.0),
        read_timeout=timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    arguments: dict[str, t.Any] = {"config": config, "region_name": options.get("region") or "us-east-1"}
    if options.get("endpoint_url"):
        arguments["endpoint_url"] = options["endpoint_url"]
    profile, path = options.get("profile"), options.get("credentials_file")
    if path:
        arguments.update(_keys_from(path, profile or "default"))
        profile = None
    made = _make(service, profile, arguments)
    if service == "s3":
        # What is put here is small: asking first whether it may come costs a round trip more than sending it, and a
        # lease is renewed over links where that decides.
        made.meta.events.unregister("before-call.s3", add_expect_header)
    return made


def warm(*services: str) -> None:
    """Load what botocore reads from disk for `services` (0.1 s each), so that forked workers inherit it.

    Meant for import time of an action plugin, which the controller's parent process loads. Does nothing without boto3;
    a broken AWS configuration is left to the client that needs it, which names it.
    """
    if boto3 is None:
        return
    nobody = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
    with contextlib.suppress(RecoveryError, BotoCoreError):
        for service in services:
            _make(service, None, nobody)


def _make(service: str, profile: str | None, arguments: dict[str, t.Any]) -> t.Any:
    environment = tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))
    try:
        with _MAKING:  # sessions are not thread-safe, clients are
            return _session(profile, environment).client(service, **arguments)
    except ProfileNotFound as error:
        what = f"AWS profile {profile!r}"
        raise RecoveryError(failed("read", what, error, "Create it, name another, or set credentials_file.")) from error


@functools.cache
def _session(profile: str | None, environment: tuple[tuple[str, str], ...]) -> t.Any:
    """Return the process's one session for a profile: a client of it costs 3 ms, the first of a new one 50 ms.

    Sessions remember credentials, so another environment gets another one.
    """
    return boto3.Session(profile_name=profile)


def _keys_from(path: str, profile: str) -> dict[str, str]:
    """Read one profile of an AWS shared credentials file; boto3 takes another file only from the environment."""
    parser = configparser.RawConfigParser()
    if not parser.read(path) or not parser.has_section(profile):
        what = f"AWS profile {profile!r} in {path}"
        raise RecoveryError(failed("read", what, "no such file or profile", "Create it or name another."))
    section = parser[profile]
    keys = {
        "aws_access_key_id": section.get("aws_access_key_id", ""),
        "aws_secret_access_key": section.get("aws_secret_access_key", ""),
    }
    if section.get("aws_session_token"):
        keys["aws_session_token"] = section["aws_session_token"]
    return keys
