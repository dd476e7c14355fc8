# SPDX-License-Identifier: Apache-2.0
"""Packets of one flow arrive in the order in which they were sent (RFC 7915 sections 4 and 5)."""

import socket
from collections.abc import Iterator
from itertools import accumulate

import pytest

from sixlane.net import netns
from tests import needs
from tests.netns.edge import CLIENT, CLIENT6, SERVER, SERVER6, Edge, raise_edge

pytestmark = [pytest.mark.netns, needs.root, pytest.mark.conformance(9)]

PORT = 5700
DATAGRAMS = 3_000
_BUFFER = 8 << 20
_SO_RCVBUFFORCE = 33


@pytest.fixture(params=["tc", "xdp", "xdp-generic"])
def attach(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def edge(attach: str) -> Iterator[Edge]:
    with raise_edge(attach) as raised:
        yield raised


@pytest.mark.parametrize("direction", [46, 64])
def test_datagrams_arrive_in_order(edge: Edge, attach: str, direction: int) -> None:
    """Also the one by which the kernel is asked about the neighbour, on its way through; with XDP,
    which has to leave it to the slow path, that one may be overtaken (decision 0004)."""
    with netns.inside(edge.client):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with netns.inside(edge.server):
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    with client, server:
        client.bind((CLIENT, PORT))
        server.bind((SERVER6, PORT))
        sender, receiver, to = (
            (client, server, (SERVER, PORT))
            if direction == 46
            else (server, client, (CLIENT6, PORT))
        )
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        receiver.settimeout(5)
        sender.sendto(b"first", to)  # resolves the neighbours
        assert receiver.recv(64) == b"first"
        for number in range(DATAGRAMS):
            sender.sendto(number.to_bytes(4), to)
        arrived = [int.from_bytes(receiver.recv(64)) for _ in range(DATAGRAMS)]
    assert sorted(arrived) == list(range(DATAGRAMS))
    overtaken = [
        number
        for number, most in zip(arrived, accumulate(arrived, max), strict=True)
        if number < most
    ]
    assert len(overtaken) <= (0 if attach == "tc" else 1)
