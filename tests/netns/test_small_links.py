# SPDX-License-Identifier: Apache-2.0
"""IPv4 links too small for 1,280 bytes of IPv6: the kernel cuts what has been translated."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest
from scapy.layers.inet import IP

from sixlane.net import netns, route
from tests import needs
from tests.netns.edge import CLIENT, CLIENT6, SERVER6, Edge, raise_edge

pytestmark = [pytest.mark.netns, needs.root, pytest.mark.conformance(29)]

PORT = 5600
ETH_P_IP = 0x0800


@pytest.fixture(scope="module", params=["tc", "xdp"])
def edge(request: pytest.FixtureRequest) -> Iterator[Edge]:
    with raise_edge(request.param) as raised:
        yield raised


def _narrow(edge: Edge, mtu: int) -> None:
    with netns.inside(edge.gateway):
        client = IPv4Network(f"{CLIENT}/32")
        via = IPv4Address(CLIENT)
        route.add(client, via=via, dev="wan0", mtu=mtu, mtu_lock=True, onlink=True, replace=True)
    edge.datapath.forget_next_hops()


def _fragments(frames: socket.socket) -> list[IP]:
    """What has come in of UDP, up to the last fragment of a datagram."""
    found: list[IP] = []
    while True:
        packet = IP(frames.recv(2048)[14:])
        if packet.proto != socket.IPPROTO_UDP:
            continue
        found.append(packet)
        if not packet.flags.MF:
            return found


@pytest.mark.parametrize(
    ("mtu", "largest"), [(1200, 1006), (1006, 1006), (1000, 508), (600, 508), (300, 296)]
)
def test_a_datagram_arrives_in_fragments(edge: Edge, mtu: int, largest: int) -> None:
    """The largest of RFC 1191's plateaus that fits; one router's worth of hops, as ever."""
    _narrow(edge, mtu)
    data = bytes(range(256)) * 4 + bytes(1280 - 48 - 1024)
    with netns.inside(edge.client):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
    with netns.inside(edge.server):
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with receiver, frames, sender:
        frames.bind(("eth0", ETH_P_IP))
        frames.settimeout(5)
        receiver.settimeout(5)
        receiver.bind((CLIENT, PORT))
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 44)
        sender.bind((SERVER6, PORT))
        sender.sendto(data, (CLIENT6, PORT))
        received, peer = receiver.recvfrom(2048)
        assert received == data
        assert peer == ("192.175.48.10", PORT)
        pieces = _fragments(frames)
    assert max(piece.len for piece in pieces) <= largest
    assert len(pieces) == -(-(len(data) + 8) // ((largest - 20) // 8 * 8))
    assert {piece.ttl for piece in pieces} == {43}
    assert len({piece.id for piece in pieces}) == 1


def test_what_fits_is_not_cut(edge: Edge) -> None:
    _narrow(edge, 1006)
    before = edge.reasons().get("forward_slow_path", 0)
    with netns.inside(edge.client):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with netns.inside(edge.server):
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.settimeout(5)
        receiver.bind((CLIENT, PORT))
        sender.bind((SERVER6, PORT))
        sender.sendto(bytes(1006 - 28), (CLIENT6, PORT))
        assert len(receiver.recv(2048)) == 1006 - 28
    assert edge.reasons().get("forward_slow_path", 0) == before
