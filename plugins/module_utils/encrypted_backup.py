# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service of secrets_backup: secrets of Kubernetes and AWS as files that only their recipients can read.

PRIVATE to the collection.
"""

from __future__ import annotations

import fnmatch
import itertools
import typing as t
from pathlib import Path

from . import encrypted_backup_aws as of_aws
from . import encrypted_backup_kubernetes as of_kubernetes
from . import needs
from .age_files import Identities, Recipients
from .connections import aws_option, kubernetes_option, record_option
from .encrypted_backup_directory import Written, write
from .encrypted_backup_index import Entry, Index
from .encrypted_backup_item import Item
from .encrypted_backup_proof import Backup, Proof
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification
from .kubernetes_api import KubernetesApi

_TEXTS: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["present", "proven", "restored"], "default": "present"},
        "directory": {"type": "path", "required": True},
        "recipients": {**_TEXTS, "no_log": False},
        "identity_file": {"type": "path"},
        "kubernetes": kubernetes_option(required=False),
        "namespaces": _TEXTS,
        "label_selector": {"type": "str", "default": ""},
        "types": _TEXTS,
        "excluded_types": {**_TEXTS, "default": ["bootstrap.kubernetes.io/token"]},
        "aws": aws_option(),
        "secretsmanager_prefixes": {**_TEXTS, "no_log": False},
        "ssm_paths": _TEXTS,
        "compare_live": {"type": "bool", "default": False},
        "only": _TEXTS,
        "record": record_option(),
    },
    required_if=[("state", "proven", ["identity_file"]), ("state", "restored", ["identity_file"])],
    needs=needs.all_of(needs.kubernetes(), needs.given("Secrets Manager, SSM", needs.CONTROL, "aws"), needs.recorded()),
)

_EXAMINE: dict[str, t.Callable[[Item], list[str]]] = {
    of_kubernetes.KIND: of_kubernetes.examine,
    of_aws.SECRETS_MANAGER: of_aws.examine,
    of_aws.SSM: of_aws.examine,
}


def run(params: Params, check_mode: bool) -> Result:
    """Back up, prove or restore, by `state`."""
    directory = Path(params["directory"]).expanduser()
    if params["state"] == "present":
        recipients = Recipients(params["recipients"])
        done = write(directory, itertools.chain.from_iterable(_live(params)), recipients, _EXAMINE, check_mode)
        return result_of_write(directory, done, recipients)
    if params["state"] == "proven":
        return result_of_proof(directory, _proven(directory, params))
    return _restored(directory, params, check_mode)


def result_of_write(directory: Path, done: Written, recipients: Recipients) -> Result:
    """Return the values of state present; nothing was decrypted, so nothing is proven."""
    result = empty_result(directory, done.entries, recipients.names)
    before = sorted([*done.updated, *done.unchanged, *done.removed])
    after = sorted(entry.path for entry in done.entries)
    result.update(changed=done.changed, added=done.added, updated=done.updated, removed=done.removed)
    result["unverified"] = ["not proven: nothing was decrypted"]
    result["diff"] = {"before": {"items": before}, "after": {"items": after, "written": done.added + done.updated}}
    if not done.changed:
        result["diff"]["after"] = result["diff"]["before"]
    return result


def result_of_proof(directory: Path, proof: Proof) -> Result:
    """Return the values of state proven."""
    index = None
    try:
        index = Index.read(directory)
    except RecoveryError as error:
        proof.problems = proof.problems or [str(error)]
    result = empty_result(directory, proof.entries, index.recipients if index else [])
    result.update(outcome=proof.outcome, problems=proof.problems, unverified=proof.unverified)
    result["evidence"].update(outcome=proof.outcome, sound=len(proof.sound), problems=proof.problems)
    return result


def open_and_prove(
    directory: Path, identity_file: str, examine: t.Callable[[Item], list[str]]
) -> tuple[Backup | None, Proof]:
    """Open a backup and prove it. Without a usable identity nothing is proven; without an index it has failed."""
    proof = Proof()
    try:
        identities = Identities(identity_file)
    except RecoveryError as error:
        proof.unverified.append(str(error))
        return None, proof
    try:
        backup = Backup.open(directory, identities, examine)
    except RecoveryError as error:
        proof.problems.append(str(error))
        return None, proof
    return backup, backup.prove()


def chosen(entries: list[Entry], patterns: list[str]) -> list[Entry]:
    """Return the entries that match one of the patterns, or all. Raises Refused where a pattern matches none."""
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(entry.path, pattern) for entry in entries):
            raise Refused(failed("restore", pattern, "the backup has nothing of that name", "Correct only."))
    return [entry for entry in entries if not patterns or any(fnmatch.fnmatchcase(entry.path, one) for one in patterns)]


def require_sound(proof: Proof, wanted: list[Entry], **facts: t.Any) -> None:
    """Raise Refused unless everything that is to be restored is proven; what else is broken does not hold it up."""
    unsound = [entry.path for entry in wanted if entry.path not in proof.sound]
    if unsound or not wanted:
        reasons = "; ".join(proof.problems + proof.unverified)
        what = ", ".join(unsound) or "the backup"
        raise Refused(failed("restore", what, reasons or "nothing is there", "Take another recovery point."), **facts)


def _live(params: Params) -> t.Iterator[t.Iterator[Item]]:
    """Yield each source that is asked for. Raises Refused where there is none."""
    if params["kubernetes"]:
        yield of_kubernetes.read(KubernetesApi(params["kubernetes"]), _wanted(params))
    if params["secretsmanager_prefixes"]:
        yield of_aws.read_secrets(params["aws"] or {}, params["secretsmanager_prefixes"])
    if params["ssm_paths"]:
        yield of_aws.read_parameters(params["aws"] or {}, params["ssm_paths"])
    if not (params["kubernetes"] or params["secretsmanager_prefixes"] or params["ssm_paths"]):
        remedy = "Set kubernetes, secretsmanager_prefixes or ssm_paths."
        raise Refused(failed("read", "the secrets", "no source is named", remedy))


def _wanted(params: Params) -> of_kubernetes.Wanted:
    return of_kubernetes.Wanted(
        params["namespaces"], params["label_selector"], params["types"], params["excluded_types"]
    )


def _examine(item: Item) -> list[str]:
    known = _EXAMINE.get(item.kind)
    return known(item) if known else [f"its kind {item.kind} is none that secrets_backup knows"]


def _proven(directory: Path, params: Params) -> Proof:
    backup, proof = open_and_prove(directory, params["identity_file"], _examine)
    if backup is not None and params["compare_live"]:
        try:
            kinds = _kinds(params)
            live = itertools.chain.from_iterable(_live(params))
            backup.compare(live, proof, lambda entry: entry.kind in kinds)
        except RecoveryError as error:
            proof.unverified.append(f"not compared with what is live: {error}")
    return proof


def _kinds(params: Params) -> set[str]:
    sources = {
        of_kubernetes.KIND: params["kubernetes"],
        of_aws.SECRETS_MANAGER: params["secretsmanager_prefixes"],
        of_aws.SSM: params["ssm_paths"],
    }
    return {kind for kind, source in sources.items() if source}


def _restored(directory: Path, params: Params, check_mode: bool) -> Result:
    """Restore what is chosen: first all of it is proven, then each is decrypted again and sent."""
    backup, proof = open_and_prove(directory, params["identity_file"], _examine)
    result = result_of_proof(directory, proof)
    if backup is None:
        raise Refused(failed("restore", str(directory), "; ".join(proof.problems + proof.unverified)), **result)
    wanted = chosen(proof.entries, params["only"])
    require_sound(proof, wanted, **result)
    api = KubernetesApi(params["kubernetes"]) if params["kubernetes"] else None
    before: dict[str, str] = {}
    for entry in wanted:
        try:
            before[entry.path] = _restore(backup, entry, api, params, check_mode)
        except RecoveryError as error:
            raise RecoveryError(str(error), **restored_result(result, before)) from None
    return restored_result(result, before)


def _restore(backup: Backup, entry: Entry, api: KubernetesApi | None, params: Params, check_mode: bool) -> str:
    if entry.kind != of_kubernetes.KIND:
        return of_aws.restore(params["aws"] or {}, backup.item(entry), check_mode)
    if api is None:
        raise Refused(failed("restore", entry.path, "no cluster is named", "Set kubernetes, or narrow only."))
    return of_kubernetes.restore(api, backup.item(entry), check_mode)


def restored_result(result: Result, before: dict[str, str]) -> Result:
    """Return the values of state restored. `before` says by path what was there: absent, different or same."""
    added = [path for path, was in before.items() if was == "absent"]
    updated = [path for path, was in before.items() if was == "different"]
    diff = {"before": before, "after": dict.fromkeys(before, "same")}
    return {**result, "changed": bool(added or updated), "added": added, "updated": updated, "diff": diff}


def empty_result(directory: Path, entries: list[Entry], recipients: list[str]) -> Result:
    """Return every key of the result, with what holds where nothing was done."""
    return {
        "changed": False,
        "directory": str(directory),
        "outcome": "unverified",
        "problems": [],
        "unverified": [],
        "recipients": recipients,
        "items": [{"path": one.path, "kind": one.kind, **one.facts, "bytes": one.size} for one in entries],
        "added": [],
        "updated": [],
        "removed": [],
        "diff": {"before": {}, "after": {}},
        "evidence": {"items": len(entries), "recipients": recipients},
    }
