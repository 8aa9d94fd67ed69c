# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Service of certificate_backup: TLS certificates with their keys, watched, backed up encrypted, proven, restored.

PRIVATE to the collection.
"""

from __future__ import annotations

import ssl
import typing as t
from pathlib import Path

from . import aws, needs
from .age_files import Recipients
from .certificates_examine import Wanted, days_left, problems_of, roots_of
from .certificates_sources import KINDS, examine, of_acm, of_cluster, of_files, pair_of, restore
from .clock import from_iso, utc_now
from .connections import aws_option, kubernetes_option, record_option
from .encrypted_backup import (
    chosen,
    empty_result,
    open_and_prove,
    require_sound,
    restored_result,
    result_of_proof,
    result_of_write,
)
from .encrypted_backup_directory import write
from .encrypted_backup_item import Item, Json
from .encrypted_backup_proof import Backup, Proof
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification
from .kubernetes_api import KubernetesApi

_TEXTS: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
_FILES: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "certificate": {"type": "path", "required": True},
    "chain": {"type": "path"},
    "key": {"type": "path", "required": True, "no_log": False},
    "hosts": _TEXTS,
}
_OPENED = ["directory", "identity_file"]

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["observed", "present", "proven", "restored"], "default": "observed"},
        "directory": {"type": "path"},
        "recipients": {**_TEXTS, "no_log": False},
        "identity_file": {"type": "path"},
        "files": {"type": "list", "elements": "dict", "default": [], "options": _FILES},
        "kubernetes": kubernetes_option(required=False),
        "namespaces": _TEXTS,
        "label_selector": {"type": "str", "default": ""},
        "aws": aws_option(),
        "acm_arns": _TEXTS,
        "ca_file": {"type": "path"},
        "verify_chain": {"type": "bool", "default": True},
        "minimum_days": {"type": "float", "default": 30.0},
        "destination": {"type": "path"},
        "only": _TEXTS,
        "record": record_option(),
    },
    required_if=[("state", "present", ["directory"]), ("state", "proven", _OPENED), ("state", "restored", _OPENED)],
    needs=needs.all_of(needs.kubernetes(), needs.given("ACM", needs.CONTROL, "aws"), needs.recorded()),
)


class Report:
    """Collects what is found of each certificate."""

    def __init__(self, params: Params) -> None:
        """Read the CA file, if the chain is asked about. Raises RecoveryError."""
        self.params = params
        path = params["ca_file"] or ssl.get_default_verify_paths().cafile
        roots = None
        if params["verify_chain"]:
            if not path:
                raise RecoveryError(failed("verify", "the chains", "this machine has no CA file", "Set ca_file."))
            roots = roots_of(path)
        self.wanted = Wanted(utc_now(), params["minimum_days"], roots)
        self.found: list[Json] = []
        self.problems: list[str] = []
        self.unverified: list[str] = []
        self._hosts = {f"files/{one['name']}": one["hosts"] for one in params["files"]}

    def add(self, item: Item) -> None:
        """Examine one certificate with its key."""
        told = problems_of(pair_of(item), self.wanted, self._hosts.get(item.path, ()))
        left = days_left(from_iso(item.facts["not_after"]), self.wanted.now)
        self.note({"path": item.path, **item.facts, "days_left": left, "renewal": "by hand"}, told)

    def note(self, facts: Json, told: list[str]) -> None:
        """Keep what was found of one."""
        self.found.append({**facts, "outcome": "failed" if told else "passed", "problems": told})
        self.problems += [f"{facts['path']}: {reason}" for reason in told]

    def fail(self, path: str, error: RecoveryError) -> None:
        """Keep that one could not be read: it is not there, or nobody knows."""
        absent = error.facts.get("missing") or error.facts.get("code") == "ResourceNotFoundException"
        (self.problems if absent else self.unverified).append(f"{path}: {error}")

    def into(self, result: Result) -> Result:
        """Add what was found to a result."""
        problems, unverified = result["problems"] + self.problems, result["unverified"] + self.unverified
        outcome = "failed" if problems else "unverified" if unverified else "passed"
        result.update(problems=problems, unverified=unverified, outcome=outcome, certificates=self.found)
        soonest = min((one["days_left"] for one in self.found if one["days_left"] is not None), default=None)
        result["days_left"] = soonest
        told = [{name: one[name] for name in _TOLD} for one in self.found]
        result["evidence"].update(outcome=outcome, problems=problems, certificates=told, days_left=soonest)
        return result


_TOLD = ("path", "subject", "serial", "not_after", "days_left", "fingerprint_sha256", "outcome")


def run(params: Params, check_mode: bool) -> Result:
    """Watch, back up, prove or restore, by `state`."""
    report = Report(params)
    if params["state"] == "observed":
        return _observed(params, report)
    directory = Path(params["directory"]).expanduser()
    if params["state"] == "present":
        recipients = Recipients(params["recipients"])
        done = write(directory, _noted(_items(params), report), recipients, KINDS, check_mode)
        return report.into(result_of_write(directory, done, recipients))
    backup, proof = open_and_prove(directory, params["identity_file"], examine)
    result = result_of_proof(directory, proof)
    if backup is not None:
        for entry in proof.entries:
            if entry.path in proof.sound:
                report.add(backup.item(entry))
    if params["state"] == "proven":
        return report.into(result)
    return _restored(backup, proof, params, report.into(result), check_mode)


def _observed(params: Params, report: Report) -> Result:
    """Look at every source by itself: one that cannot be read does not hide the others."""
    for one in params["files"]:
        try:
            report.add(of_files(one))
        except RecoveryError as error:
            report.fail(f"files/{one['name']}", error)
    try:
        for item in _of_cluster(params):
            report.add(item)
    except RecoveryError as error:
        report.fail("kubernetes", error)
    if params["acm_arns"]:
        client = aws.client("acm", params["aws"] or {}, attempts=3)
        for arn in params["acm_arns"]:
            try:
                report.note(*of_acm(client, arn, report.wanted))
            except RecoveryError as error:
                report.fail(arn, error)
    if not (report.found or report.problems or report.unverified):
        report.unverified.append("no certificate was named")
    return report.into(empty_result(Path(params["directory"] or ""), [], []))


def _items(params: Params) -> t.Iterator[Item]:
    if not (params["files"] or params["kubernetes"]):
        raise Refused(failed("read", "the certificates", "no source is named", "Set files or kubernetes."))
    for one in params["files"]:
        yield of_files(one)
    yield from _of_cluster(params)


def _of_cluster(params: Params) -> t.Iterator[Item]:
    if params["kubernetes"]:
        yield from of_cluster(KubernetesApi(params["kubernetes"]), params["namespaces"], params["label_selector"])


def _noted(items: t.Iterable[Item], report: Report) -> t.Iterator[Item]:
    for item in items:
        report.add(item)
        yield item


def _restored(backup: Backup | None, proof: Proof, params: Params, result: Result, check_mode: bool) -> Result:
    """Restore what is chosen and sound. A certificate that expired is restored, too: the outcome says so."""
    if backup is None:
        raise Refused(failed("restore", str(params["directory"]), "; ".join(result["problems"] + result["unverified"])))
    wanted = chosen(proof.entries, params["only"])
    require_sound(proof, wanted, **result)
    api = KubernetesApi(params["kubernetes"]) if params["kubernetes"] else None
    before: dict[str, str] = {}
    for entry in wanted:
        try:
            before[entry.path] = restore(backup.item(entry), api, params["destination"], check_mode)
        except RecoveryError as error:
            raise RecoveryError(str(error), **restored_result(result, before)) from None
    return restored_result(result, before)
