# SPDX-License-Identifier: Apache-2.0
"""When the routes are looked at, which may be a million."""

from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from sixlane.agent import natives
from sixlane.agent.natives import Natives
from sixlane.agent.pace import Pace
from sixlane.errors import KernelError
from sixlane.model import Gateway
from sixlane.nat64 import Network, Reach
from tests.unit.nat64.test_plan import gateway

ROUTE = IPv4Network("192.175.48.0/26")


class Kernel:
    """What has routes, and a clock."""

    def __init__(self) -> None:
        self.routes: tuple[Network, ...] = (ROUTE,)
        self.looks = 0
        self.fails = False
        self.now = 0.0

    def native_routes(self, _: Reach) -> tuple[Network, ...]:
        self.looks += 1
        if self.fails:
            raise KernelError(4, "list routes")
        return self.routes


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    kernel = Kernel()
    monkeypatch.setattr(natives, "native_routes", kernel.native_routes)
    monkeypatch.setattr(
        natives, "Pace", lambda rest, least: Pace(rest, least, now=lambda: kernel.now)
    )
    yield kernel


@pytest.fixture
def edge() -> Gateway:
    return gateway()


def test_one_look_for_a_gateway(kernel: Kernel, edge: Gateway) -> None:
    known = Natives()
    assert [known.of(edge) for _ in range(3)] == [(ROUTE,)] * 3
    known.of(gateway(lowestIPv6MTU=1400))
    assert kernel.looks == 1, "it translates the same"
    known.of(gateway(prefixes=[{"name": "a", "prefix": "64:ff9b::/96", "ipv4": []}]))
    known.of(None)
    assert kernel.looks == 3


@pytest.mark.parametrize(
    ("kind", "looks"),
    [("native", 2), ("link", 2), ("address", 2), ("rule", 2), ("route", 1), ("neighbour", 1)],
)
def test_what_may_change_them(kernel: Kernel, edge: Gateway, kind: str, looks: int) -> None:
    known = Natives()
    known.of(edge)
    kernel.now = 100
    known.heard({kind})
    known.of(edge)
    known.of(edge)
    assert kernel.looks == looks


def test_what_is_heard_too_soon_is_not_forgotten(kernel: Kernel, edge: Gateway) -> None:
    known = Natives()
    known.of(edge)
    kernel.routes = ()
    known.heard({"native"})
    assert known.of(edge) == (ROUTE,)
    kernel.now = 1
    assert known.of(edge) == ()


def test_what_cannot_be_read_stays_and_is_read_again(kernel: Kernel, edge: Gateway) -> None:
    known = Natives()
    known.of(edge)
    kernel.now, kernel.fails, kernel.routes = 100, True, ()
    known.heard({"native"})
    assert known.of(edge) == (ROUTE,)
    kernel.now, kernel.fails = 200, False
    assert known.of(edge) == ()


def test_word_of_a_route_is_judged_by_the_gateway(kernel: Kernel, edge: Gateway) -> None:
    known = Natives()
    judged: list[bool] = []
    message = bytes(16) + bytes((2, 26, 0, 0, 254, 3, 0, 1)) + bytes(4)
    message += bytes((8, 0, 1, 0, 192, 175, 48, 0))
    for one in (None, edge):
        known.of(one)
        judged.append(known.is_meant(message))
    assert judged == [False, True]
