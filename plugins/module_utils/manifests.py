# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kubernetes manifests of a service: exported to a directory, validated against a cluster, applied to one.

PRIVATE to the collection.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from . import needs
from .clock import to_iso, utc_now
from .connections import kubernetes_option, record_option
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification
from .kubernetes_api import KubernetesApi
from .manifests_apply import apply
from .manifests_check import Checker
from .manifests_directory import Directory, changes, put_in_place, require_own, staged, write_index
from .manifests_entry import FAILED, Entry
from .manifests_export import Export, Selection, Tell
from .manifests_model import DEFAULT_KINDS, SECRET, Kind, in_order
from .manifests_override import OVERRIDE_SPEC, override
from .manifests_report import Report
from .manifests_rollout import Rollout

SPECIFICATION = Specification(
    argument_spec={
        "kubernetes": kubernetes_option(),
        "state": {"type": "str", "choices": ["exported", "validated", "applied"], "default": "validated"},
        "directory": {"type": "path", "required": True},
        "namespaces": {"type": "list", "elements": "str", "default": []},
        "selector": {"type": "str", "default": ""},
        "kinds": {"type": "list", "elements": "str", "default": list(DEFAULT_KINDS)},
        "page": {"type": "int", "default": 250},
        "overrides": {"type": "list", "elements": "dict", "options": OVERRIDE_SPEC, "default": []},
        "existing_replicas": {"type": "str", "choices": ["kept", "applied"], "default": "kept"},
        "force_conflicts": {"type": "bool", "default": False},
        "check_references": {"type": "bool", "default": True},
        "required": {"type": "bool", "default": True},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "float", "default": 300.0},
        "log": {"type": "path"},
        "record": record_option(),
    },
    needs=needs.all_of(needs.kubernetes(), needs.recorded()),
)


def run(params: Params, check_mode: bool) -> Result:
    """Do what `state` says. Raises RecoveryError with the whole result where the outcome may not stand."""
    directory = Path(os.path.abspath(params["directory"]))
    api = KubernetesApi(params["kubernetes"])
    report = Report(api.name, str(directory))
    act = {"exported": _exported, "validated": _validated, "applied": _applied}[params["state"]]
    try:
        act(params, api, directory, report, check_mode)
    except RecoveryError as error:
        if not report.problems and not report.unverified and not isinstance(error, Refused):
            report.unverified_of_files = [str(error)]
        error.facts.update(report.as_dict())
        raise
    result = report.as_dict()
    if params["required"] and params["state"] != "applied" and result["outcome"] != "passed":
        told = "; ".join([*report.problems, *report.unverified])
        verb = {"exported": "export", "validated": "validate"}[params["state"]]
        raise RecoveryError(f"Failed to {verb} manifests, the outcome is {result['outcome']}: {told}", **result)
    return result


def _exported(params: Params, api: KubernetesApi, directory: Path, report: Report, check_mode: bool) -> None:
    selection = _selection(params)
    require_own(directory)
    with staged(directory) as stage:
        export = Export(api, selection, stage, _teller(params, check_mode))
        report.take(export.found)
        try:
            export.run()
        except RecoveryError as error:
            export.found.unverified.append(str(error))
            raise
        index = {
            "version": 1,
            "kinds": [str(kind) for kind in selection.kinds],
            "namespaces": list(selection.namespaces),
            "selector": selection.selector,
            "counts": dict(export.found.counts),
            "files": sorted(export.found.files),
            "unverified": [one.split(": ")[0] for one in export.found.unverified],
        }
        write_index(stage, index)
        report.files = changes(stage, directory)
        if check_mode or report.problems:
            return
        if report.files:
            put_in_place(stage, directory)
        report.stands = True


def _selection(params: Params) -> Selection:
    kinds = tuple(sorted({Kind.parse(one) for one in params["kinds"]}, key=lambda kind: (kind.rank, kind)))
    namespaces = tuple(sorted(set(params["namespaces"])))
    if not namespaces and not params["selector"]:
        remedy = "Set namespaces, or selector, or both."
        raise Refused(failed("export", "manifests", "neither namespaces nor a selector says which", remedy))
    if SECRET in kinds:
        remedy = "Leave Secret out: the backup of secrets encrypts them."
        raise Refused(failed("export", "manifests", "secrets are never exported in clear", remedy))
    if not kinds:
        raise Refused(failed("export", "manifests", "kinds is empty", "Name at least one."))
    if params["page"] < 1:
        raise Refused(failed("export", "manifests", f"page cannot be {params['page']}", "Use one or more."))
    return Selection(namespaces, params["selector"], kinds, params["page"])


def _validated(params: Params, api: KubernetesApi, directory: Path, report: Report, check_mode: bool) -> None:
    """Look only; `check_mode` makes no difference to the cluster."""
    _checked(params, api, directory, report, check_mode)


def _applied(params: Params, api: KubernetesApi, directory: Path, report: Report, check_mode: bool) -> None:
    checker = _checked(params, api, directory, report, check_mode)
    report.effect = True
    refused = [*report.problems]
    if refused:
        raise Refused(f"Failed to apply manifests: {'; '.join(refused)} Nothing was changed.")
    if check_mode:
        return
    tell = _teller(params, check_mode)
    report.acts = True
    apply(checker, report.entries, tell)
    if params["wait"]:
        rollout = Rollout(api, report.entries)
        report.rollout = rollout
        tell(f"waiting for {len(rollout.goals)} workloads")
        rollout.run(params["wait_timeout"])
        tell(f"{len(rollout.goals)} workloads are ready")


def _checked(params: Params, api: KubernetesApi, directory: Path, report: Report, check_mode: bool) -> Checker:
    """Read, override and dry-run everything; the report has a verdict of each."""
    read = Directory(directory)
    report.problems_of_files = read.problems
    report.unverified_of_files = read.unverified
    manifests = in_order(override(read.manifests, params["overrides"]))
    report.entries = [Entry(one) for one in manifests]
    keep = params["existing_replicas"] == "kept"
    checker = Checker(api, report.entries, force=params["force_conflicts"], keep=keep)
    checker.check(params["check_references"])
    counts = Counter(entry.outcome for entry in report.entries)
    failures = f", {counts[FAILED]} failed" if counts[FAILED] else ""
    _teller(params, check_mode)(f"{len(report.entries)} manifests asked of the API in a dry run{failures}")
    return checker


def _teller(params: Params, check_mode: bool) -> Tell:
    """Return what appends a line of progress to the file that is named; to nowhere without one, and in check mode."""
    path = None if check_mode or not params.get("log") else Path(params["log"])

    def tell(line: str) -> None:
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{to_iso(utc_now())} {line}\n")
        except OSError as error:
            raise RecoveryError(failed("write", f"log {path}", error, "Make room, or leave log out.")) from error

    return tell


__all__ = ["SPECIFICATION", "run"]
