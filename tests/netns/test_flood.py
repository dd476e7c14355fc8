# SPDX-License-Identifier: Apache-2.0
"""A routing daemon changes thousands of routes: how often the agent looks at the machine for it."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sixlane.agent import gateway
from sixlane.agent.follow import Follower
from sixlane.agent.gateway import GatewayPart
from sixlane.model import parse_resource
from sixlane.net import link, policy, sysctl
from tests import needs
from tests.netns import spaces
from tests.netns.agents import GATEWAY, eventually
from tests.netns.edge import Kept

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

ROUTES = 10_000


class Counted:
    """A part and its follower, and how often what was called."""

    def __init__(self, part: GatewayPart) -> None:
        self.calls: Counter[str] = Counter()
        self.drifted = 0
        self._part = part
        self.follower = Follower(self._heard, self._changed, part.is_native)

    def _heard(self, kinds: set[str]) -> None:
        self.calls["heard"] += 1
        self._part.heard(kinds)

    def _changed(self, kinds: set[str]) -> None:
        self.calls["looked"] += 1
        self.drifted += self._part.has_drifted(kinds)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """A Gateway in force in the calling thread's namespace, followed."""
    pins = Path(f"/sys/fs/bpf/sixlane-flood-{os.getpid()}")
    with spaces.inside_new():
        sysctl.set("net.ipv6.conf.default.addr_gen_mode", 1)  # no addresses that come later
        sysctl.set("net.ipv6.conf.default.accept_dad", 0)
        for name, address in (("wan0", "192.31.196.1/24"), ("lan0", "2001:db8:64::1/64")):
            link.create_veth(name, f"{name}p", up=True)
            spaces.command("ip", "address", "add", address, "dev", name)
        part = GatewayPart(pins, Kept())
        desired = [parse_resource(GATEWAY)]
        with _followed(part) as counted:
            part.apply(part.plan(desired, ()))
            part.settled(desired)
            time.sleep(0.5)  # what the apply itself has changed is heard of
            counted.calls.clear()
            for owner, name in ((gateway, "observe_gateway"), (policy, ROUTES_LISTED)):
                monkeypatch.setattr(owner, name, _counting(counted, name, getattr(owner, name)))
            yield counted
        monkeypatch.undo()
        part.remove()


ROUTES_LISTED = "routes_that_look_at_more"


@contextmanager
def _followed(part: GatewayPart) -> Iterator[Counted]:
    counted = Counted(part)
    try:
        yield counted
    finally:
        counted.follower.close()


def _counting(counted: Counted, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        counted.calls[name] += 1
        return function(*arguments)

    return call


def change(verb: str, way: str) -> float:
    """Adds or removes ROUTES routes; the seconds that it took."""
    start = time.monotonic()
    lines = "".join(
        f"route {verb} 198.{18 + number // 16384}.{number // 64 % 256}.{number % 64 * 4}/30 {way}\n"
        for number in range(ROUTES)
    )
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True, timeout=60)
    return time.monotonic() - start


def test_ordinary_routes_are_no_reason_to_look(counted: Counted) -> None:
    took = change("add", "via 192.31.196.2") + change("del", "via 192.31.196.2")
    assert eventually(lambda: counted.calls["heard"] > 0)
    assert counted.calls["heard"] <= took * 20 + 20
    assert counted.calls["observe_gateway"] == 0
    assert counted.calls[ROUTES_LISTED] == 0
    assert not counted.drifted


def test_routes_with_several_next_hops_are_listed_seldom(counted: Counted) -> None:
    """The first one is a reason, and from then on only the question whether all have gone."""
    way = "nexthop via 192.31.196.2 nexthop via 192.31.196.3"
    change("add", way)
    assert eventually(lambda: counted.drifted > 0)
    change("del", way)
    assert counted.calls["observe_gateway"] < ROUTES / 100  # not none: word of some may be lost
    assert counted.calls[ROUTES_LISTED] < ROUTES / 100


def test_links_of_others_are_looked_at_for_a_share_of_the_time(counted: Counted) -> None:
    """Containers come and go."""
    for number in range(200):
        link.create_veth(f"c{number}", f"d{number}", up=True)
        link.delete(f"c{number}")
    assert eventually(lambda: counted.calls["looked"] > 0)
    assert counted.calls["observe_gateway"] <= counted.calls["looked"] < 200
    assert not counted.drifted
