# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each task of a recovery path needs, judged against the loss of a region.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from ansible.executor.module_common import _get_action_arg_defaults
from ansible.inventory.host import Host
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible.vars.manager import VariableManager

from ..module_utils.errors import RecoveryError, Refused
from ..module_utils.needs import DATA, Need
from ..module_utils.stability_foreign import needs_of, of_task
from ..module_utils.stability_regions import Regions
from ..module_utils.stability_verdict import Finding, Step, judge, unknown
from .stability_modules import specification_of
from .stability_values import Given, Values
from .stability_walk import Reached, Walk

_OWN = "terragon.disaster_recovery."
#: groups that a run fills itself, and the region that is in each once it has
_GROUPS = {"dr_source": "failed", "dr_target": "target", "dr_active": "target"}
#: what a run is given or finds out first, with a stand-in: no endpoint depends on its value
_STAND_INS = {"dr_incident": "STABILITY", "incident_open_lease": {"token": 0}}


class RecoveryPath:
    """One playbook, over one inventory, with one region lost."""

    def __init__(
        self, path: str, failed: str, target: str | None, manager: VariableManager, loader: DataLoader
    ) -> None:
        self.failed = failed
        self._manager = manager
        self._loader = loader
        self._inventory = manager._inventory
        self.regions = self._read_regions()
        self._check(failed)
        self.target = target or self._only_other()
        self._check(self.target)
        self._at = Regions(self.regions)
        self._assign_groups()
        self._walk = Walk(path, manager, loader, self._before_the_run)

    def findings(self) -> list[Finding]:
        """Return what every task needs, and what the target's own pods do."""
        reached = [(play, list(self._walk.tasks(play))) for play in self._walk.plays()]
        volatile = {name for _play, tasks in reached for one in tasks for name in _results(one.task)} - set(_STAND_INS)
        found = []
        for play, tasks in reached:
            hosts = self._hosts(play)
            if not hosts:
                why = "no host of this play is known before the run, so what it needs is not"
                found.append(unknown(Step(play.get_name(), "hosts", ""), why))
            for one in tasks:
                for host in hosts:
                    found += self._of_task(one, host, volatile)
        return list(dict.fromkeys(found)) + self._of_pods()

    def _read_regions(self) -> dict[str, t.Any]:
        """Return every region's `dr_region`, evaluated."""
        group = self._inventory.groups.get("dr_regions")
        found = {}
        for host in group.get_hosts() if group else []:
            values = Values(self._loader, self._manager.get_vars(host=host), set())
            found[host.name] = values.of(values.variables.get("dr_region") or {})
        return found

    def _check(self, name: str) -> None:
        if name not in self.regions:
            known = ", ".join(self.regions) or "none"
            raise Refused(f"Unknown region {name!r}. The inventory's group dr_regions has: {known}. Name one of them.")

    def _only_other(self) -> str:
        others = [name for name in self.regions if name != self.failed]
        if len(others) != 1:
            raise Refused(
                f"Several regions could take over from {self.failed}: {', '.join(others) or 'none'}. "
                "Give -e dr_target_region=<region>."
            )
        return others[0]

    def _assign_groups(self) -> None:
        """Fill the groups that a run fills: this is a process of its own, whose inventory nobody else sees."""
        for group, role in _GROUPS.items():
            self._inventory.add_group(group)
            for host in self._inventory.groups[group].get_hosts():  # of an earlier item of the same task
                self._inventory.groups[group].remove_host(host)
                host.remove_group(self._inventory.groups[group])
            self._inventory.add_host(self.failed if role == "failed" else self.target, group)
        self._inventory.clear_caches()
        for host in self._inventory.get_hosts(ignore_limits=True, ignore_restrictions=True):
            self._manager.set_nonpersistent_facts(host.name, dict(_STAND_INS))

    def _hosts(self, play: Play) -> list[Host]:
        pattern = self._values(play, None, None, set()).of(play.hosts)
        return list(self._inventory.get_hosts(pattern, ignore_limits=True, ignore_restrictions=True))

    def _values(self, play: Play | None, host: Host | None, task: Task | None, volatile: t.AbstractSet[str]) -> Values:
        variables = self._manager.get_vars(play=play, host=host, task=task)
        given = {"dr_failed_region": self.failed, "dr_target_region": self.target, "ansible_check_mode": False}
        return Values(self._loader, {**_STAND_INS, **variables, **given}, volatile)

    def _before_the_run(self, play: Play, task: Task, value: t.Any) -> t.Any:
        hosts = self._hosts(play)
        return self._values(play, hosts[0] if hosts else None, task, set()).of(value)

    def _of_task(self, reached: Reached, host: Host, volatile: t.AbstractSet[str]) -> list[Finding]:
        task = reached.task
        step = Step(
            reached.play.get_name(),
            task.get_name().removeprefix(_OWN),
            task.resolved_action or task.action,
            reached.place,
        )
        found: list[Finding] = []
        for values in self._contexts([*reached.includes, task], self._values(reached.play, host, task, volatile)):
            try:
                found += judge(step, self._needs(step, task, host, values), self._at, self.failed)
            except RecoveryError as error:
                found.append(unknown(step, f"what it needs is not known: {error}"))
        return found

    def _contexts(self, levels: t.Sequence[Task], values: Values) -> Iterator[Values]:
        """Return the variables of every item of every loop on the way; none where a condition is certainly false."""
        first, rest = levels[0], levels[1:]
        for inner in _items(first, values):
            if not inner.excludes(first.when):
                if rest:
                    yield from self._contexts(rest, inner)
                else:
                    yield inner

    def _needs(self, step: Step, task: Task, host: Host, values: Values) -> list[Need]:
        """Return what one task asks, and the connection to the machine that it runs on. Raises RecoveryError."""
        reach = self._connection(task, host, values)
        if "dr_needs" in task.vars:
            return reach + of_task(values.of(task.vars["dr_needs"]))
        spec = None
        if step.module.startswith(_OWN):
            specification = specification_of(step.module.removeprefix(_OWN))
            declared, spec = specification.needs, specification.argument_spec
        else:
            declared = needs_of(step.module)
        if declared is None:
            raise RecoveryError(f"{step.module} does not declare it. Set the task's variable dr_needs")
        templar = Templar(loader=self._loader, variables=values.variables)
        defaults = _get_action_arg_defaults(step.module, task, templar._engine)
        return reach + declared(Given({**defaults, **task.args}, values, spec))

    def _connection(self, task: Task, host: Host, values: Values) -> list[Need]:
        """Return the connection to another machine, in the region that it is of."""
        variables, name = values.variables, host.name
        if task.delegate_to:
            name = str(values.of(task.delegate_to))
            other = self._inventory.get_host(name)
            variables = self._manager.get_vars(host=other) if other else {}
        connection = task.connection if task.connection not in (None, "ssh") else variables.get("ansible_connection")
        if connection == "local" or (name == "localhost" and not connection):
            return []
        return [Need("SSH", DATA, "host", name, region=variables.get("dr_region_name"))]

    def _of_pods(self) -> list[Finding]:
        """Return what the catalogue's workloads need in the target: a pod whose image is lost never starts."""
        values = self._values(None, self._inventory.get_host(self.target), None, set())
        found = []
        services = values.variables.get("dr_services") or {}
        if isinstance(services, str):  # the catalogue is made by a template as a whole
            try:
                services = values.of(services) or {}
            except RecoveryError as error:
                step = Step("Workloads in the target", "services", "", "dr_services")
                return [unknown(step, f"what they need is not known: {error}")]
        for name, service in services.items():
            step = Step("Workloads in the target", f"service {name}", "", "dr_services")
            try:
                workloads = (values.of(service) or {}).get("workloads") or []
            except RecoveryError as error:
                found.append(unknown(step, f"what it needs is not known: {error}"))
                continue
            for one in workloads:
                image = Need("registry", DATA, "image", str(one.get("image") or ""))
                environment = sorted((one.get("environment") or {}).items())
                settings = [Need(f"environment {key}", DATA, "environment", str(value)) for key, value in environment]
                judged = judge(step, [image, *settings], self._at, self.failed)
                found += [finding for finding in judged if finding.api == "registry" or finding.verdict != "fine"]
        return found


def _results(task: Task) -> set[str]:
    """Return the names that a task gives to what it found."""
    names = {str(task.register)} if task.register else set()
    if task.resolved_action == "ansible.builtin.set_fact":
        names |= {str(name) for name, value in task.args.items() if name != "cacheable" and not _same(name, value)}
    return names


def _same(name: str, value: t.Any) -> bool:
    """Whether a fact only evaluates the variable of its own name: that is known before the run."""
    return isinstance(value, str) and value.strip("{} ") == name


def _items(task: Task, values: Values) -> Iterator[Values]:
    """Return the variables of every item of a task's loop; where the items are not known, of none of them."""
    if not task.loop:
        yield values
        return
    name = task.loop_control.loop_var if task.loop_control else "item"
    try:
        items = values.of(task.loop)
    except RecoveryError:
        yield values  # whatever needs the item then says that it is not known
        return
    for item in items or []:
        yield values.with_item(name, item)
