# SPDX-License-Identifier: Apache-2.0
"""Who of a service's backends gets flows: by what is asked for, by checks, by the time. Pure."""

from collections.abc import Set
from dataclasses import dataclass
from typing import NamedTuple

from sixlane.datapath.backends import NAMING
from sixlane.datapath.layout import BackendState
from sixlane.model import BackendList, Service
from sixlane.model.backends import NEVER, STATES

ACTIVE, TERMINATING, MAINTENANCE = (STATES.index(one) for one in STATES)

_MAINTENANCE = BackendState.BACKEND_MAINTENANCE
_QUARANTINED = BackendState.BACKEND_QUARANTINED

Naming = bytes
"""Address and port of a backend, as `BackendList` names it."""


class Member(NamedTuple):
    """A backend that gets new flows, by its weight."""

    naming: Naming
    weight: int


@dataclass(frozen=True)
class Judged:
    """`states`: of each backend as packets are to see it; `members`: who gets new flows.

    `makeshift`: members are such as should get none, as there are no others; `until`: when a
    deadline changes this, in microseconds since 1970.
    """

    states: dict[Naming, BackendState]
    members: tuple[Member, ...]
    makeshift: bool
    until: int

    @property
    def up(self) -> int:
        """How many get new flows, and should."""
        return 0 if self.makeshift else len(self.members)


def judge(service: Service, failed: Set[Naming], now_us: int) -> Judged:
    """`failed`: the backends that failed their checks."""
    states: dict[Naming, BackendState] = {}
    members: list[Member] = []
    others: list[Member] = []  # that could be had if nobody else is there
    until = NEVER
    for row in service.spec.backends.rows:
        naming = row[:NAMING]
        _, _, weight, asked, deadline = BackendList.ROW.unpack(row)
        if asked == MAINTENANCE:
            states[naming] = _MAINTENANCE
            continue
        if deadline <= now_us:
            states[naming] = _QUARANTINED
            continue
        until = min(until, deadline)
        member = Member(naming, weight)
        if naming in failed:
            states[naming] = _QUARANTINED
        elif asked == TERMINATING:
            states[naming] = BackendState.BACKEND_TERMINATING
        else:
            states[naming] = BackendState.BACKEND_ACTIVE
            if weight:
                members.append(member)
            continue
        if weight:
            others.append(member)
    makeshift = not members and bool(others) and service.spec.when_all_down == "terminating"
    if makeshift:
        members = others
        # Who has a flow of one keeps it; with what is quarantined, each packet would be a new flow.
        states |= {member.naming: BackendState.BACKEND_TERMINATING for member in members}
    return Judged(states, tuple(members), makeshift, until)
