# Copyright: (c) 2026, Terragon
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A task's options as they are before anything runs: real variables, and no guess where a result would be needed.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping

import jinja2
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from jinja2 import meta

from ..module_utils.errors import RecoveryError

_PARSER = jinja2.Environment(autoescape=True)  # only parses; nothing is rendered with it


class Unresolved(RecoveryError):
    """A value depends on what is known only while the playbook runs."""


class Values:
    """Templates with the variables of one task on one host."""

    def __init__(self, loader: DataLoader, variables: Mapping[str, t.Any], volatile: t.AbstractSet[str]) -> None:
        self._loader = loader
        self._volatile = volatile
        self.variables = dict(variables)

    def with_item(self, name: str, item: t.Any) -> Values:
        """Return the same with one more variable."""
        return Values(self._loader, {**self.variables, name: item}, self._volatile - {name})

    def of(self, value: t.Any) -> t.Any:
        """Return a value, None where it is omitted. Raises Unresolved."""
        self._refuse_volatile(value)
        try:
            found = Templar(loader=self._loader, variables=self.variables).template({"value": value})
        except Exception as error:  # whatever a template raises: the value is not known
            raise Unresolved(str(error)) from error
        return found.get("value")

    def excludes(self, conditions: t.Sequence[t.Any]) -> bool:
        """True where a condition is certainly false; one that depends on results may be true."""
        for condition in conditions:
            try:
                self._refuse_volatile(condition if isinstance(condition, bool) else f"{{{{ ({condition}) }}}}")
                if not Templar(loader=self._loader, variables=self.variables).evaluate_conditional(condition):
                    return True
            except Exception:  # not known, so it may be true
                continue
        return False

    def _refuse_volatile(self, value: t.Any) -> None:
        """Raise for a value that a result would go into, were it only through a default."""
        pending, seen = names_in(value), set[str]()
        while pending:
            name = pending.pop()
            if name in self._volatile:
                raise Unresolved(f"{name} is known only while the playbook runs")
            if name not in seen and name in self.variables and name != "hostvars":
                seen.add(name)
                pending |= names_in(self.variables[name])


def names_in(value: t.Any) -> set[str]:
    """Return the variables that templates in a value name."""
    if isinstance(value, Mapping):
        return {name for item in value.values() for name in names_in(item)}
    if isinstance(value, (list, tuple)):
        return {name for item in value for name in names_in(item)}
    if not isinstance(value, str) or ("{{" not in value and "{%" not in value):
        return set()
    try:
        return set(meta.find_undeclared_variables(_PARSER.parse(value)))
    except jinja2.TemplateSyntaxError:
        return set()


class Given(Mapping[str, t.Any]):
    """A task's options, each evaluated when it is asked for: one that cannot be is no trouble to who needs it not."""

    def __init__(self, arguments: Mapping[str, t.Any], values: Values, spec: Mapping[str, t.Any] | None) -> None:
        self._arguments = arguments
        self._values = values
        self._spec = spec

    def __getitem__(self, name: str) -> t.Any:
        value = self._values.of(self._arguments[name]) if name in self._arguments else None
        if self._spec is None:
            return value
        option = {key: item for key, item in self._spec[name].items() if key != "required"}
        checked = ArgumentSpecValidator({name: option}).validate({} if value is None else {name: value})
        if checked.error_messages:
            raise Unresolved("; ".join(checked.error_messages))
        return checked.validated_parameters[name]

    def get(self, key: str, default: t.Any = None) -> t.Any:
        """Return an option, or its default."""
        known = key in (self._arguments if self._spec is None else self._spec)
        found = self[key] if known else None
        return default if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(self._arguments if self._spec is None else self._spec)

    def __len__(self) -> int:
        return len(self._arguments if self._spec is None else self._spec)
