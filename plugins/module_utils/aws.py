# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""AWS clients from the shared `aws`/`store` options.

PRIVATE to the collection.
"""

from __future__ import annotations

import configparser
import functools
import typing as t

from .errors import RecoveryError, failed, require

try:
    import boto3 as _boto3
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import ProfileNotFound

    boto3: t.Any = _boto3
except ImportError:  # the module runs where boto3 is not; client() says so
    boto3 = None


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
        return _session(None).client(service, **arguments)
    try:
        return _session(profile).client(service, **arguments)
    except ProfileNotFound as error:
        what = f"AWS profile {profile!r}"
        raise RecoveryError(failed("read", what, error, "Create it, name another, or set credentials_file.")) from error


def warm(*services: str) -> None:
    """Load what botocore reads from disk for `services` (0.1 s each), so that forked workers inherit it.

    Meant for import time of an action plugin, which the controller's parent process loads. Does nothing without boto3.
    """
    if boto3 is None:
        return
    for service in services:
        arguments = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
        _session(None).client(service, **arguments)


def _session(profile: str | None) -> t.Any:
    """Return a new session (credentials are read afresh) over the process's one loader of API descriptions."""
    core = botocore.session.Session()
    loader = _loader()
    core.register_component("data_loader", loader)
    session = boto3.Session(botocore_session=core, profile_name=profile)
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # boto3 appends its own path each time
    return session


@functools.cache
def _loader() -> t.Any:
    return botocore.session.Session().get_component("data_loader")


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
