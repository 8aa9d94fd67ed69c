# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The four things that are done with a manifest: create, sign, verify, compare.

PRIVATE to the collection.
"""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

from .checksums import Examined, examine_tree, require_whole
from .checksums_compare import CHANGED, EXTRA, Difference, compare_sums
from .checksums_journal import Journal, about
from .checksums_manifest import Manifest
from .checksums_model import LINK, NAME, SPECIAL, VANISHED
from .checksums_paths import to_bytes
from .checksums_place import LocalPlace, Place, StorePlace, place_of
from .checksums_progress import Tell
from .checksums_report import Report
from .checksums_s3 import Prefix, examine_prefix, examine_versions
from .errors import RecoveryError, Refused, failed
from .execution import Params
from .signatures import BadSignature, sign, signer, verify

#: what is in a tree that no manifest can list: it is a difference, not something that could not be looked at
_FOREIGN = (LINK, SPECIAL, NAME)
#: that many changed files are in the diff
_SHOWN = 1000


class Task:
    """One task of the module: `report` is told all that is found, and holds it when something is raised."""

    def __init__(self, params: Params, check_mode: bool, tell: Tell | None, report: Report) -> None:
        self.params = params
        self.check_mode = check_mode
        self.tell = tell
        self.report = report
        self.place, self.signature = place_of(params["manifest"], params.get("manifest_store"))
        self.store = Prefix(params["store"], params["prefix"]) if params.get("store") else None
        self.root = Path(params["path"]) if params.get("path") else None

    def create(self) -> None:
        """Hash the tree and write its manifest, unless one is there that says the same."""
        body, params = self.place.read(), self.params
        present = Manifest.parse(body, f"manifest {self.place}") if body is not None else None
        if present and body and present.subject != params["subject"]:
            self.report.use(present, body)
            raise Refused(
                failed(
                    "replace", f"manifest {self.place}", f"it is for another tree: {present.subject}", "Name another."
                )
            )
        with self._journal("create", params["algorithm"]) as journal:
            examined = self._examine(params["algorithm"], journal)
            require_whole(self.report.what, examined.problems)
            if not examined.files:
                raise Refused(failed("make a manifest of", self.report.what, "it has no file", "Is it the right one?"))
            fresh = Manifest(params["subject"], params["facts"], examined.files, params["algorithm"])
            new_body = fresh.to_bytes()
            is_new = self._is_new(present, fresh)
            self.report.use(*((fresh, new_body) if is_new or not present or not body else (present, body)))
            self._write(is_new)
            self._show(present)
            self._finish(journal)

    def sign(self) -> None:
        """Sign the manifest that is there, unless this key did."""
        body, manifest = self._read(self.place, self.report.place)
        self.report.use(manifest, body)
        manifest.require_subject(self.params["subject"], f"manifest {self.place}")
        self._write(False)
        self._show(manifest)

    def verify(self) -> None:
        """Compare the tree with its manifest, after the manifest's own signature."""
        manifest = self._trusted(self.place, self.signature, self.report.place)
        with self._journal("verify", manifest.algorithm) as journal:
            examined = self._examine(manifest.algorithm, journal, manifest)
            self._judge(manifest, examined)
            self._finish(journal)

    def compare(self) -> None:
        """Compare what two manifests list."""
        other, signature = place_of(self.params["other_manifest"], self.params.get("other_manifest_store"))
        first = self._trusted(self.place, self.signature, self.report.place)
        body, signed_by = self.report.body, self.report.signed_by
        second = self._trusted(other, signature, str(other))
        self.report.use(first, body or b"")
        self.report.signed_by = signed_by
        if first.algorithm != second.algorithm:
            cause = f"one has {first.algorithm}, the other {second.algorithm}"
            remedy = "Make one of them anew by the other's algorithm."
            raise RecoveryError(failed("compare", f"{self.place} with {other}", cause, remedy))
        self.report.differences = compare_sums(first.files, second.files)
        self.report.conclude()

    def _read(self, place: Place, name: str) -> tuple[bytes, Manifest]:
        body = place.read()
        if body is None:
            cause = "there is no such manifest"
            raise RecoveryError(failed("read", f"manifest {name}", cause, "Name one, or create it."))
        return body, Manifest.parse(body, f"manifest {name}")

    def _trusted(self, place: Place, signature: Place, name: str) -> Manifest:
        """Return a manifest whose signature, if keys are given, is that of one of them, and which is for this tree."""
        keys, body = self.params["public_keys"], place.read()
        if keys and body is not None:
            made = signature.read()
            if made is None:
                cause = "it has no signature, and public_keys asks for one"
                raise BadSignature(failed("trust", f"manifest {name}", cause, "Sign it, or find who removed it."))
            try:
                self.report.signed_by = verify(body, made, keys)
            except BadSignature as error:
                raise BadSignature(failed("trust", f"manifest {name}", error)) from error
        body, manifest = self._read(place, name)
        self.report.use(manifest, body)
        manifest.require_subject(self.params["subject"], f"manifest {name}")
        return manifest

    def _examine(self, algorithm: str, journal: Journal | None, manifest: Manifest | None = None) -> Examined:
        """Hash what is there, or what the manifest says was there."""
        workers, versions = self.params.get("workers"), self.params["versions"]
        if self.store is None:
            examined = examine_tree(self.root or Path(), algorithm, workers, self.tell, journal, self._own_files())
        elif manifest and versions == "recorded":
            examined = examine_versions(self.store, manifest.files, algorithm, workers, self.tell, journal)
        else:
            own = [one.address for one in (self.place, self.signature) if isinstance(one, StorePlace)]
            examined = examine_prefix(self.store, algorithm, workers, self.tell, journal, own)
        self.report.hashed_bytes, self.report.kept_files = examined.hashed_bytes, examined.kept_files
        return examined

    def _judge(self, manifest: Manifest, examined: Examined) -> None:
        """Say how the tree differs, and what could not be looked at."""
        listed = {one.path: one for one in manifest.files}
        foreign = {one.path: one for one in examined.problems if one.kind in _FOREIGN}
        unseen = [one for one in examined.problems if one.kind not in (*_FOREIGN, VANISHED)]
        hidden, directories = {one.path for one in unseen}, [one for one in unseen if one.directory]
        expected = [
            one
            for path, one in listed.items()
            if path not in hidden and path not in foreign and not any(each.covers(path) for each in directories)
        ]
        differences = compare_sums(expected, examined.files)
        differences += [
            Difference(CHANGED if path in listed else EXTRA, path, listed.get(path), None) for path in foreign
        ]
        self.report.differences = sorted(differences, key=lambda one: to_bytes(one.path))
        self.report.notes += sorted(str(one) for one in examined.problems if one not in unseen)
        self.report.problems = sorted(str(one) for one in unseen)
        self.report.conclude()

    def _is_new(self, present: Manifest | None, fresh: Manifest) -> bool:
        """Return whether the manifest is to be written. Raises Refused where that would hide how the tree changed."""
        if present is None:
            return True
        if present.algorithm == fresh.algorithm:
            self.report.differences = compare_sums(present.files, fresh.files)
            if not self.report.differences and not self.params["replace"]:
                return False
            if not self.report.differences and (present.files, present.facts) == (fresh.files, fresh.facts):
                return False
        if self.params["replace"]:
            return True
        reasons = self.report.reasons()
        cause = f"the tree is not as it says: {reasons[0]}" if reasons else f"it is made by {present.algorithm}"
        cause += f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        remedy = "Find out why; set replace when that is meant."
        raise Refused(failed("replace", f"manifest {self.place}", cause, remedy))

    def _write(self, is_new: bool) -> None:
        """Write signature and manifest, the manifest last: whoever sees it sees the signature that belongs to it."""
        report, key = self.report, self.params.get("signing_key")
        body, present = report.body or b"", self.signature.read()
        wanted = sign(body, key) if key else None
        stale = is_new and wanted is None and present is not None
        report.signed_by = signer(key) if key else None
        report.changed = is_new or stale or (wanted is not None and wanted != present)
        report.before["signed"], report.after["signed"] = (
            present is not None,
            wanted is not None or (present is not None and not is_new),
        )
        if self.check_mode:
            return
        if stale:
            self.signature.remove()
        elif wanted is not None and wanted != present:
            self.signature.write(wanted)
        if is_new:
            self.place.write(body)

    def _show(self, present: Manifest | None) -> None:
        """Fill the diff; what is predicted has no digest, because its time of creation is not known."""
        now, shown = self.report.manifest, self.report.differences[:_SHOWN]
        for into, manifest, side in ((self.report.before, present, "expected"), (self.report.after, now, "found")):
            if manifest:
                into.update(count=len(manifest.files), bytes=manifest.total_bytes, algorithm=manifest.algorithm)
            into["files"] = [one for one in (each.as_dict()[side] for each in shown) if one]
        if self.check_mode and self.report.changed and present is not now:
            self.report.body = None

    def _own_files(self) -> list[Path]:
        """Return the files of this task that may lie in the tree."""
        local = [one for one in (self.place, self.signature) if isinstance(one, LocalPlace)]
        journal = self._journal_path()
        return [
            *(one.path for one in local),
            *(path for one in local for path in one.leftovers()),
            *filter(None, [journal]),
        ]

    def _journal_path(self) -> Path | None:
        if self.params.get("journal"):
            return Path(self.params["journal"])
        return Path(f"{self.place.path}.journal") if isinstance(self.place, LocalPlace) else None

    @contextlib.contextmanager
    def _journal(self, purpose: str, algorithm: str) -> t.Iterator[Journal | None]:
        """Open the journal, if there is to be one. One that was not asked for does not stop a verification."""
        path = self._journal_path()
        with contextlib.ExitStack() as stack:
            journal = None
            if path is not None and not self.check_mode:
                try:
                    journal = stack.enter_context(Journal(path, about(purpose, self.report.what, algorithm)))
                except RecoveryError as error:
                    if self.params.get("journal") or purpose == "create":
                        raise
                    self.report.notes.append(f"An interrupted run would begin anew: {error}")
            yield journal

    def _finish(self, journal: Journal | None) -> None:
        if journal:
            self.report.notes += [journal.trouble] if journal.trouble else []
            journal.finish()
