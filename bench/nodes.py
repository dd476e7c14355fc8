# SPDX-License-Identifier: Apache-2.0
"""Two nodes with pods, by sixlane or by a reference plugin, and two hosts that have none.

client ---- first node up0 ======== up0 second node ---- far         pods
              |
              '---- near
host up0 ======== up0 other host                                     the wire alone

A pod asks another one on its own node (near), or on the other node (far): host to host is one veth
pair and no router, which is what a packet between nodes has to pass in any case. Node to node, each
knows the way to the other's pods by a route, as an operator would set it.
"""

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from bench.ends import Ends, add_addresses, forward, raise_namespace
from sixlane.net import gso, link, netns
from tests.netns import spaces
from tests.netns.agents import Agent
from tests.unit.cni.calling import Runtime

PLUGINS = Path("/usr/lib/cni")  # Debian's containernetworking-plugins
UPLINK = "up0"
_API = "sixlane.dev/v1alpha1"
_SERVER4, _GATEWAY4 = "192.31.196.53/24", "192.31.196.1/24"
_EGRESS4 = "192.175.48.0/25"


@dataclass
class Node:
    """A namespace that routes for pods; `number` is in its addresses."""

    name: str
    number: int
    stack: ExitStack

    @property
    def address(self) -> str:
        """On the wire between nodes."""
        return f"2001:db8::{self.number}"

    @property
    def network(self) -> str:
        """Of its pods."""
        return f"2001:db8:64:{self.number}::/64"

    def has_pod(self, what: str) -> str:
        """The namespace of one more pod, which is on no network yet."""
        name = f"{self.name}-{what}"
        raise_namespace(self.stack, name)
        return name

    def directory(self) -> Path:
        made = tempfile.TemporaryDirectory(prefix="sixlane-bench-")
        return Path(self.stack.enter_context(made))


Attach = Callable[[Node, Sequence[str]], list[str]]
"""Gives the pods in these namespaces of a node a network each; returns their addresses."""


def raise_hosts(stack: ExitStack, prefix: str, big_bytes: int = 0) -> Ends:
    """Host to host. `big_bytes`, here and below: how long packets of BIG TCP may be; 0: none."""
    client, server = f"{prefix}-host1", f"{prefix}-host2"
    _raise_wire(stack, client, server)
    for namespace in (client, server) if big_bytes else ():
        with netns.inside(namespace):
            gso.set_sizes(link.index(UPLINK), big_bytes)
    return Ends(client, server, "2001:db8::2", stack)


def raise_nodes(stack: ExitStack, prefix: str, attach: Attach) -> tuple[Ends, Ends]:
    """Three pods on two nodes: one asks another one on its own node, and one on the other."""
    first, second = (Node(f"{prefix}-node{number}", number, stack) for number in (1, 2))
    _raise_wire(stack, first.name, second.name)
    for node, other in ((first, second), (second, first)):
        forward(node.name)
        with netns.inside(node.name):
            spaces.command("ip", "route", "add", other.network, "via", other.address)
    client, near, far = first.has_pod("client"), first.has_pod("near"), second.has_pod("far")
    near_address = attach(first, [client, near])[1]
    (far_address,) = attach(second, [far])
    return Ends(client, near, near_address, stack), Ends(client, far, far_address, stack)


def raise_translated(stack: ExitStack, prefix: str, big_bytes: int = 0) -> Ends:
    """A pod of a node with a Gateway, and a server that has IPv4 alone."""
    node, server = Node(f"{prefix}-node1", 1, stack), f"{prefix}-server"
    for name in (node.name, server):
        raise_namespace(stack, name)
    link.create_veth(UPLINK, UPLINK, netns_a=node.name, netns_b=server, up=True)
    add_addresses(node.name, UPLINK, _GATEWAY4)
    add_addresses(server, UPLINK, _SERVER4)
    with netns.inside(server):
        spaces.command("ip", "route", "add", _EGRESS4, "via", str(ip_interface(_GATEWAY4).ip))
    client = node.has_pod("client")
    devices = [{"name": UPLINK, "attach": "tc"}]
    prefixes = [{"name": "pods", "prefix": "64:ff9b::/96", "ipv4": [_EGRESS4]}]
    gateway = _resource("Gateway", "edge", devices=devices, prefixes=prefixes)
    _attach_sixlane(node, [client], big_bytes, gateway, statelessEgress={"ipv4": [_EGRESS4]})
    return Ends(client, server, f"64:ff9b::{ip_interface(_SERVER4).ip}", stack)


def sixlane(big_bytes: int) -> Attach:
    """By an agent and its plugin, with veth. The agent ends when all is in force: what is measured
    goes without it."""
    return lambda node, pods: _attach_sixlane(node, pods, big_bytes)


def bridge(node: Node, pods: Sequence[str]) -> list[str]:
    """By the reference plugin `bridge`, the node being the gateway, without masquerading."""
    return _attach_plugin(node, pods, type="bridge", bridge="cni0", isGateway=True)


def ptp(node: Node, pods: Sequence[str]) -> list[str]:
    """By the reference plugin `ptp`: a veth pair and a route for each pod."""
    return _attach_plugin(node, pods, type="ptp")


def _raise_wire(stack: ExitStack, one: str, other: str) -> None:
    for name in (one, other):
        raise_namespace(stack, name)
    link.create_veth(UPLINK, UPLINK, netns_a=one, netns_b=other, up=True)
    for number, name in enumerate((one, other), 1):
        add_addresses(name, UPLINK, f"2001:db8::{number}/64")


def _resource(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": _API, "kind": kind, "metadata": {"name": name}, "spec": spec}


class _Runtime(Runtime):
    """Containers are named by their namespaces."""

    def netns(self, container: str) -> Path:
        return netns.DIRECTORY / container


def _attach_sixlane(
    node: Node, pods: Sequence[str], big_bytes: int, *others: dict[str, Any], **spec: Any
) -> list[str]:
    """BIG TCP of IPv6 alone, as what IPv4 brings to a Gateway is not to be cut (0013)."""
    agent = Agent(node.name, node.directory(), internet=node.name, pod=node.name)
    node.stack.callback(agent.clean)
    agent.start()
    pools = [{"name": "default", "ranges": [node.network]}]
    if big_bytes:
        spec["bigTcp"] = {"ipv6": big_bytes}
    network = _resource(
        "Network", "pods", device="veth", uplinks=[{"name": UPLINK}], pools=pools, **spec
    )
    agent.apply(network, *others)
    runtime = _Runtime(agent.place.run_dir)
    addresses = [_address(runtime.add(pod).result()) for pod in pods]
    agent.end()
    return addresses


def _attach_plugin(node: Node, pods: Sequence[str], **more: Any) -> list[str]:
    ranges = [[{"subnet": node.network}]]
    everything = [{"dst": "::/0"}]
    ipam: dict[str, Any] = {
        "type": "host-local",
        "dataDir": str(node.directory()),
        "ranges": ranges,
    }
    ipam["routes"] = everything
    config = {"cniVersion": "1.0.0", "name": "pods", "ipam": ipam, "mtu": 1500, **more}
    addresses = []
    for pod in pods:
        environment = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": pod,
            "CNI_NETNS": str(netns.DIRECTORY / pod),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(PLUGINS),
        }
        done = netns.run(
            node.name,
            (str(PLUGINS / more["type"]),),
            input=json.dumps(config),
            env=os.environ | environment,
        )
        addresses.append(_address(json.loads(done.stdout)))
    return addresses


def _address(result: Any) -> str:
    """The first one that a plugin tells."""
    return str(ip_interface(result["ips"][0]["address"]).ip)
