# SPDX-License-Identifier: Apache-2.0
"""What must happen to the resolvers. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sixlane.dns64.conf import listeners, named_conf, server_id
from sixlane.dns64.place import Place
from sixlane.model import Dns64


@dataclass(frozen=True)
class Observed:
    """One resolver as it was found."""

    text: str  # of its named.conf; "" if there is none
    pid: int | None  # of its named
    here: bool  # in the agent's network namespace
    in_force: str | None  # the server id that it answers with; None: no answer


class Action(StrEnum):
    START = "start"
    RELOAD = "reload"
    RESTART = "restart"
    STOP = "stop"


@dataclass(frozen=True)
class Change:
    """One thing to do to the resolver `name`, and the configuration that it then has.

    `required`: if it cannot be done, the whole plan is refused.
    """

    action: Action
    name: str
    text: str
    why: str
    required: bool = True

    @property
    def listeners(self) -> frozenset[tuple[str, int]]:
        return listeners(self.text)

    def __str__(self) -> str:
        return f"Dns64 {self.name}: {self.action} named: {self.why}"


@dataclass(frozen=True)
class Plan:
    """Changes in the order in which they must be made; `held`: what our resolvers listen on now;
    `refused`: by name, why a change that is not required was left out.
    """

    changes: tuple[Change, ...]
    held: frozenset[tuple[str, int]] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.changes

    def summary(self) -> list[str]:
        """One line a change."""
        return [str(change) for change in self.changes]

    def warnings(self) -> list[str]:
        """What a change costs that may surprise, one line each: nothing."""
        return []


def plan_dns64(
    desired: Iterable[Dns64],
    observed: Mapping[str, Observed],
    place: Place,
    before: Iterable[Dns64] = (),
) -> Plan:
    """`observed`: by the name of the resource. Those that leave an address come first.

    `before`: what is to be in force already; a change that only brings it back is not required.
    """
    known = {resource.name: resource for resource in before}
    wanted = {resource.name: resource for resource in desired}
    changes = [
        Change(Action.STOP, name, "", "no longer wanted")
        for name in sorted(observed)
        if name not in wanted
    ]
    for name in sorted(wanted):
        text = named_conf(wanted[name], str(place.state(name)), str(place.log(name)))
        change = _change(name, text, observed.get(name))
        if change is not None:
            changes.append(replace(change, required=known.get(name) != wanted[name]))
    held = frozenset(
        listener
        for found in observed.values()
        if found.pid is not None and found.here
        for listener in listeners(found.text)
    )
    return Plan(tuple(changes), held)


def _change(name: str, text: str, found: Observed | None) -> Change | None:
    if found is None or found.pid is None:
        why = "new" if found is None or not found.text else "not running"
        return Change(Action.START, name, text, why)
    if not found.here:
        return Change(Action.RESTART, name, text, "it runs in another network namespace")
    if listeners(found.text) != listeners(text):
        return Change(Action.RESTART, name, text, "other addresses to listen on")
    if found.text != text and found.in_force is None:
        return Change(Action.RESTART, name, text, "changed, and it does not answer")
    if found.text != text:
        return Change(Action.RELOAD, name, text, "changed")
    if found.in_force not in (None, server_id(text)):
        return Change(Action.RELOAD, name, text, "it has another configuration in force")
    return None
