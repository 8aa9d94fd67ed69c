# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where certificates come from, and go back to: files, Secrets of type kubernetes.io/tls, and (facts only) ACM.

PRIVATE to the collection.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import os
import typing as t
from dataclasses import replace
from pathlib import Path

from . import encrypted_backup_kubernetes as of_kubernetes
from .bucket_protection_lifecycle import ask
from .certificates_examine import Pair, Wanted, days_left, time_problems
from .clock import to_iso
from .encrypted_backup_item import Item, Json, path_of
from .errors import RecoveryError, failed
from .kubernetes_api import KubernetesApi

FILES, KUBERNETES = "certificate-files", "certificate-kubernetes"
KINDS = (FILES, KUBERNETES)
_TLS = "kubernetes.io/tls"


def of_files(option: Json) -> Item:
    """Read one pair of files: certificate, its chain if that is another file, and key. Raises RecoveryError."""
    name = option["name"]
    certificates = b"\n".join(_read(option[part]) for part in ("certificate", "chain") if option.get(part))
    return _item(path_of("files", name), FILES, {"name": name}, certificates, _read(option["key"]))


def of_cluster(api: KubernetesApi, namespaces: list[str], selector: str) -> t.Iterator[Item]:
    """Yield the TLS Secrets of a cluster. Raises RecoveryError."""
    wanted = of_kubernetes.Wanted(namespaces, selector, [_TLS], [])
    for secret in of_kubernetes.read(api, wanted):
        names = {name: secret.facts[name] for name in ("namespace", "name")}
        data = secret.content["data"]
        try:
            certificates, key = (base64.b64decode(data[name], validate=True) for name in ("tls.crt", "tls.key"))
        except (KeyError, binascii.Error, ValueError):
            cause = "it has no tls.crt and tls.key in base64"
            raise RecoveryError(failed("read", secret.path, cause, "Make that Secret anew.")) from None
        yield _item(secret.path, KUBERNETES, names, certificates, key, secret)


def _item(path: str, kind: str, names: Json, certificates: bytes, key: bytes, secret: Item | None = None) -> Item:
    pair = Pair.of(certificates, key, path)
    version = pair.version()
    content: Json = {"certificate": certificates.decode("utf-8", "replace"), "key": key.decode("utf-8", "replace")}
    if secret is not None:  # its labels are restored, too: another version of the object counts
        content["secret"], version = secret.content, f"{secret.version}/{version}"
    return Item(path, kind, version, {**names, **pair.facts()}, content)


def pair_of(item: Item) -> Pair:
    """Return an item's certificate, chain and key. Raises RecoveryError."""
    content = item.content
    if not isinstance(content.get("certificate"), str) or not isinstance(content.get("key"), str):
        raise RecoveryError("it decrypts, and holds no certificate with its key")
    return Pair.of(content["certificate"].encode(), content["key"].encode(), item.path)


def examine(item: Item) -> list[str]:
    """Say what makes a backed-up pair unusable: it does not parse, is another's, or its key does not fit."""
    try:
        pair = pair_of(item)
    except RecoveryError as error:
        return [f"changed: {error}"]
    named = {name: item.facts.get(name) for name in pair.facts()}
    other = [] if named == pair.facts() else ["the certificate inside is not the one that its own facts name"]
    return other + pair.key_problems()


def restore(item: Item, api: KubernetesApi | None, destination: str | None, check_mode: bool) -> str:
    """Put a pair where it belongs; return absent, different or same: what was there before. Raises RecoveryError."""
    if item.kind == KUBERNETES:
        if api is None:
            raise RecoveryError(failed("restore", item.path, "no cluster is named", "Set kubernetes, or narrow only."))
        facts = {"namespace": item.facts["namespace"], "name": item.facts["name"]}
        return of_kubernetes.restore(api, replace(item, facts=facts, content=item.content["secret"]), check_mode)
    if not destination:
        raise RecoveryError(failed("restore", item.path, "no directory is named", "Set destination, or narrow only."))
    base = Path(destination).expanduser() / item.path.rsplit("/", 1)[-1]
    wanted = {base.with_name(f"{base.name}.{end}"): item.content[part].encode() for end, part in _ENDS.items()}
    try:
        before = ["absent" if not path.exists() else _same(path, data) for path, data in wanted.items()]
        was = before[0] if len(set(before)) == 1 else "different"
        if was != "same" and not check_mode:
            base.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path, data in wanted.items():
                _put(path, data)
    except OSError as error:
        raise RecoveryError(failed("restore", item.path, error, "Make room, or allow it.")) from None
    return was


#: The key first: a server that reloads in between finds no certificate that its key does not fit.
_ENDS = {"key": "key", "crt": "certificate"}


def _same(path: Path, data: bytes) -> str:
    return "same" if path.read_bytes() == data else "different"


def _put(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    beside = path.with_name(f".{path.name}.writing")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def of_acm(client: t.Any, arn: str, wanted: Wanted) -> tuple[Json, list[str]]:
    """Return what ACM says of a certificate that it keeps, and what is wrong with it. Raises RecoveryError."""
    held = (ask(client, "describe_certificate", f"certificate {arn}", CertificateArn=arn) or {})["Certificate"]
    begins, ends = held.get("NotBefore"), held.get("NotAfter")
    facts: Json = {
        "path": arn,
        "name": held.get("DomainName", ""),
        "subject": held.get("Subject", ""),
        "sans": sorted(held.get("SubjectAlternativeNames") or []),
        "issuer": held.get("Issuer", ""),
        "serial": held.get("Serial", "").replace(":", ""),
        "not_before": _moment(begins),
        "not_after": _moment(ends),
        "days_left": days_left(ends, wanted.now) if ends else None,
        "fingerprint_sha256": None,
        "key_kind": held.get("KeyAlgorithm", "").replace("_", " "),
        "intermediates": [],
        "renewal": "automatic" if held.get("RenewalEligibility") == "ELIGIBLE" else "by hand",
    }
    told = [] if held["Status"] == "ISSUED" else [f"not issued: its status is {held['Status']}"]
    if begins and ends:
        told += time_problems(begins, ends, wanted)
    elif not told:
        told.append("not issued: it has no time of validity")
    status = (held.get("RenewalSummary") or {}).get("RenewalStatus")
    if status in ("FAILED", "PENDING_VALIDATION"):
        told.append(f"renewal {status.lower().replace('_', ' ')}: AWS cannot renew it")
    return facts, told


def _moment(value: dt.datetime | None) -> str | None:
    return to_iso(value) if value else None


def _read(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except FileNotFoundError:
        raise RecoveryError(
            failed("read", path, "missing: there is no such file", "Name another."), missing=True
        ) from None
    except OSError as error:
        raise RecoveryError(failed("read", path, error.strerror or error, "Allow it.")) from None
