# SPDX-License-Identifier: Apache-2.0
"""What is known of announcements, of pool4 and of services, since the last apply."""

from collections.abc import Iterator, Set

from sixlane.agent.conditions import Condition
from sixlane.model import Gateway, Service
from sixlane.nat64 import (
    NOT_ANNOUNCED,
    Ask,
    Outcome,
    Trouble,
    asks_of_pools,
    asks_of_services,
    observe_announced,
)

_MATTER = {"route", "neighbour", "link", "setting"}
_ANNOUNCED = Condition("Announced", "True", "Announced", "others find its addresses", False)


class Announcing:
    def __init__(self) -> None:
        self._outcome: Outcome | None = None

    def note(self, outcome: Outcome) -> None:
        """That of an apply."""
        self._outcome = outcome

    def has_drifted(self, kinds: Set[str]) -> bool:
        """Whether it is not as the last apply left it. `kinds`: of what has changed since."""
        left = self._outcome.announced if self._outcome else None
        return bool(kinds & _MATTER) and observe_announced() != left

    def missing(self) -> list[str]:
        """What is not announced and why, a line for each reason."""
        return list(self._missing())

    def troubles(self, gateway: Gateway) -> list[Trouble]:
        """Those of pool4."""
        asks = frozenset(asks_of_pools(gateway.spec.pool4))
        return [Trouble("", NOT_ANNOUNCED, what) for what in self._missing(asks)]

    def condition(self, service: Service) -> Condition | None:
        """None: nobody asks for that."""
        if service.spec.announce == "none":
            return None
        if not self._outcome or not self._outcome.missing:
            return _ANNOUNCED
        missing = list(self._missing(frozenset(asks_of_services([service]))))
        if not missing:
            return _ANNOUNCED
        return Condition("Announced", "False", NOT_ANNOUNCED, "; ".join(missing), False)

    def _missing(self, asks: Set[Ask] | None = None) -> Iterator[str]:
        for one in self._outcome.missing if self._outcome else ():
            told = one.told(asks)
            if told:
                yield told
