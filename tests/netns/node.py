# SPDX-License-Identifier: Apache-2.0
"""A node with pods, and another one behind a router: network namespaces, real devices, the real
data path.

pods ==== node up0 ==== router ==== eth0 far
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_interface, ip_network
from itertools import count
from pathlib import Path

import pytest

from sixlane.datapath.pods import Place, Pods
from sixlane.net import address, link, netns, route, sysctl
from sixlane.pods import devices
from sixlane.pods.devices import Device
from sixlane.pods.pod import DeviceKind
from tests import needs
from tests.netns import spaces

MTU = 1500
NODE = {4: "192.31.196.1/24", 6: "2001:db8::1/64"}
ROUTER = {4: "192.31.196.2", 6: "2001:db8::2"}
ROUTER_FAR = {4: "193.0.14.1", 6: "2001:db8:f::1"}
FAR = {4: "193.0.14.9", 6: "2001:db8:f::9"}
PODS = {4: "192.0.2.0/24", 6: "2001:db8:64:1::/64"}
EGRESS = IPv6Network("64:ff9b::/96")
EGRESS4 = "192.175.48.0/24"
"""What pods are outside, each as 192.175.48.<its number>, where a Gateway translates for them."""

KINDS = (
    "veth",
    pytest.param("netkit", marks=needs.netkit),
    pytest.param("netkit-l2", marks=needs.netkit),
)
"""Of pods' devices, as parameters."""

_numbers = count()


def own(number: int) -> tuple[str, str]:
    """A pod's addresses of IPv6 and IPv4."""
    return f"2001:db8:64:1::{number:x}", f"192.0.2.{number}"


@dataclass
class Node:
    """The namespaces, and pods by their numbers, each with its namespace."""

    name: str
    router: str
    far: str
    pods: Pods
    kind: DeviceKind = "veth"
    spaces: dict[int, str] = field(default_factory=dict)

    def device(self, number: int, mtu: int = MTU, kind: DeviceKind | None = None) -> Device:
        v6, v4 = own(number)
        egress = IPv6Address(int(EGRESS[0]) + int(ip_address(f"192.175.48.{number}")))
        return Device(
            f"sl{number:011x}",
            kind or self.kind,
            str(netns.DIRECTORY / self.spaces[number]),
            "eth0",
            mtu,
            (ip_address(v6), ip_address(v4)),
            (egress, EGRESS),
            f"sixlane: pod {number}",
        )

    def attach(self, device: Device, place: Place) -> None:
        """As whoever makes devices has the data path know them."""
        self.pods.attach_pod(place.ifindex, netkit=device.kind != "veth")
        self.pods.put(device.all_addresses, place)

    def add(self, device: Device) -> Place:
        with netns.inside(self.name):
            place = devices.add(device, partial(self.attach, device))
            self.pods.attached()  # forgets what was made anew
        return place

    def check(self, device: Device) -> Place:
        with netns.inside(self.name):
            return devices.check(device)

    def remove(self, device: Device) -> bool:
        self.pods.forget(device.all_addresses)
        with netns.inside(self.name):
            had = devices.remove(device.name)
            if had is not None:
                self.pods.detach(had)
        return had is not None

    def counted(self) -> dict[str, int]:
        """Packets, by what came of them."""
        return {name: one.packets for name, one in self.pods.counters().items() if one.packets}

    @contextlib.contextmanager
    def counting(self) -> Iterator[dict[str, int]]:
        """What was counted during the block."""
        before = self.counted()
        seen: dict[str, int] = {}
        yield seen
        after = self.counted()
        seen.update(
            {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)}
        )

    @contextlib.contextmanager
    def pod(self, number: int) -> Iterator[str]:
        """Its network namespace, empty but for the loopback device, as runtimes have it."""
        with spaces.new() as name:
            with netns.inside(name):
                link.set_up("lo")
            self.spaces[number] = name
            try:
                yield name
            finally:
                del self.spaces[number]


@contextlib.contextmanager
def raise_node(numbers: tuple[int, ...] = (1, 2), kind: DeviceKind = "veth") -> Iterator[Node]:
    """With pods of these numbers, that can reach each other and the far end."""
    root = Path(f"/sys/fs/bpf/pods-{os.getpid()}-{next(_numbers)}")
    with contextlib.ExitStack() as stack:
        name, router, far = (stack.enter_context(spaces.new()) for _ in range(3))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        raise_spaces(name, router, far)
        pods = stack.enter_context(Pods.open(root))
        with netns.inside(name):
            uplink = link.index("up0")
            pods.set_up(netns.cookie())
            pods.set_uplinks([uplink])
            pods.attach_uplink(uplink)
        node = Node(name, router, far, pods, kind)
        for number in numbers:
            stack.enter_context(node.pod(number))
            node.add(node.device(number))
        yield node
        with netns.inside(name):
            for one in link.list_links():
                if one.name.startswith("sl"):
                    devices.remove(one.name)


def raise_spaces(name: str, router: str, far: str) -> None:
    """A node without sixlane, and what is around it."""
    for space in (name, router, far):
        with netns.inside(space):
            sysctl.set("net.ipv6.conf.default.accept_dad", 0)
            link.set_up("lo")
    for space in (name, router):
        with netns.inside(space):
            sysctl.set("net.ipv4.ip_forward", 1)
            sysctl.set("net.ipv6.conf.all.forwarding", 1)
    link.create_veth("up0", "near0", netns_a=name, netns_b=router, mtu=MTU, up=True)
    link.create_veth("eth0", "far0", netns_a=far, netns_b=router, mtu=MTU, up=True)
    for version, length in ((4, 24), (6, 64)):
        everything = ip_network("0.0.0.0/0" if version == 4 else "::/0")
        with netns.inside(name):
            address.add("up0", ip_interface(NODE[version]))
            route.add(everything, via=ip_address(ROUTER[version]))
        with netns.inside(router):
            address.add("near0", ip_interface(f"{ROUTER[version]}/{length}"))
            address.add("far0", ip_interface(f"{ROUTER_FAR[version]}/{length}"))
            node = ip_interface(NODE[version]).ip
            route.add(ip_network(PODS[version]), via=node)
            if version == 4:
                route.add(ip_network(EGRESS4), via=node)
        with netns.inside(far):
            address.add("eth0", ip_interface(f"{FAR[version]}/{length}"))
            route.add(everything, via=ip_address(ROUTER_FAR[version]))
