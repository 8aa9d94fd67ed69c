# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes, signs, verifies and compares checksum manifests of local trees and of prefixes in S3.

PRIVATE to the collection.
"""

from __future__ import annotations

import time

from . import needs
from .checksums_manifest import BadManifest, OtherTree
from .checksums_model import ALGORITHMS
from .checksums_paths import written
from .checksums_place import place_name
from .checksums_progress import Tell
from .checksums_report import FAILED, PASSED, UNVERIFIED, Report
from .checksums_task import Task
from .connections import record_option, store_option
from .errors import RecoveryError
from .execution import Params, Result, Specification
from .signatures import BadSignature

SPECIFICATION = Specification(
    argument_spec={
        "state": {"type": "str", "choices": ["created", "signed", "verified", "compared"], "required": True},
        "path": {"type": "path"},
        "store": store_option(),
        "prefix": {"type": "str", "default": ""},
        "versions": {"type": "str", "choices": ["current", "recorded"], "default": "current"},
        "manifest": {"type": "str", "required": True},
        "manifest_store": store_option(),
        "other_manifest": {"type": "str"},
        "other_manifest_store": store_option(),
        "algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": "sha256"},
        "subject": {"type": "dict", "default": {}},
        "facts": {"type": "dict", "default": {}},
        "replace": {"type": "bool", "default": False},
        "signing_key": {"type": "path", "no_log": False},  # the name of a file
        "public_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        "required": {"type": "bool", "default": True},
        "workers": {"type": "int"},
        "journal": {"type": "path"},
        "record": record_option(),
    },
    mutually_exclusive=[("path", "store")],
    required_if=[
        ("state", "created", ("path", "store"), True),
        ("state", "verified", ("path", "store"), True),
        ("state", "signed", ("signing_key",)),
        ("state", "compared", ("other_manifest",)),
    ],
    needs=needs.all_of(
        needs.store("store"), needs.store("manifest_store"), needs.store("other_manifest_store"), needs.recorded()
    ),
)

#: the manifest, not the tree, is what is wrong
_DEFECTS = (BadManifest, BadSignature, OtherTree)


def run(params: Params, check_mode: bool, tell: Tell | None = None) -> Result:
    """Do what `state` says. `tell` gets a line of progress every few seconds. Raises RecoveryError."""
    report = Report(params["state"], _named(params), place_name(params["manifest"], params.get("manifest_store")))
    judging = params["state"] in ("verified", "compared")
    started = time.monotonic()
    try:
        task = Task(params, check_mode, tell, report)
        {"created": task.create, "signed": task.sign, "verified": task.verify, "compared": task.compare}[report.state]()
    except RecoveryError as error:
        report.seconds = time.monotonic() - started
        report.problems = list(error.facts.get("problems", [str(error)]))
        report.outcome = (FAILED if isinstance(error, _DEFECTS) else UNVERIFIED) if judging else None
        if params["required"] or not judging:
            error.facts = report.result()
            raise
    report.seconds = time.monotonic() - started
    if judging and params["required"] and report.outcome != PASSED:
        raise RecoveryError(report.message(), **report.result())
    return report.result()


def _named(params: Params) -> str:
    """Return what the task is about, as messages name it."""
    if params["state"] == "compared":
        return f"manifest {place_name(params['other_manifest'], params.get('other_manifest_store'))}"
    if params.get("store"):
        store = params["store"]
        prefix = (store.get("prefix") or "") + params["prefix"]
        return f"prefix {prefix or '/'} in store {store['name']} (bucket {store['bucket']})"
    return f"tree {written(params['path'])}" if params.get("path") else "manifest"
