# SPDX-License-Identifier: Apache-2.0
"""What of services is measured."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from bench.called import TCP, UDP, Called
from bench.frames import FLOWS

_MILLION = 1 << 20


@dataclass(frozen=True)
class Scene:
    """Flows of one world. `state`: of them, when they are measured."""

    called: Called
    counts: tuple[int, ...]
    state: Literal["known", "no room", "new", "not ours"] = "known"
    more: str = ""

    @property
    def reasons(self) -> tuple[str, ...]:
        """What its packets are counted under."""
        if self.state == "not ours":
            return ("pass_not_ours",)
        return ("forward_service", "forward_reply")

    def names(self, count: int) -> dict[str, str]:
        """Of `call`, `reply` and `tc`, which is the mean of these, what is measured."""
        if self.called.nat and self.state == "known":
            whats = {"call": "xdp    nat", "reply": "xdp    nat reply", "tc": "tc     nat"}
        else:
            whats = {"call": "xdp    nat" if self.called.nat else "xdp    dsr"}
        return {what: f"{text} {self._what(count)}" for what, text in whats.items()}

    def _what(self, count: int) -> str:
        called = self.called
        services = f"{called.services:,} service{'s' if called.services > 1 else ''}{self.more}"
        flows = f"{count:,} flow{'s' if count > 1 else ''}"
        if self.state == "not ours":
            return f"v{called.client}, not for us, {services}, {flows}"
        protocol = "TCP" if called.protocol == TCP else "UDP"
        families = f"v{called.client} to v{called.backend}"
        return f"{families}, {protocol}, {self.state}, {services}, {flows}"


def scenes() -> Iterator[Scene]:
    for scene in _scenes():
        yield replace(scene, called=replace(scene.called, flows=max(scene.counts)))


def _scenes() -> Iterator[Scene]:
    few, all = (1, FLOWS), (1, FLOWS, _MILLION)
    six = Called(client=6, backend=6)
    yield Scene(Called(), all)
    yield Scene(six, all)
    for called in (Called(protocol=UDP), Called(backend=6), Called(client=6)):
        yield Scene(called, few)
    yield Scene(replace(six, protocol=UDP), few)
    yield Scene(Called(), (FLOWS, _MILLION), "new")
    yield Scene(six, (FLOWS,), "new")
    for called in (Called(), six):
        yield Scene(called, (FLOWS,), "no room")
        yield Scene(called, few, "not ours")
    yield Scene(Called(services=1_000), (FLOWS,))
    yield Scene(Called(services=1_000, addresses=4_096), (FLOWS,), more=" of 4,096 backends")
    many = Called(services=50_000, backends=2, ring=251)
    # A service for each flow, which is what a flow finds among 50,000 as well.
    yield Scene(replace(many, services=FLOWS), (FLOWS,))
    yield Scene(many, (FLOWS,))
    yield Scene(many, (FLOWS,), "not ours")
    for backend in (4, 6):
        yield Scene(Called(backend=backend, protocol=TCP, nat=True), few)
    crowd = Called(backend=6, protocol=UDP, nat=True)
    # Worlds of their own: a million others have what is remembered of few forgotten.
    for counts in (few, (_MILLION,)):
        yield Scene(crowd, counts)
    yield Scene(crowd, (FLOWS, _MILLION), "new")
