# SPDX-License-Identifier: Apache-2.0
"""What the applier asks of each feature: plan is observed and pure, apply is small."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol

from sixlane.agent.conditions import Condition
from sixlane.model import AnyResource, Key

Desired = Sequence[AnyResource]
Named = Mapping[Key, AnyResource | None]
"""What each is to be from now on; None: it goes."""


class PartPlan(Protocol):
    """What has to change for one feature."""

    @property
    def empty(self) -> bool: ...
    def summary(self) -> list[str]: ...
    def warnings(self) -> list[str]: ...


class Part(Protocol):
    """One feature: it takes its own kinds out of all that is desired.

    Called by the applier's thread, but for `status`, `conditions`, `has_drifted` and `look`, which
    any thread may call.
    """

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> frozenset[str]:
        """Of the resources that it puts in force."""

    @property
    def reads(self) -> frozenset[str]:
        """Of those that its plans depend on, `kinds` among them."""

    def plan(self, desired: Desired, before: Desired, named: Named | None = None) -> Any:
        """Look, and say what has to change (a `PartPlan`). Raises `SixlaneError` if it cannot.

        `named`: what a change is about, None: everything; whatever else there is may be taken to be
        as it was planned last, and left out of sight.

        `before`: what is to be in force already; the same as `desired` in a reconcile. What cannot
        be had of that (a device has vanished) is no error: all else is planned, and the status
        tells.
        """

    def apply(self, plan: Any) -> None:
        """Make it so. Raises `SixlaneError`; what has been done by then stays."""

    def settled(self, desired: Desired) -> None:
        """Remember what the machine was like when the last plan, for `desired`, was made."""

    def has_drifted(self, kinds: Set[str]) -> bool:
        """Look, as these kinds of things changed (`net.monitor`); True if there is work to do."""

    def look(self) -> bool:
        """Look by itself, now and then; True if there is something to be put right."""

    def conditions(self, resource: AnyResource) -> Sequence[Condition]:
        """How one of its resources does, beside `Ready`, which follows from them."""

    def status(self, desired: Desired) -> Any:
        """Plain data for people and programs."""

    def remove(self) -> list[str]:
        """Take away all that was ever made; what could not be restored, one line each."""

    def close(self) -> None:
        """Let go, and leave all of it in force."""
