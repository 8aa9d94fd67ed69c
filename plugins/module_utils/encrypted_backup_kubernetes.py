# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets of a Kubernetes API: read into memory page by page, and applied from memory to another cluster.

An API may repeat a value that it refuses. So of its answers to a Secret only status and reason are told.

PRIVATE to the collection.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import typing as t

from .encrypted_backup_item import Item, canonical, path_of
from .errors import RecoveryError, failed
from .kubernetes_api import METADATA_ONLY, ApiError, Json, KubernetesApi, NotFound

KIND = "kubernetes"
#: What a cluster makes for itself and another one cannot use.
_OF_THE_CLUSTER = "kubernetes.io/service-account-token"
#: kubectl keeps the whole object here, values and all.
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_PAGE = "100"
#: What helps against an API's answer to a Secret; 0 is no error, and not what was wanted either.
_REMEDIES = {
    0: "Remove the Secret there, and run again.",
    403: "Grant that to the kubeconfig's user.",
    404: "Create namespace {} there first.",
    422: "A Secret that is immutable, or of another type, must be removed there first.",
}


class Wanted(t.NamedTuple):
    """Which Secrets: no namespace or type named means all. Tokens of service accounts are never wanted."""

    namespaces: list[str]
    selector: str
    types: list[str]
    excluded_types: list[str]

    def takes(self, kind: str) -> bool:
        """Say whether Secrets of a type are wanted."""
        return kind not in (_OF_THE_CLUSTER, *self.excluded_types) and (not self.types or kind in self.types)


def read(api: KubernetesApi, wanted: Wanted) -> t.Iterator[Item]:
    """Yield the wanted Secrets. Raises RecoveryError, also for a namespace that does not exist."""
    for namespace in wanted.namespaces:
        try:
            api.get(f"/api/v1/namespaces/{namespace}", accept=METADATA_ONLY)
        except NotFound as error:
            what, remedy = f"the Secrets of namespace {namespace}", "Create it or take it out of namespaces."
            raise RecoveryError(failed("read", what, f"{api.name} has no such namespace", remedy)) from error
    paths = [f"/api/v1/namespaces/{name}/secrets" for name in wanted.namespaces] or ["/api/v1/secrets"]
    for path in paths:
        found = False
        for secret in _pages(api, path, wanted.selector):
            if wanted.takes(secret.get("type") or "Opaque"):
                found = True
                yield _item(secret)
        if not found:
            remedy = "Correct namespaces, label_selector or types, so that an empty answer is no backup."
            raise RecoveryError(failed("back up", f"{path} of {api.name}", "there is no Secret as asked for", remedy))


def _pages(api: KubernetesApi, path: str, selector: str) -> t.Iterator[Json]:
    query = {"limit": _PAGE, **({"labelSelector": selector} if selector else {})}
    following = ""
    while True:
        page = api.get(path, **query, **({"continue": following} if following else {}))
        yield from page.get("items") or []
        following = (page.get("metadata") or {}).get("continue") or ""
        if not following:
            return


def _item(secret: Json) -> Item:
    metadata = secret["metadata"]
    namespace, name, kind = metadata["namespace"], metadata["name"], secret.get("type") or "Opaque"
    data = secret.get("data") or {}
    facts = {"namespace": namespace, "name": name, "type": kind, "keys": sorted(data)}
    version = f"{metadata.get('uid', '')}/{metadata.get('resourceVersion', '')}"
    return Item(path_of(KIND, namespace, name), KIND, version, facts, _content(secret))


def _content(secret: Json) -> Json:
    """Return the object without what its server owns."""
    metadata = secret["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if name != _LAST_APPLIED}
    kept: Json = {"name": metadata["name"], "namespace": metadata["namespace"]}
    if metadata.get("labels"):
        kept["labels"] = metadata["labels"]
    if annotations:
        kept["annotations"] = annotations
    content: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": kept,
        "type": secret.get("type") or "Opaque",
        "data": secret.get("data") or {},
    }
    if secret.get("immutable"):
        content["immutable"] = True
    return content


def examine(item: Item) -> list[str]:
    """Say what makes an item no Secret that an API would take, without a value."""
    content, facts = item.content, item.facts
    metadata, data = content.get("metadata"), content.get("data")
    if content.get("kind") != "Secret" or not isinstance(metadata, dict) or not isinstance(data, dict):
        return ["changed: it decrypts, and is no Secret"]
    told = [f"the value of key {key} is not base64" for key, value in data.items() if not _is_base64(value)]
    names = {"namespace": metadata.get("namespace"), "name": metadata.get("name"), "type": content.get("type")}
    if {**names, "keys": sorted(data)} != facts:
        told.append("the Secret inside is not the one that its own facts name")
    return told


def _is_base64(value: t.Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return False
    return True


def restore(api: KubernetesApi, item: Item, check_mode: bool) -> str:
    """Apply a Secret to a cluster from memory; return absent, different or same: what it was there before.

    Raises RecoveryError, with nothing of the Secret in it. In check mode the API validates and keeps nothing.
    """
    metadata = item.content["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/secrets/{metadata['name']}"
    before = _live(api, path)
    if before is not None and _equal(before, item.content):
        return "same"
    status, cause = 0, "it has more than what was backed up, which another owner keeps there"
    try:
        if _equal(api.apply(path, item.content, force=True, dry_run=check_mode), item.content):
            return "absent" if before is None else "different"
    except ApiError as error:
        status, cause = error.status, f"the API answered {error.status} {error.reason}"
    # Not raised inside the except clause: a traceback would show the API's answer beside it.
    remedy = _REMEDIES.get(status, "Ask that API's log.").format(metadata["namespace"])
    raise RecoveryError(failed("restore", f"{item.path} to {api.name}", cause, remedy))


def _live(api: KubernetesApi, path: str) -> Json | None:
    try:
        return _content(api.get(path))
    except NotFound:
        return None


def _equal(live: Json, wanted: Json) -> bool:
    """Compare type and data in constant time; labels and annotations that others added do not count."""
    kept = ("type", "data", "immutable")
    one, other = ({name: value.get(name) for name in kept} for value in (live, wanted))
    mine, theirs = live.get("metadata") or {}, wanted["metadata"]
    marks = all(
        (mine.get(name) or {}).items() >= (theirs.get(name) or {}).items() for name in ("labels", "annotations")
    )
    return hmac.compare_digest(canonical(one), canonical(other)) and marks
