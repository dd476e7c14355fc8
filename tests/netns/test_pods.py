# SPDX-License-Identifier: Apache-2.0
"""Pods as a container runtime has them made: the plugin, a real agent, real traffic."""

import contextlib
import json
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from ipaddress import ip_address, ip_interface
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from sixlane.bpf import Map
from sixlane.datapath.layout import PodSetup
from sixlane.datapath.pods import Pods
from sixlane.model import Network, parse_resource
from sixlane.net import link, netns, route, sysctl
from sixlane.pods import Asked, Attachment, Usual
from sixlane.pods.devices import PROTOCOL
from sixlane.pods.leases import Leases
from tests import needs
from tests.netns import spaces
from tests.netns.agents import Agent, changed, eventually
from tests.netns.node import EGRESS4, FAR, raise_spaces
from tests.netns.test_scrape import numbers
from tests.unit.cni.calling import Ran, Runtime
from tests.world import stock

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("ip"),
    needs.command("nft"),
    needs.command("ping"),
]

NETWORK: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Network",
    "metadata": {"name": "pods"},
    "spec": {
        "uplinks": [{"name": "up0"}],
        "pools": [{"name": "default", "ranges": ["2001:db8:64:1::/64"]}],
        "routes": [{"to": "2001:db8:64:2::/64", "via": "2001:db8::2"}],
    },
}
GATEWAY: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Gateway",
    "metadata": {"name": "edge"},
    "spec": {
        "devices": [{"name": "up0", "attach": "tc"}],
        "prefixes": [{"name": "pods", "prefix": "64:ff9b::/96", "ipv4": [EGRESS4]}],
    },
}
_FORWARDING = (
    ("net", "ipv6", "conf", "all", "forwarding"),
    ("net", "ipv6", "conf", "up0", "forwarding"),
    ("net", "ipv4", "conf", "up0", "forwarding"),
)


class Node(Runtime):
    """A node with an agent, and its runtime; containers have namespaces of their own."""

    def __init__(self, agent: Agent, far: str) -> None:
        super().__init__(agent.place.run_dir)
        self.agent, self.far = agent, far
        self.spaces: dict[str, str] = {}

    def netns(self, container: str) -> Path:
        return netns.DIRECTORY / self.spaces[container]

    @contextlib.contextmanager
    def containers(self, *names: str) -> Iterator[None]:
        """Their namespaces, without a network yet; whatever they have afterwards, is deleted."""
        with contextlib.ExitStack() as stack:
            for name in names:
                self.spaces[name] = stack.enter_context(spaces.new())
            yield
            for name in names:
                self.delete(name).result()

    def counted(self, reason: str) -> int:
        return int(self.agent.status()["network"]["counters"][reason]["packets"])

    def pins(self) -> list[str]:
        """Of programs on pods' devices."""
        links = self.root / "links"
        return [one.name for one in links.iterdir() if not one.name.startswith("uplink-")]

    def get(self, name: tuple[str, ...]) -> str:
        """A sysctl."""
        with netns.inside(self.agent.namespace):
            return sysctl.get(name)

    @property
    def root(self) -> Path:
        """Of the pins of pods."""
        return self.agent.bpffs.with_name(f"{self.agent.bpffs.name}-pods")

    def pods(self) -> Any:
        return json.loads(self.agent.sixlane("pod", "list", "-o", "json"))["items"]


def address(done: Ran) -> str:
    """The pod's own."""
    return str(ip_interface(done.result()["ips"][0]["address"]).ip)


def ping(space: str, to: str, *options: str, code: int = 0) -> str:
    argv = ["ping", "-n", "-c", "2", "-i", "0.1", "-W", "2", *options, to]
    done = netns.run(space, argv, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@contextlib.contextmanager
def past_the_stack(space: str) -> Iterator[None]:
    """The node's firewall forwards nothing."""
    with netns.inside(space):
        spaces.command("nft", "add table inet wall")
        hook = "type filter hook forward priority 0; policy drop;"
        spaces.command("nft", f"add chain inet wall forward {{ {hook} }}")
    try:
        yield
    finally:
        with netns.inside(space):
            spaces.command("nft", "delete table inet wall")


def ours(space: str) -> list[str]:
    """Devices of pods."""
    with netns.inside(space):
        return [one.name for one in link.list_links() if one.name.startswith("sl")]


@contextlib.contextmanager
def raise_node(directory: Path) -> Iterator[Node]:
    """The node forwards nothing by itself."""
    with contextlib.ExitStack() as stack:
        name, router, far = (stack.enter_context(spaces.new()) for _ in range(3))
        raise_spaces(name, router, far)
        with netns.inside(name):
            sysctl.set("net.ipv4.ip_forward", 0)
            sysctl.set("net.ipv6.conf.all.forwarding", 0)
        agent = Agent(name, directory, internet=far, pod=router)
        stack.enter_context(stock.lent(agent.bpffs))
        stack.callback(agent.clean)
        agent.start()
        agent.apply(NETWORK)
        yield Node(agent, far)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with raise_node(tmp_path_factory.mktemp("pods")) as raised:
        yield raised


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Node]:
    """For tests that end its agent, or leave another one than they found."""
    with raise_node(tmp_path) as raised:
        yield raised


def test_pods_reach_each_other_and_the_world(node: Node) -> None:
    with node.containers("one", "two"):
        one = address(node.add("one", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;IgnoreUnknown=1"))
        two = address(node.add("two"))
        for space, to in (
            (node.spaces["one"], two),
            (node.spaces["two"], one),
            (node.spaces["one"], FAR[6]),
            (node.far, one),
        ):
            ping(space, to)
        counted = {reason: node.counted(reason) for reason in ("local", "in", "out")}
        with past_the_stack(node.agent.namespace):
            ping(node.spaces["one"], two)
            ping(node.far, one)
        assert all(node.counted(reason) > before for reason, before in counted.items())
        metrics = numbers(node.agent.metrics())
        assert metrics["sixlane_pods",] == 2
        assert metrics["sixlane_pod_packets_total", "local"] == node.counted("local")
        assert metrics["sixlane_pod_addresses", "ipv6", "default"] == 2
        assert metrics["sixlane_cni_requests_total", "ADD", "ok"] >= 2
        told = {one["containerId"]: one for one in node.pods()}
        assert (told["one"]["namespace"], told["one"]["name"]) == ("shop", "web")
        assert (told["one"]["addresses"], told["two"]["addresses"]) == ([one], [two])
        assert told["two"]["ready"]
        assert "shop/web" in node.agent.sixlane("pod", "list")
        assert re.search(r"pods +(veth|netkit) +1500 +up0 +2\n", node.agent.sixlane("status"))
    assert node.pods() == []
    assert ours(node.agent.namespace) == []


@needs.netkit
def test_each_kind_of_device(own_node: Node) -> None:
    """Side by side on one node, and over a kill of its agent."""
    node = own_node
    kinds = {"one": "netkit", "two": "netkit-l2", "three": "veth"}
    with node.containers(*kinds):
        asked: dict[str, dict[str, str]] = {"one": {}, "two": {"device": "netkit-l2"}}
        made = {name: node.add(name, **asked.get(name, {"device": "veth"})) for name in kinds}
        own = {name: address(done) for name, done in made.items()}
        assert {one["containerId"]: one["device"] for one in node.pods()} == kinds
        for is_away in (False, True):
            if is_away:
                node.agent.end(signal.SIGKILL)
            ping(node.far, own["one"])  # the stack asks for the router's hardware address
            with past_the_stack(node.agent.namespace):
                for name, other in permutations(kinds, 2):
                    ping(node.spaces[name], own[other])
                for name in kinds:
                    ping(node.far, own[name])
        node.agent.start()
        for name, done in made.items():
            node.check(done.result(), name).result()
            ping(node.far, own[name])
    assert node.pods() == ours(node.agent.namespace) == node.pins() == []


def test_what_packets_remember_is_forgotten_when_it_changes(own_node: Node) -> None:
    """Packets ask again in another epoch."""

    def epoch() -> int:
        (pin,) = own_node.root.glob("maps/pod_setups-*")
        with Map.from_pin(pin) as setups:
            return PodSetup.from_buffer_copy(setups.lookup(bytes(4)) or b"").epoch

    def has_moved(before: int) -> bool:
        return epoch() != before

    for change in (
        ("address", "add", "2001:db8::77/64", "dev", "up0", "nodad"),
        ("route", "add", "2001:db8:64:3::/64", "via", "2001:db8::2"),
        ("rule", "add", "from", "2001:db8:64:1::77", "lookup", "main"),
        ("neighbour", "add", "2001:db8::88", "lladdr", "02:00:00:00:00:88", "dev", "up0"),
        ("link", "set", "up0", "mtu", "1400"),
    ):
        before = epoch()
        with netns.inside(own_node.agent.namespace):
            spaces.command("ip", "-6", *change)
        assert eventually(partial(has_moved, before)), change


def test_each_command_twice(node: Node) -> None:
    with node.containers("one"):
        first = node.add("one").result()
        assert node.add("one").result() == first
        node.check(first, "one").result()
        with netns.inside(node.spaces["one"]):
            spaces.command("ip", "-6", "route", "delete", "default")
        node.check(first, "one").failure(101, "lacks the route")
        assert node.add("one").result() == first
        node.check(first, "one").result()
        node.delete("one").result()
        node.delete("one").result()
        node.check(first, "one").failure(3)
        assert address(node.add("one")) != str(ip_interface(first["ips"][0]["address"]).ip)


def test_many_at_once(node: Node) -> None:
    names = [f"many{number}" for number in range(24)]
    with node.containers(*names), ThreadPoolExecutor(8) as pool:
        addresses = [address(done) for done in pool.map(node.add, names)]
        assert len(set(addresses)) == len(names)
        ping(node.spaces[names[0]], addresses[-1])
        for done in pool.map(node.delete, names):
            done.result()
        assert ours(node.agent.namespace) == []
        assert node.pods() == []


def test_what_a_pod_has_not_it_cannot_send_from(node: Node) -> None:
    with node.containers("one", "two"):
        two = address(node.add("two"))
        node.add("one").result()
        with netns.inside(node.spaces["one"]):
            spaces.command("ip", "address", "add", "2001:db8:64:1::bad/128", "dev", "eth0", "nodad")
        before = node.counted("drop_source")
        ping(node.spaces["one"], two, "-I", "2001:db8:64:1::bad", "-W", "1", code=1)
        assert node.counted("drop_source") == before + 2


def test_an_add_that_fails_leaves_nothing(node: Node) -> None:
    with node.containers("one"):
        with netns.inside(node.spaces["one"]):
            link.create_veth("eth0", "other")
        node.add("one").failure(102, "EEXIST")
        assert node.pods() == []
        assert ours(node.agent.namespace) == []
        with netns.inside(node.spaces["one"]):
            link.delete("eth0")
        node.add("one").result()


def test_gc_is_about_one_network(node: Node) -> None:
    with node.containers("one", "two", "three", "other"):
        kept = address(node.add("one"))
        for name in ("two", "three"):
            node.add(name).result()
        node.add("other", name="others").result()
        node.gc("one").result()
        assert {one["containerId"] for one in node.pods()} == {"one", "other"}
        assert len(ours(node.agent.namespace)) == 2
        ping(node.spaces["one"], FAR[6])
        ping(node.far, kept)


def test_a_pod_that_has_gone(own_node: Node) -> None:
    """Its lease stays until the runtime says so, also over a restart."""
    node = own_node
    with node.containers("one", "two"):
        node.add("one").result()
        node.add("two").result()
        for name in ("one", "two"):
            netns.remove(node.spaces[name])
        assert eventually(lambda: ours(node.agent.namespace) == [])
        node.delete("two").result()
        assert len(node.pins()) == 1
        node.agent.end(signal.SIGKILL)
        node.agent.start()
        assert node.pins() == []
        assert [one["containerId"] for one in node.pods()] == ["one"]
        node.delete("one").result()
        assert node.pods() == []


def test_killed_under_traffic(own_node: Node) -> None:
    """Pods keep what they have; whoever wants something meanwhile is told to try again."""
    node = own_node
    with node.containers("one", "two", "late"):
        one = address(node.add("one"))
        node.add("two").result()
        argv = ["ping", "-n", "-c", "150", "-i", "0.05", "-W", "2"]
        pings = [
            netns.popen(space, [*argv, to], stdout=-1, text=True)
            for space, to in ((node.spaces["two"], one), (node.far, one))
        ]
        node.agent.end(signal.SIGKILL)
        node.add("late").failure(11)
        node.agent.start()
        late = address(node.add("late"))
        for running in pings:
            told, _ = running.communicate(timeout=60)
            assert " 0% packet loss" in told
        ping(node.spaces["two"], late)
        assert address(node.add("one")) == one


def test_what_a_start_finds(own_node: Node) -> None:
    """Pods that are there are known again; what an ADD had begun, and what no lease names, goes."""
    node = own_node
    begun, nobody = Attachment("begun", "eth0"), ip_address("2001:db8:64:1::bad")
    with node.containers("one", "two"):
        one = address(node.add("one"))
        node.add("two").result()
        node.agent.end(signal.SIGKILL)
        leases = Leases(node.agent.place.state_dir / "leases.db")
        network = parse_resource(NETWORK)
        assert isinstance(network, Network)
        leases.add(Asked(begun, "/run/netns/begun"), network, Usual("veth", 1500))
        leases.close()
        with netns.inside(node.agent.namespace), Pods.open(node.root) as pods:
            link.create_veth(begun.host_device, "peer")
            place = pods.place(ip_address(one))
            assert place is not None
            pods.forget([ip_address(one)])
            pods.put([nobody], place)
            pods.detach(place.ifindex)
        node.agent.start()
        assert [one["containerId"] for one in node.pods()] == ["one", "two"]
        assert len(ours(node.agent.namespace)) == len(node.pins()) == 2
        with netns.inside(node.agent.namespace), Pods.open(node.root) as pods:
            assert pods.place(ip_address(one)) == place
            assert pods.place(nobody) is None
        ping(node.far, one)
        with past_the_stack(node.agent.namespace):
            ping(node.spaces["two"], one)
            ping(node.far, one)


def test_killed_while_pods_come_and_go(own_node: Node) -> None:
    """Whatever was begun, each pod that was told has its address to itself, and nothing is left of
    the others."""
    node = own_node
    names = [f"pod{number}" for number in range(16)]

    def come(name: str) -> str:
        while (done := node.add(name)).status:
            done.failure(11)
        return address(done)

    def go(name: str) -> str:
        while (done := node.delete(name)).status:
            done.failure(11)
        return name

    with node.containers(*names), ThreadPoolExecutor(4) as pool:
        for is_coming in (True, False):
            working = [pool.submit(come if is_coming else go, name) for name in names]
            for _ in range(2):
                wait(working, timeout=0.3)
                node.agent.end(signal.SIGKILL)
                node.agent.start()
            told = [one.result() for one in working]
            there = node.pods()
            if not is_coming:
                assert there == ours(node.agent.namespace) == node.pins() == []
                continue
            assert sorted(told) == sorted(one["addresses"][0] for one in there)
            assert len(set(told)) == len(ours(node.agent.namespace)) == len(names)
            assert all(one["ready"] for one in there)
            ping(node.spaces[names[0]], told[-1])


def test_pods_of_a_gateway(own_node: Node) -> None:
    """To IPv4 they are what their second address says, as long as there is a Gateway."""
    node = own_node
    there = f"64:ff9b::{FAR[4]}"
    egress = {"prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/25"]}
    node.agent.apply(changed(NETWORK, statelessEgress=egress))
    with node.containers("one", "two"):
        node.add("one").result()
        node.agent.apply(GATEWAY)
        node.add("two").result()
        for name in ("one", "two"):
            ping(node.spaces[name], there)
        node.agent.end(signal.SIGKILL)
        node.agent.start()
        for name in ("one", "two"):
            ping(node.spaces[name], there)
        node.agent.sixlane("delete", "gateway", "edge")
        ping(node.spaces["one"], there, "-W", "1", code=1)
        ping(node.spaces["one"], FAR[6])


def test_a_network_that_is_in_use_stays(node: Node) -> None:
    with node.containers("one"):
        node.add("one").result()
        told = node.agent.sixlane("delete", "network", "pods", code=5)
        assert "1 pod has addresses" in told
        ping(node.spaces["one"], FAR[6])


def test_a_network_that_goes(node: Node) -> None:
    node.agent.sixlane("delete", "network", "pods")
    try:
        assert not node.root.exists()
        assert [node.get(one) for one in _FORWARDING] == ["0", "0", "0"]
        node.status().failure(50, "no Network")
    finally:
        node.agent.apply(NETWORK)
    node.status().result()
    with node.containers("one"):
        node.add("one").result()
        ping(node.spaces["one"], FAR[6])


def test_a_route_that_cannot_be(node: Node) -> None:
    """It is told, and the others are there."""
    routes = [{"to": "2001:db8:64:3::/64", "via": "2001:db8:99::1"}, *NETWORK["spec"]["routes"]]
    node.agent.apply(changed(NETWORK, routes=routes))
    try:
        assert any("2001:db8:64:3::/64" in one for one in node.agent.status()["problems"])
        with netns.inside(node.agent.namespace):
            there = [str(one.dst) for one in route.list_routes(proto=PROTOCOL)]
        assert there == ["2001:db8:64:2::/64"]
    finally:
        node.agent.apply(NETWORK)
    assert node.agent.status()["problems"] == []


def test_an_uplink_that_comes_later(node: Node) -> None:
    uplinks = [{"name": "up0"}, {"name": "up1"}]
    node.agent.apply(changed(NETWORK, uplinks=uplinks))
    try:
        assert any("up1: there is no such device" in one for one in node.agent.status()["problems"])
        with netns.inside(node.agent.namespace):
            link.create_veth("up1", "end1", up=True)
        assert eventually(lambda: node.agent.status()["problems"] == [])
        with netns.inside(node.agent.namespace):
            forwarding = ("net", "ipv4", "conf", "up1", "forwarding")
            assert sysctl.get(forwarding) == "1"
            sysctl.set(forwarding, 0)
        assert eventually(lambda: node.get(forwarding) == "1")
        with netns.inside(node.agent.namespace):
            link.delete("up1")
            link.create_veth("up1", "end1", up=True)
        assert eventually(lambda: node.get(forwarding) == "1")
        with netns.inside(node.agent.namespace):
            link.delete("up1")
    finally:
        node.agent.apply(NETWORK)


def condition(node: Node, type: str) -> dict[str, Any]:
    (view,) = (one for one in node.agent.resources() if one["kind"] == "Network")
    (found,) = (one for one in view["status"]["conditions"] if one["type"] == type)
    return dict(found)


def rule(*argv: str) -> None:
    spaces.command("ip", "-6", "rule", *argv)


def refused(space: str, to: str) -> None:
    """The firewall of the node takes it."""
    ping(space, to, code=1)


def test_policy_rules_by_marks(node: Node) -> None:
    """The host's firewall may mark what leaves the node: then that goes by the stack."""
    what = "policy rule 90 (IPv6) looks at marks"
    with node.containers("one", "two"):
        one, two = address(node.add("one")), address(node.add("two"))
        ping(node.spaces["one"], FAR[6])
        assert condition(node, "Redirected")["reason"] == "Redirected"
        with netns.inside(node.agent.namespace):
            rule("add", "fwmark", "7", "table", "77", "pref", "90")
        try:
            assert eventually(lambda: condition(node, "Redirected")["reason"] == "PolicyRules")
            assert condition(node, "Redirected")["status"] == "False"
            assert condition(node, "Ready")["status"] == "True"
            assert any(what in problem for problem in node.agent.status()["problems"])
            with past_the_stack(node.agent.namespace):
                refused(node.spaces["one"], FAR[6])
                ping(node.spaces["one"], two)
            ping(node.spaces["one"], FAR[6])
            node.agent.apply(changed(NETWORK, redirect="always"))
            with past_the_stack(node.agent.namespace):
                ping(node.spaces["one"], FAR[6])
            assert what in node.agent.apply(NETWORK)
        finally:
            with netns.inside(node.agent.namespace):
                rule("delete", "pref", "90")
            node.agent.apply(NETWORK)
        assert eventually(lambda: condition(node, "Redirected")["status"] == "True")
        assert node.agent.status()["problems"] == []
        with past_the_stack(node.agent.namespace):
            ping(node.far, one)
            ping(node.spaces["one"], FAR[6])


def test_past_a_firewall(node: Node) -> None:
    """Nobody has asked for that: it is told, at once and for as long as it is so."""
    past = "pods' packets go past the host's firewall (chain inet wall forward)"
    with past_the_stack(node.agent.namespace):
        told = node.agent.apply(changed(NETWORK, device="veth"))
        assert past in told and "redirect: never" in told
        is_so = condition(node, "Redirected")
        assert (is_so["status"], is_so["reason"]) == ("True", "PastFirewall")
        assert condition(node, "Ready")["status"] == "True"
        assert any(past in problem for problem in node.agent.status()["problems"])
        for redirect, reason in (("always", "Redirected"), ("never", "AsAsked")):
            assert past not in node.agent.apply(changed(NETWORK, redirect=redirect))
            assert condition(node, "Redirected")["reason"] == reason
            assert node.agent.status()["problems"] == []
        assert past in node.agent.apply(NETWORK)
    assert eventually(lambda: condition(node, "Redirected")["reason"] == "Redirected")
    assert node.agent.status()["problems"] == []


def test_by_the_stack_alone(own_node: Node) -> None:
    """So that the host's firewall sees all that pods send and get, also of an agent that is new."""
    node = own_node
    node.agent.apply(changed(NETWORK, redirect="never"))
    with node.containers("one", "two"):
        one, two = address(node.add("one")), address(node.add("two"))
        for again in (False, True):
            if again:
                node.agent.end(signal.SIGKILL)
                node.agent.start()
            told = condition(node, "Redirected")
            assert (told["status"], told["reason"]) == ("False", "AsAsked")
            assert node.agent.status()["problems"] == []
            for to in (two, FAR[6]):
                ping(node.spaces["one"], to)
            with past_the_stack(node.agent.namespace):
                for to in (two, FAR[6]):
                    refused(node.spaces["one"], to)
                refused(node.far, one)
        assert node.counted("local") == node.counted("out") == node.counted("in") == 0


def test_the_doctor_of_pods_that_have_gone(own_node: Node) -> None:
    """With an agent, and without."""
    node = own_node
    with node.containers("one", "two"):
        node.add("one").result()
        node.add("two").result()
        netns.remove(node.spaces["one"])
        for is_away in (False, True):
            if is_away:
                node.agent.end(signal.SIGKILL)
            checks = json.loads(node.agent.run("doctor", "-o", "json").stdout)["checks"]
            (told,) = (one for one in checks if one["name"] == "pod-leases")
            assert told["status"] == "warning"
            assert told["what"].startswith("eth0 of one has addresses, but its network namespace ")
            assert [one["what"] for one in checks if one["name"] == "pod-uplinks"] == [
                "uplink up0 forwards IPv4 and IPv6"
            ]
        node.agent.start()


def test_teardown_leaves_nothing(tmp_path: Path) -> None:
    with raise_node(tmp_path) as node:
        home = node.agent.namespace
        with netns.inside(home):
            assert [sysctl.get(one) for one in _FORWARDING] == ["1", "1", "1"]
            assert [str(one.dst) for one in route.list_routes(proto=PROTOCOL)] == [
                "2001:db8:64:2::/64"
            ]
        node.status().result()
        with node.containers("one"):
            node.add("one").result()
            assert node.root.is_dir()
            node.agent.teardown()
            assert not node.root.exists()
            assert ours(home) == []
            with netns.inside(home):
                assert [sysctl.get(one) for one in _FORWARDING] == ["0", "0", "0"]
                assert route.list_routes(proto=PROTOCOL) == []
            with netns.inside(node.spaces["one"]):
                assert link.find("eth0") is None
            node.status().failure(50, "no Network")
            node.add("one").failure(11, "no Network")
            node.agent.apply(NETWORK)
            node.add("one").result()
            ping(node.spaces["one"], FAR[6])


def test_teardown_without_an_agent(tmp_path: Path) -> None:
    with raise_node(tmp_path) as node, node.containers("one"):
        node.add("one").result()
        node.agent.end(signal.SIGKILL)
        node.agent.teardown()
        assert ours(node.agent.namespace) == []
        with netns.inside(node.agent.namespace):
            assert [sysctl.get(one) for one in _FORWARDING] == ["0", "0", "0"]
            assert route.list_routes(proto=PROTOCOL) == []
        node.agent.start()
        assert node.pods() == []
