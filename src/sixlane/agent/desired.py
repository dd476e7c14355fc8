# SPDX-License-Identifier: Apache-2.0
"""What is desired of the machine, and what a transaction makes of it. Pure."""

from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sixlane.agent.problems import Conflict, NotFound, not_found
from sixlane.agent.transaction import Edit, Outcome, Transaction
from sixlane.model import AnyResource, Gateway, Key, ResourceError, check_together, is_alone

KEPT_REVISIONS = 50
_FEW = 100  # changes that are quicker made one by one than by sorting 10,000 resources


@dataclass(frozen=True)
class Stored:
    """A resource; how often its spec changed, and the revision in which it last did."""

    resource: AnyResource
    generation: int
    revision: int

    @property
    def version(self) -> str:
        """The resourceVersion."""
        return str(self.revision)

    def as_data(self) -> dict[str, Any]:
        """The resource as `apply` takes it, with what the agent knows about it beside its name."""
        data = self.resource.as_data()
        data["metadata"] |= {"generation": self.generation, "resourceVersion": self.version}
        return data


@dataclass(frozen=True)
class State:
    """All that is desired. `gone`: what was deleted, and in which of the last revisions.

    In revision 0 nobody has ever asked for anything.
    """

    revision: int = 0
    objects: Mapping[Key, Stored] = field(default_factory=dict)
    gone: Mapping[Key, int] = field(default_factory=dict)

    def resources(self) -> list[AnyResource]:
        """By their keys. The same list each time: not to be changed."""
        return self._resources

    def following(self, old: "State", changed: Collection[Key]) -> "State":
        """The same state, with what did not change since `old` taken over in the order it has."""
        if len(changed) > _FEW:
            return self
        keys, resources = list(old._keys), list(old._resources)
        for key in changed:
            at = bisect_left(keys, key)
            there = [self.objects[key].resource] if key in self.objects else []
            end = at + (at < len(keys) and keys[at] == key)
            keys[at:end], resources[at:end] = [key] * len(there), there
        self.__dict__.update(_keys=keys, _resources=resources)
        return self

    @cached_property
    def _keys(self) -> list[Key]:
        return sorted(self.objects)

    @cached_property
    def _resources(self) -> list[AnyResource]:
        return [self.objects[key].resource for key in self._keys]


@dataclass
class Present:
    """What is desired now; only the applier's thread sets it."""

    state: State


@dataclass(frozen=True)
class Merged:
    """`state`: after the transaction; the same object as before it if nothing changes."""

    state: State
    outcomes: dict[Key, Outcome]

    @property
    def changed(self) -> set[Key]:
        return {key for key, outcome in self.outcomes.items() if outcome != "unchanged"}

    @property
    def versions(self) -> dict[Key, tuple[int, str]]:
        """Generation and resourceVersion of what was named and is there."""
        there = self.state.objects
        return {
            key: (there[key].generation, there[key].version)
            for key in self.outcomes
            if key in there
        }

    @property
    def warnings(self) -> list[str]:
        """What is allowed and may surprise in what was named and is there, one line each."""
        there = self.state.objects
        named = [there[key].resource for key in self.outcomes if key in there]
        return [f"{one.key}: {warning}" for one in named for warning in one.warnings]

    def summary(self) -> list[str]:
        """One line for each change, as the history shows it."""
        return [f"{key} {self.outcomes[key]}" for key in sorted(self.changed)]


def merged(old: State, transaction: Transaction) -> Merged:
    """Costs by what the transaction names. Raises `Conflict`, and what edits and checks raise."""
    wanted: dict[Key, AnyResource | None] = {}
    for index, edit in enumerate(transaction.edits):
        before = old.objects.get(edit.key)
        _check_expected(edit, before, index)
        wanted.setdefault(edit.key, before.resource if before else None)
        wanted[edit.key] = _changed(edit, wanted[edit.key], index, old)
    if transaction.prune:
        wanted |= {key: None for key in old.objects if key not in wanted}

    revision = old.revision + 1
    objects, gone = dict(old.objects), dict(old.gone)
    alone = True
    outcomes: dict[Key, Outcome] = {}
    for key, resource in wanted.items():
        before = old.objects.get(key)
        outcomes[key] = _outcome(before, resource)
        if outcomes[key] == "unchanged":
            continue
        alone = alone and is_alone(before.resource if before else None, resource)
        if resource is None:
            del objects[key]
            gone[key] = revision
            continue
        generation = before.generation + 1 if before else 1
        objects[key] = Stored(_carried(before, resource), generation, revision)
        gone.pop(key, None)
    if all(outcome == "unchanged" for outcome in outcomes.values()):
        return Merged(old, outcomes)
    if not alone:
        check_together(stored.resource for stored in objects.values())
    recent = {key: at for key, at in gone.items() if at > revision - KEPT_REVISIONS}
    changed = [key for key, outcome in outcomes.items() if outcome != "unchanged"]
    return Merged(State(revision, objects, recent).following(old, changed), outcomes)


def _check_expected(edit: Edit, before: Stored | None, index: int) -> None:
    there = before.version if before else None
    if edit.expected is None or edit.expected == (there or ""):
        return
    if there is None:
        raise Conflict(
            f"{edit.key} is not there, and resourceVersion {edit.expected} was expected",
            "somebody deleted it: apply it without resourceVersion to have it again",
            None,
            index,
        )
    if edit.expected == "":
        hint = "change it, or take another name"
        raise Conflict(f"{edit.key} is there already", hint, there, index)
    raise Conflict(
        f"{edit.key} is at resourceVersion {there}, and {edit.expected} was expected",
        "somebody changed it: get it again, and repeat the change",
        there,
        index,
    )


def _changed(edit: Edit, present: AnyResource | None, index: int, old: State) -> AnyResource | None:
    try:
        return edit.change(present)
    except NotFound:
        if present is not None:  # a part of it is not there
            raise
        there = (key.name for key in old.objects if key.kind == edit.key.kind)
        raise not_found(str(edit.key), there) from None
    except ResourceError as error:
        raise error.at(error.where, index) from None


def _outcome(before: Stored | None, resource: AnyResource | None) -> Outcome:
    if resource is None:
        return "deleted" if before else "unchanged"
    if before is None:
        return "created"
    return "unchanged" if before.resource == resource else "changed"


def _carried(before: Stored | None, resource: AnyResource) -> AnyResource:
    """The same resource, with those prefixes that are as they were carried over as they are.

    What is made of a prefix (a row of the store, tables of the kernel) then need not be made anew.
    """
    old = before.resource if before else None
    if not isinstance(resource, Gateway) or not isinstance(old, Gateway):
        return resource
    there = {prefix.name: prefix for prefix in old.spec.prefixes}
    prefixes = tuple(
        there[one.name] if there.get(one.name) == one else one for one in resource.spec.prefixes
    )
    spec = resource.spec.model_copy(update={"prefixes": prefixes})
    return resource.model_copy(update={"spec": spec})
