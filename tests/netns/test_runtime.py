# SPDX-License-Identifier: Apache-2.0
"""Pods of a real container runtime, containerd with runc, on two nodes without IPv4."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Network, ip_address, ip_interface
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sixlane.datapath.pods import Pods
from sixlane.net import address, link, netns, sysctl
from tests import needs
from tests.netns import spaces
from tests.netns.agents import Agent, changed
from tests.netns.containerd import IMAGE, Containerd, loopback
from tests.netns.cri import Pod
from tests.netns.grpc import Refused
from tests.netns.test_pods import NETWORK, Node, ours
from tests.world import stock

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("busybox"),
    needs.command("containerd"),
    needs.command("curl"),
    needs.command("ip"),
    needs.command("runc"),
    pytest.mark.skipif(loopback() is None, reason="no CNI plugin loopback here"),
]

BUSYBOX = "/bin/busybox"
NAMESERVER = "2001:db8::53"
# Each pod is a server that tells its name.
_SERVE = f"{BUSYBOX} hostname >/index.html; exec {BUSYBOX} httpd -f -p 80 -h /"
_AT_ONCE = 6
Result = TypeVar("Result")
_AWAY = ("the agent is not running", "the agent ended while it was asked")


@dataclass(frozen=True)
class Started:
    """A pod with a container in it. `netns`: the path; `address`: as the runtime tells it."""

    id: str
    container: str
    netns: str
    address: str


class RuntimeNode(Node):
    """A node with its agent and its own containerd. `pool`: of its pods."""

    def __init__(self, agent: Agent, far: str, pool: IPv6Network, runtime: Containerd) -> None:
        super().__init__(agent, far)
        self.pool, self.runtime = pool, runtime
        self.kubelet = runtime.kubelet

    def pod(self, name: str, attempt: int = 0, fixed: str = "") -> Pod:
        """`fixed`: the address that it asks for."""
        asked = {"sixlane.dev/addresses": fixed} if fixed else {}
        return Pod(name, "shop", asked, (NAMESERVER,), self.runtime.cgroup, attempt)

    def start(self, name: str, fixed: str = "") -> Started:
        """A pod that serves."""
        pod = self.pod(name, fixed=fixed)
        started = self.kubelet.run(pod)
        container = self.kubelet.start(started, pod, IMAGE, [BUSYBOX, "sh", "-c", _SERVE])
        (own,) = self.kubelet.look(started).addresses
        (path,) = (one["netns"] for one in self.pods() if one["containerId"] == started)
        return Started(started, container, path, own)

    def insist(self, name: str) -> str:
        """A pod, however often it has to be tried: as a kubelet, which numbers what it tries."""
        attempts = count()
        return _insist(lambda: self.kubelet.run(self.pod(name, next(attempts))))

    def end(self, pod: str) -> None:
        """As a kubelet does, which may do each twice: the second DEL is without a namespace."""
        for do in (self.kubelet.stop, self.kubelet.remove):
            do(pod)
            do(pod)

    def run_in(self, pod: Started, *command: str) -> str:
        status, output = self.kubelet.execute(pod.container, BUSYBOX, *command)
        assert status == 0, (command, output)
        return output

    def reach(self, pod: Started, other: str, name: str) -> None:
        """From a pod to another one, which is called `name`."""
        assert " 0% packet loss" in self.run_in(pod, "ping", "-c", "1", "-W", "5", other)
        with netns.inside_path(pod.netns):  # BusyBox's wget, linked statically, looks for libraries
            told = spaces.command("curl", "-gsS", "--max-time", "10", f"http://[{other}]/")
        assert told == f"{name}\n"

    def left(self) -> dict[str, Any]:
        """All that pods could leave on the node."""
        space = self.agent.namespace
        pins = sorted(str(one) for one in self.root.rglob("*"))  # `attached` removes dead ones
        with netns.inside(space), Pods.open(self.root) as pods:
            return {
                "leases": self.pods(),
                "pods of the runtime": self.kubelet.pods(),
                "map pods": pods.places(),
                "programs": {(one.role, one.ifindex) for one in pods.attached()},
                "pins": pins,
                "devices": {one.name for one in link.list_links()},
                "routes": spaces.command("ip", "-6", "route", "show", "table", "all"),
                "neighbours": spaces.command("ip", "-6", "neigh", "show", "nud", "permanent"),
                "network namespaces": {one.name for one in netns.DIRECTORY.iterdir()},
                "control groups": self.runtime.cgroups(),
            }


def _insist(do: Callable[[], Result]) -> Result:
    """Until there is an agent."""
    while True:
        try:
            return do()
        except Refused as error:
            assert any(words in error.message for words in _AWAY), error
        time.sleep(0.1)


@contextlib.contextmanager
def raise_nodes(directory: Path) -> Iterator[tuple[RuntimeNode, RuntimeNode]]:
    """one up0 2001:db8::1 ==== 2001:db8::2 up0 two, without an address of IPv4."""
    with contextlib.ExitStack() as stack:
        names = [stack.enter_context(spaces.new()) for _ in range(2)]
        link.create_veth("up0", "up0", netns_a=names[0], netns_b=names[1], up=True)
        nodes = []
        for number, name in enumerate(names, 1):
            with netns.inside(name):
                sysctl.set("net.ipv6.conf.up0.accept_dad", 0)
                link.set_up("lo")
                address.add("up0", ip_interface(f"2001:db8::{number}/64"))
            place = directory / f"node{number}"
            place.mkdir()
            agent = Agent(name, place, internet=names[2 - number], pod=names[2 - number])
            stack.enter_context(stock.lent(agent.bpffs))
            stack.callback(agent.clean)
            agent.start()
            other = 3 - number
            pool = f"2001:db8:64:{number}::/64"
            agent.apply(
                changed(
                    NETWORK,
                    pools=[{"name": "default", "ranges": [pool]}],
                    routes=[{"to": f"2001:db8:64:{other}::/64", "via": f"2001:db8::{other}"}],
                )
            )
            runtime = Containerd(name, place / "containerd", agent.socket)
            stack.enter_context(runtime.running())
            nodes.append(RuntimeNode(agent, names[2 - number], IPv6Network(pool), runtime))
        yield nodes[0], nodes[1]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RuntimeNode, RuntimeNode]]:
    with raise_nodes(tmp_path_factory.mktemp("nodes")) as raised:
        yield raised


@pytest.fixture(autouse=True, scope="module")
def leaves_nothing_behind(
    leak_check: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """Tests end agents that others go on with."""
    with leak_check():
        yield


@contextlib.contextmanager
def nothing_left(nodes: Sequence[RuntimeNode]) -> Iterator[None]:
    before = [node.left() for node in nodes]
    assert not any(one[what] for one in before for what in ("leases", "map pods"))
    try:
        yield
    except BaseException:
        for node in nodes:
            if not node.agent.is_running:
                node.agent.start()
            node.runtime.remove_pods()
        raise
    for node, had in zip(nodes, before, strict=True):
        assert node.left() == had


def test_pods_of_two_nodes(nodes: tuple[RuntimeNode, RuntimeNode]) -> None:
    one, two = nodes
    with nothing_left(nodes):
        fixed = "2001:db8:64:1::f1"
        web, shop = one.start("web"), one.start("shop", fixed)
        db = two.start("db")
        assert ip_address(web.address) in one.pool and ip_address(db.address) in two.pool
        assert shop.address == fixed
        one.reach(web, shop.address, "shop")
        one.reach(web, db.address, "db")
        two.reach(db, web.address, "web")
        told = {each["name"]: each for each in one.pods()}
        assert told.keys() == {"web", "shop"}
        assert told["web"]["namespace"] == "shop" and told["web"]["containerId"] == web.id
        assert told["web"]["addresses"] == [web.address]
        shown = one.run_in(web, "ip", "address", "show", "dev", "eth0")
        assert f"inet6 {web.address}/128" in shown and "inet " not in shown
        assert one.run_in(web, "cat", "/etc/resolv.conf") == f"nameserver {NAMESERVER}\n"
        for node, pod in ((one, web), (one, shop), (two, db)):
            node.end(pod.id)


def test_an_agent_that_is_away(nodes: tuple[RuntimeNode, RuntimeNode]) -> None:
    """Pods go on; what the runtime could not have done, it has done later."""
    one, two = nodes
    with nothing_left(nodes):
        web, leaving, db = one.start("web"), one.start("leaving"), two.start("db")
        one.agent.end(signal.SIGKILL)
        one.reach(web, db.address, "db")
        two.reach(db, web.address, "web")
        with pytest.raises(Refused, match="the agent is not running"):
            one.kubelet.run(one.pod("late"))
        with pytest.raises(Refused, match="the agent is not running"):
            one.kubelet.stop(leaving.id)
        one.agent.start()
        one.end(leaving.id)
        late = one.kubelet.run(one.pod("late", attempt=1))
        there = one.kubelet.look(late)
        assert there.is_ready
        one.reach(web, db.address, "db")
        assert sorted(address for each in one.pods() for address in each["addresses"]) == sorted(
            [web.address, *there.addresses]
        )
        for pod in one.kubelet.pods():  # what the first try has left, too
            one.end(pod)
        two.end(db.id)


def test_a_hundred_pods_come_and_go(nodes: tuple[RuntimeNode, RuntimeNode]) -> None:
    with nothing_left(nodes), ThreadPoolExecutor(_AT_ONCE) as pool:
        wanted = [(node, node.pod(f"pod{number}")) for number in range(50) for node in nodes]
        ids = list(pool.map(lambda each: each[0].kubelet.run(each[1]), wanted))
        for node in nodes:
            told = {one["containerId"]: one for one in node.pods()}
            addresses = {one: node.kubelet.look(one).addresses for one in node.kubelet.pods()}
            assert len({each for some in addresses.values() for each in some}) == 50
            assert told.keys() == addresses.keys()
            for pod, some in addresses.items():
                assert told[pod]["ready"] and told[pod]["addresses"] == list(some)
                assert all(ip_address(each) in node.pool for each in some)
            assert len(ours(node.agent.namespace)) == 50
        ends = zip(wanted, ids, strict=True)
        list(pool.map(lambda each: each[0][0].end(each[1]), ends))


def test_agents_that_are_killed_meanwhile(nodes: tuple[RuntimeNode, RuntimeNode]) -> None:
    with nothing_left(nodes), ThreadPoolExecutor(_AT_ONCE) as pool:
        wanted = [(node, f"pod{number}") for number in range(5) for node in nodes]
        coming = [pool.submit(node.insist, name) for node, name in wanted]
        kill_agents(nodes, coming)
        ids = [one.result() for one in coming]
        for at, node in enumerate(nodes):
            told = {one["containerId"]: one["addresses"] for one in node.pods()}
            ready = {one: list(node.kubelet.look(one).addresses) for one in ids[at::2]}
            assert all(told[pod] == addresses for pod, addresses in ready.items())
            assert len({each for some in told.values() for each in some}) == len(told)
        ends = [(node, pod) for node in nodes for pod in node.kubelet.pods()]
        going = [pool.submit(_insist, partial(node.end, pod)) for node, pod in ends]
        kill_agents(nodes, going)
        for one in going:
            one.result()


def kill_agents(nodes: Sequence[RuntimeNode], work: Sequence[Future[Any]]) -> None:
    """Each while others wait for it, and start them again."""
    for node in nodes:
        wait(work, timeout=0.5)
        node.agent.end(signal.SIGKILL)
        wait(work, timeout=0.2)
        node.agent.start()
