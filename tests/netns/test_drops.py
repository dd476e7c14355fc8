# SPDX-License-Identifier: Apache-2.0
"""Dropped packets as listeners hear of them, from a gateway with real traffic."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sixlane.agent.drops import DropReader, Drops
from sixlane.datapath import layout
from sixlane.net import netns
from tests import needs
from tests.netns.edge import CLIENT, SERVER, SERVER6, Edge, raise_edge

pytestmark = [pytest.mark.netns, needs.root]

SO_NO_CHECK, SO_RCVBUFFORCE = 11, 33
FLOODS, FLOOD, FORWARDED = 2, 30_000, 3_000


@pytest.fixture(params=["tc", "xdp"])
def edge(request: pytest.FixtureRequest) -> Iterator[Edge]:
    """Nobody is told: senders would notice."""
    with raise_edge(request.param, icmpErrors={"rate": 0}) as raised:
        yield raised


@contextmanager
def _listening(edge: Edge, events_per_second: int = 1000) -> Iterator[Drops]:
    drops = Drops()
    with netns.inside(edge.gateway):
        drops.offer(lambda: edge.datapath.events(events_per_second))
        try:
            yield drops
        finally:
            drops.withdraw()


def _sender(edge: Edge, *, dropped: bool) -> socket.socket:
    """Packets to port 9; those without a checksum are dropped."""
    with netns.inside(edge.client):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, dropped)
    made.connect((SERVER, 9))
    return made


def _is_on(edge: Edge) -> bool:
    value = edge.datapath._maps["monitors"].lookup(bytes(4))
    return bool(layout.Monitor.from_buffer_copy(value or b"").enabled)


def test_all_listeners_hear_of_a_drop(edge: Edge) -> None:
    with _listening(edge) as drops, _sender(edge, dropped=True) as sender:
        assert not _is_on(edge)
        with drops.listen() as one, drops.listen() as other:
            assert _is_on(edge)
            sender.send(b"x" * 32)
            told = one.next(10)
            assert told is not None
            assert other.next(10) == told
        assert not _is_on(edge)
    port = told["srcPort"]
    assert told["summary"] == f"udp {CLIENT}:{port} > {SERVER}:9, 60 bytes"
    expected = {
        "reason": "drop_udp_zero_checksum",
        "device": "wan0",
        "bytes": 60,
        "src": CLIENT,
        "dst": SERVER,
        "protocol": "udp",
        "dstPort": 9,
    }
    assert {name: told[name] for name in expected} == expected


def test_listeners_outlast_the_data_path(edge: Edge) -> None:
    """A teardown takes it away; the next apply brings another one."""
    with _listening(edge) as drops, _sender(edge, dropped=True) as sender:
        with drops.listen() as reader:
            drops.withdraw()
            assert not _is_on(edge)
            sender.send(b"unheard")
            drops.offer(edge.datapath.events)
            sender.send(b"x" * 32)
            told = reader.next(10)
        assert told is not None
        assert told["bytes"] == 60


def test_a_flood_of_drops_costs_no_forwarded_packet(edge: Edge) -> None:
    with netns.inside(edge.server):
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    server.bind((SERVER6, 9))
    with server, _listening(edge) as drops, drops.listen() as reader:
        _send_all(edge)
        arrived = _count(server)
        told = _told(reader)
    counted = edge.reasons()
    assert arrived == FORWARDED
    assert counted["drop_udp_zero_checksum"] == FLOODS * FLOOD
    assert sum(told.values()) == FLOODS * FLOOD
    assert told["events"] > 0
    assert told["limited"] > 0, "or this was no flood"
    assert counted["event_limited"] == told["limited"]


def _send_all(edge: Edge) -> None:
    """Floods from two threads; in the midst of them, packets to be forwarded."""

    def flood() -> None:
        with _sender(edge, dropped=True) as sender:
            for _ in range(FLOOD):
                sender.send(b"x" * 32)

    floods = [threading.Thread(target=flood) for _ in range(FLOODS)]
    with _sender(edge, dropped=False) as sender:
        sender.send(b"first")  # neighbours are known from here on
        for thread in floods:
            thread.start()
        for _ in range(FORWARDED - 1):
            sender.send(b"y" * 32)
            time.sleep(0.0001)
        for thread in floods:
            thread.join()


def _count(server: socket.socket) -> int:
    server.settimeout(1)
    count = 0
    try:
        while server.recv(100):
            count += 1
    except TimeoutError:
        return count
    raise AssertionError("an empty packet")


def _told(reader: DropReader) -> dict[str, int]:
    told = {"events": 0, "lost": 0, "limited": 0}
    while one := reader.next(2):
        if "lost" in one:
            told["lost"] += one["lost"]
            told["limited"] += one["limited"]
        else:
            told["events"] += 1
    return told
