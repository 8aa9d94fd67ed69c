# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks a cluster whether it would take manifests, by server-side dry run; nothing is changed.

PRIVATE to the collection.
"""

from __future__ import annotations

import copy
import typing as t

from .errors import RecoveryError, Unreachable, failed
from .kubernetes_api import ApiError, Conflict, Json, KubernetesApi, NotFound
from .manifests_discovery import Discovery
from .manifests_entry import FAILED, PASSED, UNVERIFIED, Entry, verdict_of
from .manifests_model import NAMESPACE, SECRET, Identity, Kind
from .manifests_references import References, needed_by
from .workloads_preflight import each

_DEFINITION = Kind("CustomResourceDefinition", "apiextensions.k8s.io")
#: Kinds whose replicas a scaler may set.
_SCALED = ("Deployment.apps", "StatefulSet.apps")
#: How often an object is looked at again because somebody wrote in between.
TRIES = 5


class Checker:
    """Looks at all manifests of a task. With `keep` workloads that are there keep the replicas that they have."""

    def __init__(self, api: KubernetesApi, entries: t.Sequence[Entry], *, force: bool, keep: bool) -> None:
        self.api = api
        self.discovery = Discovery(api)
        self.force = force
        self._keep = keep
        self._entries = entries
        self._set = {entry.manifest.identity for entry in entries}

    def check(self, references: bool) -> None:
        """Give every manifest its verdict. Raises Unreachable when the API does not answer at all."""
        self.discovery.versions("apps")
        each(self._check, self._entries)
        if references:
            self._references()

    def _check(self, entry: Entry) -> None:
        try:
            if self.resolve(entry):
                self._dry_run(entry)
        except Unreachable as error:
            entry.note(UNVERIFIED, str(error))
        except RecoveryError as error:
            entry.note(verdict_of(error), explained(error))

    def resolve(self, entry: Entry) -> bool:
        """Find the collection that the object belongs to; False where there is none, which is told."""
        identity, version = entry.manifest.identity, entry.manifest.api_version
        if identity.kind == SECRET:
            entry.note(FAILED, "secrets are no part of manifests. Restore them from their own, encrypted backup.")
            return False
        entry.resource = self.discovery.exact(identity.kind, version)
        if entry.resource is None:
            self._not_served(entry)
            return False
        if entry.resource.namespaced != bool(identity.namespace):
            wrong = "it names no namespace" if entry.resource.namespaced else "its kind is in no namespace"
            entry.note(FAILED, f"{wrong}. Correct metadata.namespace.")
            return False
        return True

    def _not_served(self, entry: Entry) -> None:
        identity, version = entry.manifest.identity, entry.manifest.api_version
        other = self.discovery.preferred(identity.kind)
        if other is not None:
            remedy = f"Convert it to {other.api_version}, which the API serves."
            entry.note(FAILED, f"the API serves no {version} of {identity.kind}. {remedy}")
        elif self._defines(identity.kind):
            entry.looked = True
            entry.note(UNVERIFIED, "its custom resource definition is to be made first: only then can the API tell")
        else:
            remedy = "Install its custom resource definition there, and the controller that acts on it."
            entry.note(FAILED, f"the API {self.api.name} serves no {identity.kind}. {remedy}")

    def _defines(self, kind: Kind) -> bool:
        definitions = (one.manifest.raw for one in self._entries if one.manifest.identity.kind == _DEFINITION)
        specs = (one.get("spec") or {} for one in definitions)
        return any((one.get("group"), (one.get("names") or {}).get("kind")) == (kind.group, kind.name) for one in specs)

    def _dry_run(self, entry: Entry) -> None:
        look(self.api, entry)
        for attempt in range(TRIES):
            try:
                entry.after = self.api.apply(self.path(entry), self.body(entry), self.force, dry_run=True)
                break
            except NotFound as error:
                if error.details.get("kind") not in ("namespaces", "namespace"):
                    raise
                self._no_namespace(entry)
                return
            except Conflict as error:
                if attempt == TRIES - 1 or not passing(error, self.keeps(entry)):
                    raise
                look(self.api, entry)
        entry.note(PASSED)

    def _no_namespace(self, entry: Entry) -> None:
        namespace = entry.manifest.identity.namespace
        if Identity(NAMESPACE, "", namespace) in self._set:
            entry.note(UNVERIFIED, f"namespace {namespace} is to be made first: only then can the API tell")
        else:
            entry.note(FAILED, f"there is no namespace {namespace}. Create it, or add its manifest.")

    def path(self, entry: Entry) -> str:
        """API path of the object."""
        if entry.resource is None:
            cause = f"the API {self.api.name} does not serve its kind"
            raise RecoveryError(failed("apply", str(entry.manifest.identity), cause))
        return entry.resource.path(entry.manifest.identity)

    def body(self, entry: Entry) -> Json:
        """What is applied: the manifest, with the replicas that a workload has already where those are kept."""
        body = copy.deepcopy(entry.manifest.raw)
        has = (entry.before or {}).get("spec", {}).get("replicas")
        if not self.keeps(entry) or has is None or has == body["spec"]["replicas"]:
            return body
        told = f"it keeps {has} replicas; its manifest has {body['spec']['replicas']}"
        entry.warnings = [f"{entry.manifest.identity}: {told}"]
        body["spec"]["replicas"] = has
        return body

    def keeps(self, entry: Entry) -> bool:
        """Whether the object keeps the replicas that it has."""
        identity = entry.manifest.identity
        has = "replicas" in (entry.manifest.raw.get("spec") or {})
        return self._keep and has and str(identity.kind) in _SCALED

    def _references(self) -> None:
        """A missing thing fails its workload, unless a custom resource among the manifests may stand for its maker."""
        known = References(self.api)
        custom = any("." in one.kind.group and not one.kind.group.endswith(".k8s.io") for one in self._set)
        needs = [(entry, one) for entry in self._entries for one in sorted(needed_by(entry.manifest) - self._set)]
        wanted = sorted({one for _entry, one in needs})
        try:
            there = dict(zip(wanted, each(known.exists, wanted), strict=True))
        except RecoveryError as error:
            for entry, one in needs:
                entry.note(UNVERIFIED, f"cannot tell whether there is {one}: {error}")
            return
        for entry, one in needs:
            if there[one] is None:
                entry.note(UNVERIFIED, f"cannot tell whether there is {one}: the credentials may not read it")
            elif not there[one] and custom:
                entry.note(UNVERIFIED, f"there is no {one}, unless a custom resource's controller makes it")
            elif not there[one]:
                entry.note(FAILED, f"there is no {one}, which its pods need. Restore it first.")


def look(api: KubernetesApi, entry: Entry) -> None:
    """Read the object as it is now."""
    resource = entry.resource
    try:
        entry.before = api.get(resource.path(entry.manifest.identity)) if resource else None
    except NotFound:
        entry.before = None
    entry.looked = True


def passing(error: ApiError, kept: bool) -> bool:
    """Whether a conflict may be over after another look: no other manager's field, or replicas that are kept."""
    fields = [one.get("field") for one in error.details.get("causes") or [] if _is_field(one)]
    return not fields or (kept and fields == [".spec.replicas"])


def explained(error: RecoveryError) -> str:
    """Return an error's text; with the remedy where other managers own what a manifest sets."""
    if not isinstance(error, Conflict) or passing(error, False):
        return str(error)
    remedy = "Make the manifest agree, by an override for example, or take the fields over with force_conflicts."
    return f"{' '.join(str(error).split())} {remedy}"


def _is_field(cause: t.Mapping[str, t.Any]) -> bool:
    return cause.get("reason") == "FieldManagerConflict"
