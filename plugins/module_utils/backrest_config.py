# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pgBackRest's configuration, written from data. Secrets come from files on this host, and go nowhere else.

PRIVATE to the collection.
"""

from __future__ import annotations

import configparser
import os
import pwd
import re
import tempfile
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from . import needs
from .connections import record_option
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification

_REPOSITORY = {
    "name": {"type": "str", "required": True},
    "bucket": {"type": "str", "required": True},
    "region": {"type": "str", "default": "us-east-1"},
    "endpoint_url": {"type": "str"},
    "prefix": {"type": "str", "default": "pgbackrest"},
    "profile": {"type": "str", "default": "default"},
    "credentials_file": {"type": "path"},
    "key_type": {"type": "str", "choices": ["shared", "auto", "web-id"], "default": "shared", "no_log": False},
    "ca_file": {"type": "path"},
    "uri_style": {"type": "str", "choices": ["host", "path"], "default": "host"},
    "cipher_pass_file": {"type": "path", "required": True, "no_log": False},  # a path
}

SPECIFICATION = Specification(
    argument_spec={
        "path": {"type": "path", "default": "/etc/pgbackrest/pgbackrest.conf"},
        "owner": {"type": "str", "default": "postgres"},
        "stanza": {"type": "str", "default": "main"},
        "data_directory": {"type": "path", "required": True},
        "postgres_port": {"type": "int", "default": 5432},
        "repositories": {"type": "list", "elements": "dict", "required": True, "options": _REPOSITORY},
        "retention_full_days": {"type": "int", "required": True},
        "compress_type": {"type": "str", "choices": ["zst", "lz4"], "default": "zst"},
        "process_max": {"type": "int"},
        "archive_async": {"type": "bool", "default": True},
        "archive_seconds": {"type": "int", "default": 60},
        "io_seconds": {"type": "int", "default": 10},
        "spool_path": {"type": "path", "default": "/var/spool/pgbackrest"},
        "lock_path": {"type": "path", "default": "/tmp/pgbackrest"},
        "log_path": {"type": "path", "default": "/var/log/pgbackrest"},
        "options": {"type": "dict", "default": {}},
        "record": record_option(),
    },
    needs=needs.recorded(),
)

#: a pass that could be guessed protects nothing
_SHORTEST_PASS = 20
_SECRET = re.compile(r"-(cipher-pass|s3-key|s3-key-secret|s3-token|sas|key)$")
_HEAD = "# Written by terragon.disaster_recovery.pg_backrest_config. It holds secrets: mode 0600.\n"

Sections = dict[str, dict[str, str]]


def run(params: Params, check_mode: bool) -> Result:
    """Write the file where it differs. What is returned names options, never what a secret one holds."""
    owner = _owner(params["owner"])
    wanted = _sections(params)
    path = Path(params["path"])
    present = _read(path)
    _refuse_other_pass(path, present, wanted, params["repositories"])
    directories = [Path(params[name]) for name in ("spool_path", "lock_path", "log_path")]
    absent = [one for one in directories if not one.is_dir()]
    right = present == wanted and _is_private(path, owner)
    if not check_mode:
        for one in absent:
            _make(one, owner)
        if not right:
            _write(path, wanted, owner)
    before, after = _shown(present, present, wanted), _shown(wanted, present, wanted)
    names = [one["name"] for one in params["repositories"]]
    return {
        "changed": bool(absent) or not right,
        "path": str(path),
        "repositories": names,
        "diff": {"before": before, "after": after, "before_header": str(path), "after_header": str(path)},
        "evidence": {"path": str(path), "repositories": names, "changed": bool(absent) or not right},
    }


def _sections(params: Params) -> Sections:
    """Return the whole configuration."""
    given: dict[str, t.Any] = params["options"] or {}
    for name in given:
        if _SECRET.search(f"-{name}"):
            remedy = "Name a file of it in repositories."
            raise Refused(failed("write", f"option {name}", "it would hold a secret in plain sight", remedy))
    cores = os.cpu_count() or 1
    everything = {
        "compress-type": params["compress_type"],
        "process-max": str(params["process_max"] or max(1, cores // 2)),
        "start-fast": "y",
        "expire-auto": "n",  # its own expiry knows no proven backup
        "spool-path": params["spool_path"],
        "lock-path": params["lock_path"],
        "log-path": params["log_path"],
        "log-level-file": "detail",
        "io-timeout": str(params["io_seconds"]),
    }
    for number, repository in enumerate(params["repositories"], 1):
        everything.update(_repository(number, repository, params["retention_full_days"]))
    everything.update({name: str(value) for name, value in given.items()})
    push = {"archive-async": "y" if params["archive_async"] else "n", "archive-timeout": str(params["archive_seconds"])}
    stanza = {"pg1-path": params["data_directory"], "pg1-port": str(params["postgres_port"])}
    return {"global": everything, "global:archive-push": push, params["stanza"]: stanza}


def _repository(number: int, repository: dict[str, t.Any], days: int) -> dict[str, str]:
    options = {
        "type": "s3",
        "s3-bucket": repository["bucket"],
        "s3-region": repository["region"],
        "s3-uri-style": repository["uri_style"],
        "s3-key-type": repository["key_type"],
        "path": "/" + repository["prefix"].strip("/"),
        "cipher-type": "aes-256-cbc",
        "cipher-pass": _pass(repository),
        "bundle": "y",
        "retention-full-type": "time",
        "retention-full": str(days),
        "storage-verify-tls": "y",
    }
    options.update(_endpoint(repository))
    if repository.get("ca_file"):
        options["storage-ca-file"] = repository["ca_file"]
    if repository["key_type"] == "shared":
        options["s3-key"], options["s3-key-secret"], token = _keys(repository)
        options.update({"s3-token": token} if token else {})
    return {f"repo{number}-{name}": value for name, value in options.items()}


def _endpoint(repository: dict[str, t.Any]) -> dict[str, str]:
    url = repository.get("endpoint_url") or f"https://s3.{repository['region']}.amazonaws.com"
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        remedy = "pgBackRest speaks TLS only: give an https:// URL."
        raise Refused(failed("use", f"repository {repository['name']}", f"its endpoint_url is {url}", remedy))
    port = {"storage-host": parts.hostname, "storage-port": str(parts.port)} if parts.port else {}
    return {"s3-endpoint": parts.hostname, **port}


def _pass(repository: dict[str, t.Any]) -> str:
    path = repository["cipher_pass_file"]
    what = f"the cipher pass of repository {repository['name']} in {path}"
    text = _secret_file(path, what).strip()
    if len(text) < _SHORTEST_PASS or "\n" in text:
        remedy = "Make one with: openssl rand -base64 48"
        raise Refused(failed("use", what, f"it is not one line of {_SHORTEST_PASS} characters or more", remedy))
    return text


def _keys(repository: dict[str, t.Any]) -> tuple[str, str, str]:
    path, profile = repository.get("credentials_file"), repository["profile"]
    what = f"profile {profile} for repository {repository['name']} in {path}"
    if not path:
        remedy = "Give credentials_file, or key_type auto for the machine's own role."
        raise Refused(
            failed("find", f"keys of repository {repository['name']}", "there is no credentials_file", remedy)
        )
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(_secret_file(path, what))
        section = parser[profile]
        return section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token", "")
    except (configparser.Error, KeyError):  # whose text may quote the file
        remedy = "Correct profile or credentials_file."
        raise Refused(failed("read", what, "it has no such profile with keys", remedy)) from None


def _secret_file(path: str, what: str) -> str:
    try:
        if os.stat(path).st_mode & 0o077:
            raise Refused(failed("read", what, "others may read the file", f"chmod 0600 {path}."))
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        remedy = "Put it there, mode 0600, or correct its path."
        raise Refused(failed("read", what, error.strerror, remedy)) from None


def _refuse_other_pass(path: Path, present: Sections, wanted: Sections, repositories: list[dict[str, t.Any]]) -> None:
    """A repository keeps the pass that it was created with: with another one, archiving would stop."""
    same = ("s3-bucket", "s3-endpoint", "path", "storage-host", "storage-port")
    old, new = present.get("global", {}), wanted["global"]
    for number, repository in enumerate(repositories, 1):
        key = f"repo{number}-"
        place = all(old.get(key + name) == new.get(key + name) for name in same)
        if place and old.get(key + "cipher-pass") not in (None, new[key + "cipher-pass"]):
            what = f"the cipher pass of repository {repository['name']} in {path}"
            remedy = "Restore the old pass; to use a new one, give the repository another prefix."
            raise Refused(failed("change", what, "what the repository holds was encrypted with another one", remedy))


def _read(path: Path) -> Sections:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no configuration"
        raise RecoveryError(failed("read", str(path), cause, "Move it aside.")) from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _owner(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise Refused(failed("find", f"user {name}", "there is none", "Correct owner.")) from None


def _is_private(path: Path, owner: pwd.struct_passwd) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return found.st_uid == owner.pw_uid and found.st_mode & 0o777 == 0o600


def _make(directory: Path, owner: pwd.struct_passwd) -> None:
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    _give(directory, owner)


def _write(path: Path, sections: Sections, owner: pwd.struct_passwd) -> None:
    """All or nothing, and private from the first byte on."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(_HEAD + "".join(_text(name, options) for name, options in sections.items()))
            file.flush()
            os.fsync(file.fileno())
        _give(Path(partial), owner)
        os.replace(partial, path)
    except OSError as error:
        Path(partial).unlink(missing_ok=True)
        raise RecoveryError(failed("write", str(path), error.strerror)) from None


def _give(path: Path, owner: pwd.struct_passwd) -> None:
    if os.geteuid() == 0:
        os.chown(path, owner.pw_uid, owner.pw_gid)
    elif os.geteuid() != owner.pw_uid:
        raise Refused(failed("give", f"{path} to {owner.pw_name}", "this is not root", "Run the task as root."))


def _text(name: str, options: dict[str, str]) -> str:
    return f"\n[{name}]\n" + "".join(f"{key}={value}\n" for key, value in sorted(options.items()))


def _shown(sections: Sections, present: Sections, wanted: Sections) -> str:
    """Return the text with the secrets out of it; one that changes reads differently on both sides."""
    hidden: Sections = {}
    for name, options in sections.items():
        hidden[name] = {
            key: ("(secret)" if _same(present, wanted, name, key) else f"(secret, {_side(sections, wanted)})")
            if _SECRET.search(f"-{key}")
            else value
            for key, value in options.items()
        }
    return "".join(_text(name, options) for name, options in hidden.items())


def _same(present: Sections, wanted: Sections, name: str, key: str) -> bool:
    return present.get(name, {}).get(key) == wanted.get(name, {}).get(key)


def _side(sections: Sections, wanted: Sections) -> str:
    return "new" if sections is wanted else "old"
