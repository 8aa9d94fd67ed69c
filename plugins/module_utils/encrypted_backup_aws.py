# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets of AWS Secrets Manager and parameters of SSM: read into memory, and written from memory to another region.

AWS repeats a value that it refuses. So of its errors only the code is told, and of botocore's only the kind.

PRIVATE to the collection.
"""

from __future__ import annotations

import base64
import hmac
import typing as t

from . import aws
from .encrypted_backup_item import Item, Json, canonical, path_of
from .errors import RecoveryError, Unreachable, failed

try:
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:  # aws.client() names the missing library
    BotoCoreError = type("BotoCoreError", (Exception,), {})  # type: ignore[assignment,misc]
    ClientError = type("ClientError", (Exception,), {})  # type: ignore[assignment,misc]

SECRETS_MANAGER, SSM = "secretsmanager", "ssm"
#: Answers that say "there is none".
_MISSING = ("ResourceNotFoundException", "ParameterNotFound")


class Absent(RecoveryError):
    """There is no such secret or parameter."""


def read_secrets(options: t.Mapping[str, t.Any], prefixes: list[str]) -> t.Iterator[Item]:
    """Yield the current version of the secrets whose names begin with one of `prefixes`. Raises RecoveryError."""
    client = aws.client(SECRETS_MANAGER, options)
    for prefix in prefixes:
        names = _names(client, prefix)
        _refuse_none(names, f"secrets {prefix}* of AWS Secrets Manager")
        for name in names:
            got = _call(client, "get_secret_value", f"secret {name}", SecretId=name)
            binary = "SecretBinary" in got
            value = base64.b64encode(got["SecretBinary"]).decode() if binary else got["SecretString"]
            facts: Json = {"name": name, "type": "binary" if binary else "string", "keys": []}
            version = str(got["VersionId"])
            yield Item(path_of(SECRETS_MANAGER, name), SECRETS_MANAGER, version, facts, {"name": name, "value": value})


def read_parameters(options: t.Mapping[str, t.Any], paths: list[str]) -> t.Iterator[Item]:
    """Yield the parameters below `paths`, of whatever depth and type. Raises RecoveryError."""
    client = aws.client(SSM, options)
    for below in paths:
        arguments: Json = {"Path": below, "Recursive": True, "WithDecryption": True}
        found = 0
        for one in _pages(client, "get_parameters_by_path", f"parameters below {below}", "Parameters", arguments):
            found += 1
            facts = {"name": one["Name"], "type": one["Type"], "keys": []}
            content = {"name": one["Name"], "value": one["Value"]}
            # A parameter that was deleted and made again counts from 1 again: its time tells the two apart.
            version = f"{one['Version']}/{one['LastModifiedDate'].timestamp():.3f}"
            yield Item(path_of(SSM, one["Name"]), SSM, version, facts, content)
        _refuse_none(found, f"parameters below {below} of AWS SSM")


def _names(client: t.Any, prefix: str) -> list[str]:
    arguments = {"Filters": [{"Key": "name", "Values": [prefix]}]}
    listed = _pages(client, "list_secrets", f"secrets {prefix}*", "SecretList", arguments)
    return sorted(one["Name"] for one in listed if one["Name"].startswith(prefix))


def examine(item: Item) -> list[str]:
    """Say what makes an item nothing that AWS would take, without its value."""
    content = item.content
    if not isinstance(content.get("value"), str) or content.get("name") != item.facts.get("name"):
        return ["changed: it decrypts, and is not the secret that its own facts name"]
    return []


def restore(options: t.Mapping[str, t.Any], item: Item, check_mode: bool) -> str:
    """Write one to a region from memory; return absent, different or same: what it was there before.

    Raises RecoveryError, with nothing of the value in it.
    """
    client = aws.client(item.kind, options)
    name, value, kind = item.content["name"], item.content["value"], item.facts["type"]
    try:
        before: str | None = _value_of(client, item.kind, name)
    except Absent:
        before = None
    if before is not None and hmac.compare_digest(canonical(before), canonical(value)):
        return "same"
    if not check_mode:
        if item.kind == SSM:
            _call(client, "put_parameter", f"parameter {name}", Name=name, Value=value, Type=kind, Overwrite=True)
        else:
            held: Json = {"SecretBinary": base64.b64decode(value)} if kind == "binary" else {"SecretString": value}
            made, key = ("create_secret", "Name") if before is None else ("put_secret_value", "SecretId")
            _call(client, made, f"secret {name}", **{key: name}, **held)
    return "absent" if before is None else "different"


def _value_of(client: t.Any, kind: str, name: str) -> str:
    if kind == SSM:
        return _call(client, "get_parameter", f"parameter {name}", Name=name, WithDecryption=True)["Parameter"]["Value"]
    got = _call(client, "get_secret_value", f"secret {name}", SecretId=name)
    return base64.b64encode(got["SecretBinary"]).decode() if "SecretBinary" in got else got["SecretString"]


def _pages(client: t.Any, method: str, what: str, member: str, arguments: Json) -> t.Iterator[Json]:
    following: Json = {}
    while True:
        page = _call(client, method, what, **arguments, **following)
        yield from page[member]
        if not page.get("NextToken"):
            return
        following = {"NextToken": page["NextToken"]}


def _call(client: t.Any, method: str, what: str, **arguments: t.Any) -> Json:
    where = f"{what} in {client.meta.region_name}"
    verb = "read" if method.startswith(("get_", "list_")) else "write"
    kind, remedy = RecoveryError, "Check the credentials and what they may do."
    try:
        return getattr(client, method)(**arguments)
    except ClientError as error:
        cause = str(error.response.get("Error", {}).get("Code", "an unknown error"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if cause in _MISSING:
            kind, remedy = Absent, "Name one that exists."
        elif status >= 500 or status == 429:
            kind, remedy = Unreachable, "Retry."
    except BotoCoreError as error:
        kind, cause, remedy = Unreachable, type(error).__name__, "Check the endpoint, the network and the credentials."
    # Not raised inside the except clauses: a traceback would show the answer beside it.
    raise kind(failed(verb, where, cause, remedy))


def _refuse_none(found: t.Any, what: str) -> None:
    if not found:
        raise RecoveryError(failed("back up", what, "there is none", "Correct the option, or take it out."))
