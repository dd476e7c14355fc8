# SPDX-License-Identifier: Apache-2.0
"""BIG TCP by the agent: devices that are there, that come, that somebody resets, and a Gateway."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sixlane.net import gso, link, netns, sysctl
from tests import needs
from tests.netns.agents import changed, eventually
from tests.netns.compiled import compile_bpf
from tests.netns.looking import carried
from tests.netns.node import EGRESS4, FAR
from tests.netns.test_pods import GATEWAY, NETWORK, Node, ours, raise_node

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.big_tcp,
    needs.command("ip"),
    needs.command("nft"),
    needs.command("ping"),
]

BIG, BIG4 = 196_608, 131_072
ASKED = changed(NETWORK, bigTcp={"ipv6": BIG, "ipv4": BIG4})
HAVE = (BIG, BIG, BIG4, BIG4)
ORDINARY = (gso.ORDINARY,) * 4
Four = tuple[int | None, ...]


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Node]:
    with raise_node(tmp_path) as raised:
        yield raised


def four(space: str, device: str) -> Four:
    with netns.inside(space):
        found = gso.find(link.index(device)) if link.find(device) else None
    if found is None:
        return ()
    sizes = found.sizes
    return sizes.gso, sizes.gro, sizes.gso_ipv4, sizes.gro_ipv4


def all_of(node: Node, *containers: str) -> set[Four]:
    home = node.agent.namespace
    devices = [(home, "up0"), *((home, one) for one in ours(home))]
    devices += [(node.spaces[one], "eth0") for one in containers]
    return {four(*one) for one in devices}


def rows(node: Node) -> list[dict[str, Any]]:
    told: dict[str, Any] = json.loads(node.agent.sixlane("bigtcp", "status", "-o", "json"))
    return list(told["items"])


def big_tcp_condition(node: Node) -> dict[str, Any]:
    told = json.loads(node.agent.sixlane("get", "network", "pods", "-o", "json"))
    (found,) = [one for one in told["status"]["conditions"] if one["type"] == "BigTcp"]
    return dict(found)


def test_pods_that_run_that_come_and_that_are_reset(own_node: Node) -> None:
    node = own_node
    home = node.agent.namespace
    with netns.inside(home):
        gso.set_some("up0", {"gso": 100_000})
    with node.containers("one", "two"):
        node.add("one", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;IgnoreUnknown=1").result()
        argv = ("apply", "--dry-run", "-f", "-")
        assert "gso 100000 -> 196608" in node.agent.sixlane(*argv, stdin=json.dumps(ASKED))
        assert all_of(node, "one") != {HAVE}
        node.agent.apply(ASKED)
        assert all_of(node, "one") == {HAVE}
        node.add("two").result()
        assert all_of(node, "one", "two") == {HAVE}, "at once"
        assert big_tcp_condition(node)["reason"] == "AsAsked"

        for space, device in ((home, "up0"), (home, ours(home)[0]), (node.spaces["two"], "eth0")):
            with netns.inside(space):
                gso.set_sizes(device, gso.ORDINARY)
            assert eventually(lambda: all_of(node, "one", "two") == {HAVE}), device

        node.agent.end(signal.SIGKILL)
        with netns.inside(home):
            gso.set_some("up0", {"gso": 90_000})
        node.agent.start()
        assert eventually(lambda: all_of(node, "one", "two") == {HAVE})

        node.agent.apply(NETWORK)
        assert all_of(node, "one", "two") == {ORDINARY, (100_000, *ORDINARY[1:])}
        assert four(home, "up0") == (100_000, *ORDINARY[1:])
        with netns.inside(node.spaces["one"]):
            assert sysctl.get(("net", "ipv6", "conf", "eth0", "mtu")) == "1500"
            gso.set_some("eth0", {"gro": 90_000})
        node.agent.apply(changed(NETWORK, bigTcp={"ipv4": BIG}))
        assert four(node.spaces["one"], "eth0") == (gso.ORDINARY, 90_000, BIG, BIG)


def test_what_is_told(own_node: Node) -> None:
    node = own_node
    node.agent.apply(changed(NETWORK, bigTcp={"ipv6": BIG}))
    with node.containers("one"):
        node.add("one", "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;IgnoreUnknown=1").result()
        up, host, pod = rows(node)
        assert (up["device"], up["role"], up["netns"], up["ipv6Mtu"]) == (
            *("up0", "uplink", None, None),
        )
        assert (host["role"], host["name"]) == ("host-end", "web")
        assert (pod["device"], pod["role"], pod["ipv6Mtu"]) == ("eth0", "pod-end", 1492)
        assert pod["netns"] == str(node.netns("one"))
        for one in (up, host, pod):
            assert (one["gso"], one["gro"]) == (BIG, BIG)
            assert (one["gsoIpv4"], one["groIpv4"]) == (gso.ORDINARY, gso.ORDINARY)
            assert one["maximum"] == gso.LARGEST
            assert one["why"] == {"ipv6": "as asked", "ipv4": "left alone: not asked for"}
        table = node.agent.sixlane("bigtcp", "status")
        assert "eth0" in table and "shop/web" in table


def test_an_uplink_that_takes_less(own_node: Node) -> None:
    """A bridge without ports: it is told, and the pods have no more."""
    node = own_node
    uplinks = [{"name": "up0"}, {"name": "br0"}]
    node.agent.apply(changed(ASKED, uplinks=uplinks))
    with node.containers("one"):
        node.add("one").result()
        assert all_of(node, "one") == {HAVE}
        with netns.inside(node.agent.namespace):
            link.create_bridge("br0", up=True)
        assert eventually(lambda: all_of(node, "one") == {HAVE, ORDINARY})
        assert four(node.agent.namespace, "up0") == HAVE
        assert eventually(lambda: big_tcp_condition(node)["reason"] == "Limited")
        found = big_tcp_condition(node)
        assert "br0: limited by the device's maximum of 65536" in found["message"]
        why = {one["device"]: one["why"]["ipv6"] for one in rows(node)}
        assert why["eth0"] == "limited by br0's maximum of 65536"
        with netns.inside(node.agent.namespace):
            link.delete("br0")
        assert eventually(lambda: all_of(node, "one") == {HAVE})


def test_an_uplink_that_is_renamed_and_one_that_takes_its_place(own_node: Node) -> None:
    node = own_node
    home = node.agent.namespace
    node.agent.apply(ASKED)
    with netns.inside(home):
        link.set_down("up0")
        link.rename("up0", "old0")
    assert eventually(lambda: four(home, "old0") == ORDINARY)
    with netns.inside(home):
        link.create_veth("up0", "end0", up=True)
    assert eventually(lambda: four(home, "up0") == HAVE)
    with netns.inside(home):
        link.delete("up0")
        link.create_veth("up0", "end0", up=True)
    assert eventually(lambda: four(home, "up0") == HAVE)
    assert four(home, "old0") == ORDINARY


@pytest.mark.parametrize("how", ["delete", "teardown", "teardown without an agent"])
def test_what_was_before_is_put_back(own_node: Node, how: str) -> None:
    node = own_node
    home = node.agent.namespace
    with netns.inside(home):
        gso.set_some("up0", {"gro": 100_000, "gso_ipv4": 90_000})
    before = four(home, "up0")
    node.agent.apply(ASKED)
    assert four(home, "up0") == HAVE
    if how == "delete":
        node.agent.sixlane("delete", "network", "pods")
    else:
        if how != "teardown":
            node.agent.end(signal.SIGKILL)
        node.agent.teardown()
    assert four(home, "up0") == before


@needs.tcx
@needs.command("clang")
@needs.command("gcc")
@pytest.mark.parametrize("first", ["Gateway", "BIG TCP"])
def test_through_a_gateway_of_the_node(own_node: Node, tmp_path: Path, first: str) -> None:
    """Pods reach IPv4, and IPv6 beside it, by packets beyond 64 KiB, whichever of both came first;
    of the other way, packets are at least as large as IPv6 can say."""
    node = own_node
    program = compile_bpf(Path(__file__).with_name("segments.bpf.c"), tmp_path)
    egress = {"prefix": "64:ff9b::/96", "ipv4": [EGRESS4]}
    for space, device in ((node.agent.pod, "near0"), (node.agent.pod, "far0"), (node.far, "eth0")):
        with netns.inside(space):
            gso.set_sizes(device, BIG)
    plain = changed(NETWORK, statelessEgress=egress)
    asked = changed(plain, bigTcp={"ipv6": BIG})
    node.agent.apply(asked if first == "BIG TCP" else plain)
    with node.containers("one"):
        node.add("one").result()
        node.agent.apply(GATEWAY)
        node.agent.apply(asked)
        to_ipv4 = (program, node.spaces["one"], node.far, FAR[4], f"64:ff9b::{FAR[4]}")
        to_ipv6 = (program, node.spaces["one"], node.far, FAR[6])
        there, native, back = carried(*to_ipv4), carried(*to_ipv6), carried(*to_ipv4, back=True)
        assert min(there.longest, native.longest) > gso.ORDINARY
        assert min(there.mean, native.mean, back.mean) > 20_000
        assert max(there.longest_segment, back.longest_segment) <= 1500
        assert native.longest_segment <= 1492
        home = node.agent.namespace
        assert four(home, "up0") == (BIG, BIG, BIG, gso.ORDINARY)
        node.agent.sixlane("delete", "gateway", "edge")
        assert four(home, "up0") == (BIG, BIG, gso.ORDINARY, gso.ORDINARY)


def test_the_gateway_hears_of_it(own_node: Node) -> None:
    """Though the kernel tells nobody: segments of what it translates get shorter."""
    node = own_node
    prefix = {**GATEWAY["spec"]["prefixes"][0], "maxSegmentSize": None}
    node.agent.apply(changed(GATEWAY, prefixes=[prefix]))
    before = node.agent.status()["gateway"]["generation"]
    less = changed(NETWORK, bigTcp={"ipv6": BIG, "ipv4": gso.ORDINARY})
    assert "ask for as much of both" in node.agent.apply(less)
    node.agent.apply(NETWORK)
    assert "of both" not in node.agent.apply(changed(NETWORK, bigTcp={"ipv6": BIG}))
    assert eventually(lambda: node.agent.status()["gateway"]["generation"] > before)
    node.agent.sixlane("delete", "gateway", "edge")
