"""What happens to networks: a region is cut off, in one direction or both, or its links become slow or lose packets."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from lab.border.config import DIRECTIONS
from lab.border.rules import Rule, as_document
from lab.border_routes import WITNESS, WORLD, applied_file, rules_file
from lab.catalogue import REGIONS, other
from lab.components import Component, process_of
from lab.faults.fault import Fault
from lab.layout import Lab, write_json
from lab.waiting import until

#: whose border, with which peer, in which direction, and what happens there
Effect = tuple[str, str, str, Rule]
DROP = Rule(drop=True)
#: another continent over a line that is far too thin
SLOW = Rule(delay=0.4, rate=50_000.0)
#: one packet in ten is lost, and TCP slows down accordingly
LOSSY = Rule(delay=0.03, rate=100_000.0, loss=0.1, seed=1)
BACKWARDS = {"in": "out", "out": "in"}


def _cut(directions: tuple[str, ...], region: str) -> Iterator[Effect]:
    """Nothing passes in these directions. The other region's border knows, too, so that it connects into no void."""
    for direction in directions:
        for peer in (other(region), WITNESS, WORLD):
            yield region, peer, direction, DROP
        yield other(region), region, BACKWARDS[direction], DROP


def _worsened(rule: Rule, region: str) -> Iterator[Effect]:
    for peer in (other(region), WITNESS, WORLD):
        for direction in DIRECTIONS:
            yield region, peer, direction, rule


def _cut_link(subject: str) -> Iterator[Effect]:
    for region in subject.split(":"):
        for direction in DIRECTIONS:
            yield region, other(region), direction, DROP


EFFECTS: dict[str, Callable[[str], Iterator[Effect]]] = {
    "partition": partial(_cut, DIRECTIONS),
    "one_way_out": partial(_cut, ("out",)),
    "one_way_in": partial(_cut, ("in",)),
    "slow_link": partial(_worsened, SLOW),
    "lossy_link": partial(_worsened, LOSSY),
    "cut_link": _cut_link,
}


def effects(lab: Lab) -> list[Effect]:
    """What all network faults in force do."""
    return [
        effect
        for name, subjects in lab.faults.items()
        if name in EFFECTS
        for subject in subjects
        for effect in EFFECTS[name](subject)
    ]


def put_in_force(lab: Lab) -> list[str]:
    """Give each border the rules that follow from the faults, and wait until it obeys; the regions where none runs.

    A border that does not run reads them when it starts.
    """
    waiting, absent = {}, []
    for region in REGIONS:
        rules = [(peer, direction, rule) for where, peer, direction, rule in effects(lab) if where == region]
        version = hashlib.sha256(json.dumps(as_document("", rules), sort_keys=True).encode()).hexdigest()
        write_json(rules_file(lab, region), as_document(version, rules))
        process = process_of(lab, Component("border", region))
        if process is not None and process.send(signal.SIGHUP):
            waiting[region] = version
        else:
            absent.append(region)
    for region, version in waiting.items():
        what = f"the border of {region} to obey (log {lab.log('border', region)})"
        until(partial(_obeys, applied_file(lab, region), version), what)
    return absent


def _obeys(applied: Path, version: str) -> bool:
    return applied.exists() and applied.read_text() == version


def _break(name: str, lab: Lab, subject: str) -> str:
    return _told(lab, subject, f"{name} {subject}", put_in_force(lab))


def _heal(name: str, lab: Lab, subject: str) -> str:
    left = [one for one in lab.faults[name] if one != subject]
    absent = put_in_force(replace(lab, faults={**lab.faults, name: left}))
    return _told(lab, subject, f"{name} {subject}: healed", absent)


def _told(lab: Lab, subject: str, done: str, absent: list[str]) -> str:
    regions = subject.split(":")
    dead = [f"; {region} is dead, and finds it so when it returns" for region in absent if region in regions]
    own = [
        f"; its Kubernetes API ({lab.kubeconfigs[region]}) is not behind its border and stays as it is"
        for region in regions
        if region in lab.kubeconfigs
    ]
    return "".join([done, *dead, *own])


def _fault(name: str, help_text: str, subjects: tuple[str, ...] = REGIONS) -> Fault:
    return Fault(help=help_text, subjects=subjects, break_it=partial(_break, name), heal_it=partial(_heal, name))


FAULTS = {
    one: _fault(one, text)
    for one, text in {
        "partition": "a region lives, but nothing enters or leaves it",
        "one_way_out": "nothing leaves a region; what is sent to it arrives",
        "one_way_in": "nothing enters a region; what it sends arrives",
        "slow_link": "everything that enters or leaves a region takes 400 ms, at 50 kB/s",
        "lossy_link": "one packet in ten that enters or leaves a region is lost and sent again",
    }.items()
} | {"cut_link": _fault("cut_link", "two regions do not reach each other", (":".join(REGIONS),))}
