# SPDX-License-Identifier: Apache-2.0
"""Next hops heal by themselves: no agent tells the data path what has changed.

Packets are sent all the time, so that what is remembered is also used all the time.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

import pytest

from sixlane.net import ethtool, link, neigh, netns, route
from tests import needs
from tests.netns.edge import CLIENT, CLIENT6, SERVER, SERVER6, Edge, raise_edge

pytestmark = [pytest.mark.netns, needs.root]

ETH_P_ALL = 3
PACKET_OUTGOING = 4
PORT = 4664
REMEMBERED_S = 1.0
PACKETS = 60
INTERVAL_S = 0.03
OTHER_MAC = bytes.fromhex("02bb000000cc")

Direction = Literal[46, 64]


@dataclass
class Way:
    """One direction through the gateway. Packets arrive at eth0 or eth1 of `target`."""

    edge: Edge
    target: str
    device: str  # the gateway's, to eth0
    neighbour: IPv4Address | IPv6Address  # at eth0
    destination: IPv4Address | IPv6Address
    sender: socket.socket
    to: tuple[str, int]
    sniffers: dict[int, tuple[str, socket.socket]]

    def send(self, number: int) -> None:
        self.sender.sendto(f"packet {number:06}".encode(), self.to)

    def arrived(self) -> dict[int, tuple[str, bytes]]:
        """The packets by number: device, and the MAC they were sent to."""
        found = {}
        while ready := select.select([one for _, one in self.sniffers.values()], [], [], 0.3)[0]:
            for sniffer in ready:
                frame, (_, _, kind, _, _) = sniffer.recvfrom(2048)
                # What goes out is an ICMP error that quotes it: no socket listens.
                if b"packet " in frame and kind != PACKET_OUTGOING:
                    number = int(frame[frame.index(b"packet ") + 7 :][:6])
                    found[number] = (self.sniffers[sniffer.fileno()][0], frame[:6])
        return found


@contextmanager
def way_through(edge: Edge, direction: Direction) -> Iterator[Way]:
    """With a second link to the target, which no route uses yet."""
    source, target, device = (
        (edge.client, edge.server, "lan0")
        if direction == 46
        else (edge.server, edge.client, "wan0")
    )
    link.create_veth("alt0", "eth1", netns_a=edge.gateway, netns_b=target, up=True)
    with ExitStack() as stack:
        with netns.inside(target):
            ethtool.set_feature(
                "eth1", "rx-gro", True
            )  # XDP_REDIRECT reaches a veth with NAPI only
            macs = {name: link.get(name).mac for name in ("eth0", "eth1")}
            sniffers = {}
            for name in macs:
                sniffer = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
                sniffer.bind((name, ETH_P_ALL))
                sniffers[sniffer.fileno()] = (name, sniffer)
        with netns.inside(source):
            family = socket.AF_INET if direction == 46 else socket.AF_INET6
            sender = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sender.bind((CLIENT if direction == 46 else SERVER6, PORT))
        neighbour = IPv6Address("2001:db8::2") if direction == 46 else IPv4Address(CLIENT)
        destination = IPv6Address(SERVER6) if direction == 46 else IPv4Address(CLIENT)
        with netns.inside(edge.gateway):
            neigh.add_permanent(device, neighbour, macs["eth0"])
            neigh.add_permanent("alt0", destination, macs["eth1"])
        to = (SERVER if direction == 46 else CLIENT6, PORT)
        yield Way(edge, target, device, neighbour, destination, sender, to, sniffers)


def change_neighbour(way: Way) -> tuple[str, bytes]:
    neigh.add_permanent(way.device, way.neighbour, OTHER_MAC)
    return "eth0", OTHER_MAC


def change_route(way: Way) -> tuple[str, bytes]:
    if isinstance(way.destination, IPv4Address):
        route.add(IPv4Network(way.destination), dev="alt0")
    else:
        route.add(IPv6Network(way.destination), dev="alt0")
    with netns.inside(way.target):
        return "eth1", link.get("eth1").mac


@pytest.mark.parametrize("attach", ["tc", "xdp"])
@pytest.mark.parametrize("direction", [46, 64])
@pytest.mark.parametrize("change", [change_neighbour, change_route])
def test_right_again_within_a_second(
    attach: str, direction: Direction, change: Callable[[Way], tuple[str, bytes]]
) -> None:
    with raise_edge(attach) as edge, way_through(edge, direction) as way:
        for number in range(5):
            way.send(number)
            time.sleep(INTERVAL_S)
        with netns.inside(edge.gateway):
            expected = change(way)
        changed = time.monotonic()
        late = []  # numbers of those that were sent when nothing old could be remembered
        for number in range(100, 100 + PACKETS):
            if time.monotonic() - changed > REMEMBERED_S + 0.1:
                late.append(number)
            way.send(number)
            time.sleep(INTERVAL_S)

        arrived = way.arrived()
        assert len(arrived) == 5 + PACKETS, "none is lost"
        assert arrived[4] != expected
        assert len(late) > 5
        assert {number: arrived[number] for number in late} == dict.fromkeys(late, expected)
