# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workloads of a Kubernetes cluster: scale, restart, go back to other images, wait, inspect; many at once.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t

from . import needs
from .clock import Wait
from .connections import kubernetes_option, record_option
from .errors import RecoveryError, Refused, failed
from .execution import Params, Result, Specification
from .kubernetes_api import KubernetesApi
from .workloads_change import Order, carry_out, parse_moment, validate
from .workloads_model import Key, Wanted
from .workloads_preflight import each, look
from .workloads_report import Entry, outcome_of, problems_of, result_of
from .workloads_wait import Goal, Waiting

_WORKLOAD = {
    "namespace": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["Deployment", "StatefulSet"], "default": "Deployment"},
    "replicas": {"type": "int"},
    "minimum_ready": {"type": "int"},
    "images": {"type": "dict", "default": {}},
    "secrets": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "configmaps": {"type": "list", "elements": "str", "default": []},
}

_REGISTRY = {
    "docker_config": {"type": "path"},
    "insecure": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 5.0},
}


def _registries(options: t.Mapping[str, t.Any]) -> list[needs.Need]:
    """Declare the registries of the images that are asked for; those of the pods are the catalogue's."""
    images = {image for one in options["workloads"] for image in (one.get("images") or {}).values()}
    return [needs.Need("registry", needs.DATA, "workloads.images", image) for image in sorted(images)]


SPECIFICATION = Specification(
    argument_spec={
        "kubernetes": kubernetes_option(),
        "workloads": {"type": "list", "elements": "dict", "required": True, "options": _WORKLOAD},
        "state": {
            "type": "str",
            "choices": ["scaled", "restarted", "rolled_back", "ready", "inspected"],
            "default": "scaled",
        },
        "allow_scale_down": {"type": "bool", "default": False},
        "restarted_since": {"type": "str"},
        "check_images": {"type": "bool", "default": False},
        "registry": {"type": "dict", "options": _REGISTRY, "default": {"insecure": [], "timeout": 5.0}},
        "check_capacity": {"type": "bool", "default": False},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "float", "default": 120.0},
        "record": record_option(),
    },
    needs=needs.all_of(needs.kubernetes(), _registries, needs.recorded()),
)


def run(params: Params, check_mode: bool) -> Result:
    """Do what `state` says to all workloads, all at once. Nothing is changed unless all of them can be."""
    wanted = _parse(params)
    order = Order(
        state=params["state"],
        allow_scale_down=params["allow_scale_down"],
        restarted_since=params.get("restarted_since"),
        dry_run=check_mode,
    )
    api = KubernetesApi(params["kubernetes"])
    entries = [Entry(one) for one in look(api, wanted, order, params)]
    if order.state == "inspected":
        return _inspected(api, entries, order)
    result = Outcome(api, entries)
    _refuse(result)
    result.act(order)
    if params["wait"] and not check_mode:
        result.wait(params["wait_timeout"], order)
    return result.facts()


class Outcome:
    """A task under way: what has been changed and awaited so far is told with every error."""

    def __init__(self, api: KubernetesApi, entries: t.Sequence[Entry]) -> None:
        self._api = api
        self.entries = entries
        self._waits: list[dict[str, t.Any]] = []
        self._observed = False

    def facts(self) -> Result:
        """Return the result as far as it is known."""
        return result_of(self._api.name, self.entries, self._waits, self._observed)

    def act(self, order: Order) -> None:
        """Change all workloads; what one refuses does not hold up the others, and is raised in the end."""
        for entry in self.entries:
            validate(entry.look.wanted, entry.look.present, order)

        def one(entry: Entry) -> None:
            try:
                entry.change = carry_out(self._api, entry.look.wanted, entry.look.present, order)
            except RecoveryError as error:
                entry.problems = [str(error)]

        each(one, self.entries)
        refused = [problem for entry in self.entries for problem in entry.problems]
        if refused:
            raise RecoveryError(" ".join(refused), **self.facts())

    def wait(self, timeout: float, order: Order) -> None:
        """Wait until all workloads are as asked for."""
        goals = [_goal(entry, order) for entry in self.entries]
        wait = Wait("pods_ready")
        try:
            with wait:
                Waiting(self._api, goals, timeout).run()
            self._observed = True
        except RecoveryError as error:
            self._note(goals, wait)
            error.facts.update(self.facts())
            raise
        self._note(goals, wait)

    def _note(self, goals: t.Sequence[Goal], wait: Wait) -> None:
        self._waits = [wait.as_dict()]
        for entry, goal in zip(self.entries, goals, strict=True):
            entry.ready, entry.seconds, entry.problems = goal.ready, goal.seconds, goal.problems
            if goal.seconds is None and not goal.problems:
                entry.problems = [goal.missing]


def _parse(params: Params) -> list[Wanted]:
    wanted = [_wanted(raw, params["state"]) for raw in params["workloads"]]
    if not wanted:
        raise Refused(failed("read", "workloads", "none is listed, so nothing can be ready", "List at least one."))
    keys = [one.key for one in wanted]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise Refused(failed("read", f"workloads {', '.join(twice)}", "listed more than once"))
    if params.get("restarted_since"):
        parse_moment(params["restarted_since"])
    return wanted


def _wanted(raw: t.Mapping[str, t.Any], state: str) -> Wanted:
    key = Key(raw["namespace"], raw["kind"], raw["name"])
    images = {str(name): str(image) for name, image in (raw.get("images") or {}).items()}

    def refuse(cause: str, remedy: str) -> t.NoReturn:
        raise Refused(failed("read", str(key), cause, remedy))

    if state == "scaled" and raw.get("replicas") is None:
        refuse("state scaled needs replicas", "Set replicas.")
    if state == "rolled_back" and not images:
        refuse("state rolled_back needs images", "Set images to {container: repository@sha256:digest}.")
    if images and state not in ("rolled_back", "inspected"):
        refuse(f"state {state} changes no images", "Use state rolled_back, or leave images out.")
    tags = [image for image in images.values() if "@sha256:" not in image]
    if tags and state == "rolled_back":
        refuse(f"image {tags[0]} names no digest, and a tag may move", "Name it as repository@sha256:digest.")
    for option in ("replicas", "minimum_ready"):
        if (raw.get(option) or 0) < 0:
            refuse(f"{option} cannot be {raw[option]}", "Use zero or more.")
    return Wanted(
        key=key,
        replicas=raw.get("replicas"),
        minimum_ready=raw.get("minimum_ready"),
        images=images,
        secrets=tuple(raw.get("secrets") or ()),
        configmaps=tuple(raw.get("configmaps") or ()),
    )


def _refuse(result: Outcome) -> None:
    """Raise before anything is changed when a workload, or something that its pods need, is not there.

    What could not be told does not stop an order: it is reported, and the wait shows the truth.
    """
    problems = problems_of(result.entries)
    if problems:
        count = f"{len(result.entries)} workload{'s' if len(result.entries) > 1 else ''}"
        remedy = "Nothing was changed. Create what is missing, or name another."
        raise Refused(f"Failed to prepare {count}: {'; '.join(problems)}. {remedy}", **result.facts())


def _inspected(api: KubernetesApi, entries: t.Sequence[Entry], order: Order) -> Result:
    for entry in entries:
        if entry.look.observed is not None:
            try:
                validate(entry.look.wanted, entry.look.observed, order)
            except Refused as error:
                entry.problems.append(str(error))
    return {**result_of(api.name, entries, [], True), "outcome": outcome_of(entries)}


def _goal(entry: Entry, order: Order) -> Goal:
    wanted = entry.look.wanted
    shrinks = order.allow_scale_down and wanted.replicas is not None and order.state in ("scaled", "rolled_back")
    return Goal(wanted.key, entry.after()["replicas"], wanted.minimum_ready, shrinks)
