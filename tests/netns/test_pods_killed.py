# SPDX-License-Identifier: Apache-2.0
"""An agent killed at any step of an ADD or a DEL: whatever the runtime asks next is done, no
address is given twice, and none leaks."""

import signal
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from itertools import chain
from pathlib import Path

import pytest

from sixlane.client import Client
from sixlane.client.types import Pod
from sixlane.datapath.pods import Pods
from sixlane.model.addresses import AnyAddress
from sixlane.net import link, netns, route
from sixlane.pods.devices import PROTOCOL
from sixlane.pods.ipam import address_of
from tests import needs
from tests.netns import killing
from tests.netns.agents import changed
from tests.netns.node import EGRESS
from tests.netns.test_pods import NETWORK, Node, address, ours, ping, raise_node
from tests.unit.cni.calling import Ran

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("ip"),
    needs.command("ping"),
    needs.command("strace"),
]

# Three addresses for each pod; of IPv4, there are but six.
TIGHT = changed(
    NETWORK,
    pools=[{"name": "default", "ranges": ["2001:db8:64:1::/120", "192.0.2.0/29"]}],
    statelessEgress={"ipv4": ["192.175.48.0/29"]},
)
TRY_AGAIN = 11
_STRIDE = 9


@dataclass
class Killed:
    """A node whose agent is killed. `thread`: serves its runtime."""

    node: Node
    scratch: Path
    thread: int = 0

    def restart(self) -> None:
        self.node.agent.start()
        self.thread = killing.server(self.node.agent, self.node.status)

    def steps(self, call: Callable[[], Ran]) -> list[killing.Step]:
        return killing.steps(self.thread, lambda: call().result(), self.scratch)

    def kill(self, step: killing.Step, call: Callable[[], Ran]) -> bool:
        """Whether the agent was killed at that step of the call, and another one is there; or it
        was done in fewer steps this time."""
        with killing.killed_at(self.thread, step, self.scratch):
            done = call()
        if done.status == 0:
            return False
        done.failure(TRY_AGAIN)
        self.node.agent.await_kill()
        self.restart()
        return True

    def assert_all_is(self, step: killing.Step, wanted: set[str], unsure: str = "") -> None:
        """These pods are there, with all that they need. `unsure`: of a pod that may have what it
        needs, a lease alone, or nothing. There is nothing of others."""
        node = self.node
        pins = len(node.pins())  # before `attached`, which removes dead ones
        leases = {one["containerId"]: one for one in Client(str(node.agent.socket)).pods()}
        own = {name: addresses(one) for name, one in leases.items()}
        assert wanted <= leases.keys() <= {*wanted, *filter(None, [unsure])}, step
        assert all(one["ready"] for one in leases.values()), step
        assert all(len(each) == 3 for each in own.values()), step
        assert self.held() == sorted(map(outside, each_of(own.values())), key=str), step
        with netns.inside(node.agent.namespace), Pods.open(node.root) as pods:
            there = {
                name: found.ifindex
                for name, one in leases.items()
                if (found := link.find(one["hostDevice"]))
            }
            assert there.keys() >= leases.keys() - {unsure}, step
            assert len(ours(node.agent.namespace)) == len(there), step
            places = {each: place.ifindex for each, place in pods.places().items()}
            assert places == {each: there[name] for name in there for each in own[name]}, step
            programs = sorted(one.ifindex for one in pods.attached() if one.role == "pod")
            assert programs == sorted(there.values()), step
            routes = [one for one in route.list_routes(proto=PROTOCOL) if one.gateway is None]
        ways = sorted(each_of(own[name] for name in there), key=str)
        assert sorted((one.dst.network_address for one in routes), key=str) == ways, step
        assert pins == len(there), step

    def held(self) -> list[AnyAddress]:
        """What nobody else can get: addresses of pods, and of IPv4 what they are outside."""
        file = self.node.agent.place.state_dir / "leases.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT address FROM held").fetchall()
        return sorted((address_of(int.from_bytes(number)) for (number,) in rows), key=str)


def addresses(pod: Pod) -> list[AnyAddress]:
    egress = [pod["egress"]] if pod["egress"] else []
    return [ip_address(one) for one in (*pod["addresses"], *egress)]


def each_of(some: Iterable[Iterable[AnyAddress]]) -> Iterator[AnyAddress]:
    return chain.from_iterable(some)


def outside(own: AnyAddress) -> AnyAddress:
    """What is leased: of an address in 64:ff9b::/96, that of IPv4."""
    is_egress = own.version == 6 and own in EGRESS
    return IPv4Address(int(own) & 0xFFFFFFFF) if is_egress else own


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    directory = tmp_path_factory.mktemp("killed")
    with raise_node(directory) as node:
        node.agent.apply(TIGHT)
        node.agent.end(signal.SIGKILL)
        killed = Killed(node, directory / "strace")
        killed.restart()
        yield killed


@pytest.fixture(autouse=True, scope="module")
def leaves_nothing_behind(
    leak_check: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """Each test ends the agent that it has found, and leaves another one."""
    with leak_check():
        yield


# What a runtime may ask after the call that it had no answer to: of the pod `one`, beside `two`.


def added(node: Node) -> set[str]:
    done = node.add("one")
    node.check(done.result(), "one").result()
    for space in (node.spaces["two"], node.far):
        ping(space, address(done))
    return {"one"}


def deleted(node: Node) -> set[str]:
    node.delete("one").result()
    return set()


def collected(node: Node) -> set[str]:
    node.gc("kept", "two").result()
    return set()


NEXT: list[Callable[[Node], set[str]]] = [added, deleted, collected]


@pytest.mark.parametrize("ask", NEXT)
def test_killed_at_each_step_of_an_add(killed: Killed, ask: Callable[[Node], set[str]]) -> None:
    node = killed.node
    walk(killed, node.delete, node.add, ask)


@pytest.mark.parametrize("ask", NEXT)
def test_killed_at_each_step_of_a_del(killed: Killed, ask: Callable[[Node], set[str]]) -> None:
    node = killed.node
    walk(killed, node.add, node.delete, ask)


def walk(
    killed: Killed,
    before: Callable[[str], Ran],
    call: Callable[[str], Ran],
    ask: Callable[[Node], set[str]],
) -> None:
    """Has the agent killed at each step of a call for the pod `one`, and asks what comes next."""
    node = killed.node
    with node.containers("kept", "one", "two"):
        kept = node.add("kept").result()
        before("one").result()
        steps = killed.steps(lambda: call("one"))
        steps = killing.some(steps, _STRIDE, NEXT.index(ask) * _STRIDE // len(NEXT))
        kills = 0
        for step in steps:
            before("one").result()
            if not killed.kill(step, lambda: call("one")):
                continue
            kills += 1
            killed.assert_all_is(step, {"kept"}, unsure="one")
            node.add("two").result()
            killed.assert_all_is(step, {"kept", "two"} | ask(node))
            node.check(kept, "kept").result()
            node.delete("two").result()
        assert kills > len(steps) // 2
