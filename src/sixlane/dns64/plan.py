# SPDX-License-Identifier: Apache-2.0
"""What must happen to the resolvers. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    """One thing to do to the resolver `name`, and the configuration that it then has."""

    action: Action
    name: str
    text: str
    why: str

    @property
    def listeners(self) -> frozenset[tuple[str, int]]:
        return listeners(self.text)

    def __str__(self) -> str:
        return f"Dns64 {self.name}: {self.action} named: {self.why}"


@dataclass(frozen=True)
class Plan:
    """Changes in the order in which they must be made; `held`: what our resolvers listen on now."""

    changes: tuple[Change, ...]
    held: frozenset[tuple[str, int]] = frozenset()

    @property
    def empty(self) -> bool:
        return not self.changes

    def summary(self) -> list[str]:
        """One line a change."""
        return [str(change) for change in self.changes]


def plan_dns64(desired: Iterable[Dns64], observed: Mapping[str, Observed], place: Place) -> Plan:
    """`observed`: by the name of the resource. Those that leave an address come first."""
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
            changes.append(change)
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
    if found.text != text:
        return Change(Action.RELOAD, name, text, "changed")
    if found.in_force not in (None, server_id(text)):
        return Change(Action.RELOAD, name, text, "it has another configuration in force")
    return None
