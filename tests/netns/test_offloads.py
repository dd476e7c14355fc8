# SPDX-License-Identifier: Apache-2.0
"""tc sees what NICs never show XDP: partial checksums, TCP and UDP GSO, tags beside the packet."""

import hashlib
import socket
import struct
import threading
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from sixlane.net import link, neigh, netns
from tests import needs
from tests.netns.edge import CLIENT, CLIENT6, SERVER, SERVER6, Edge, raise_edge
from tests.packets import ip4, udp

pytestmark = [pytest.mark.netns, needs.root]

UDP_SEGMENT = 103
ETH_P_ALL = 3
PACKET_AUXDATA = 8
SOL_PACKET = 263
PORT = 5300


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    with raise_edge("tc") as raised:
        yield raised


def _socket(namespace: str, family: int, kind: int) -> socket.socket:
    with netns.inside(namespace):
        made = socket.socket(family, kind)
    made.settimeout(5)
    return made


@pytest.mark.conformance(60)
@pytest.mark.parametrize("direction", [46, 64])
def test_tcp_gso_and_partial_checksums(edge: Edge, direction: int) -> None:
    """8 MB in super-packets, each byte of them compared by its hash."""
    sent = bytes(range(251)) * 33_424
    listener = _socket(edge.server, socket.AF_INET6, socket.SOCK_STREAM)
    with listener, _socket(edge.client, socket.AF_INET, socket.SOCK_STREAM) as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SERVER6, PORT))
        listener.listen(1)
        client.connect((SERVER, PORT))
        server, peer = listener.accept()
        server.settimeout(5)
        assert peer[0] == "64:ff9b::c01f:c40a"
        before = edge.datapath.counters().reasons[f"forward_{direction}"]
        with server:
            sender, receiver = (client, server) if direction == 46 else (server, client)
            thread = threading.Thread(target=sender.sendall, args=(sent,))
            thread.start()
            digest = hashlib.sha256()
            received = 0
            while received < len(sent):
                data = receiver.recv(1 << 20)
                digest.update(data)
                received += len(data)
            thread.join()
        after = edge.datapath.counters().reasons[f"forward_{direction}"]
    assert digest.digest() == hashlib.sha256(sent).digest()
    mean = (after.bytes - before.bytes) / (after.packets - before.packets)
    assert mean > 4_000, "super-packets stay whole"


@pytest.mark.conformance(60)
@pytest.mark.parametrize("direction", [46, 64])
def test_udp_gso(edge: Edge, direction: int) -> None:
    """One write of ten segments crosses as one packet and arrives as ten datagrams."""
    segment = 1_200
    sent = bytes(range(256)) * 47
    sent = sent[: 10 * segment]
    with (
        _socket(edge.client, socket.AF_INET, socket.SOCK_DGRAM) as client,
        _socket(edge.server, socket.AF_INET6, socket.SOCK_DGRAM) as server,
    ):
        client.bind((CLIENT, PORT))
        server.bind((SERVER6, PORT))
        sender, receiver, to = (
            (client, server, (SERVER, PORT))
            if direction == 46
            else (server, client, (CLIENT6, PORT))
        )
        sender.setsockopt(socket.SOL_UDP, UDP_SEGMENT, segment)
        before = edge.datapath.counters().reasons[f"forward_{direction}"].packets
        sender.sendto(sent, to)
        datagrams = [receiver.recv(65535) for _ in range(10)]
        after = edge.datapath.counters().reasons[f"forward_{direction}"].packets
    assert b"".join(datagrams) == sent
    assert {len(one) for one in datagrams} == {segment}
    assert after - before == 1


@pytest.mark.parametrize("size", [0, 1, 33, 1_400])
def test_udp_with_partial_checksums(edge: Edge, size: int) -> None:
    with (
        _socket(edge.client, socket.AF_INET, socket.SOCK_DGRAM) as client,
        _socket(edge.server, socket.AF_INET6, socket.SOCK_DGRAM) as server,
    ):
        server.bind((SERVER6, PORT))
        client.sendto(b"u" * size, (SERVER, PORT))
        data, peer = server.recvfrom(65535)
        assert data == b"u" * size
        server.sendto(data, peer)
        assert client.recv(65535) == data


def test_a_vlan_tag_beside_the_packet_is_kept(edge: Edge) -> None:
    """The kernel takes the outer tag out of the frame before tc sees it, and puts it back."""
    with netns.inside(edge.client):
        client = link.get("eth0")
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with netns.inside(edge.gateway):
        gateway_mac = link.get("wan0").mac
        neigh.add_permanent("lan0", IPv6Address("2001:db8::2"), _server_mac(edge))
    with netns.inside(edge.server):
        receiver = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    with sender, receiver:
        receiver.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        receiver.bind(("eth0", ETH_P_ALL))
        receiver.settimeout(5)
        packet = bytes(ip4(src=CLIENT, dst=SERVER) / udp(17))
        tag = 0x2064
        header = gateway_mac + client.mac + struct.pack("!HHH", 0x8100, tag, 0x0800)
        with netns.inside(edge.client):
            sender.bind(("eth0", 0))
        sender.send(header + packet)
        while True:
            data, auxiliary, _, _ = receiver.recvmsg(2048, 256)
            if data[12:14] == b"\x86\xdd" and len(data) == 14 + len(packet) + 20:
                break
    ((_, _, aux),) = auxiliary
    status, _, _, _, _, tci, tpid = struct.unpack_from("=IIIHHHH", aux)
    assert status & 0x50 == 0x50, "there is a tag"
    assert (tci, tpid) == (tag, 0x8100)


def _server_mac(edge: Edge) -> bytes:
    with netns.inside(edge.server):
        return link.get("eth0").mac
