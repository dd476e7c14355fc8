# SPDX-License-Identifier: Apache-2.0
"""Stateful NAT64 end to end: a pod with an ordinary address reaches an IPv4 server by pool4."""

import errno
import json
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from scapy.layers.inet import IP, UDP, fragment
from scapy.packet import Raw

from sixlane.agent.gateway import GatewayPart
from sixlane.bpf import Map
from sixlane.cli.errors import REFUSED
from sixlane.datapath import Datapath
from sixlane.datapath.clock import jiffies_per_second
from sixlane.datapath.pools import NO_ROOM
from sixlane.net import address, link, netns
from tests import needs
from tests.netns import agents
from tests.netns.agents import GATEWAY, changed, eventually
from tests.netns.edge import (
    CLIENT,
    CLIENT6,
    SERVER,
    SERVER6,
    Edge,
    Kept,
    gateway_of,
    raise_edge,
    raise_hosts,
)
from tests.patience import patience

pytestmark = [pytest.mark.netns, needs.root]

POD = "2001:db8::2"
POOL = IPv4Network("192.31.197.8/30")
MOST = {"sessions": 4096, "bindings": 4096, "clients": 256}
SPEC: dict[str, Any] = {
    "prefixes": [{"name": "all", "prefix": "64:ff9b::/96", "ipv4": []}],
    "pool4": [{"name": "pods", "ipv4": [str(POOL)]}],
    "sessions": {"max": MOST},
}
_TIMEOUT_S = 10
_UNTIL_THE_PATH_MTU_IS_KNOWN = 2


@pytest.fixture(params=["tc", "xdp"])
def attach(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def edge(attach: str) -> Iterator[Edge]:
    with raise_edge(attach, **SPEC) as raised:
        yield raised


def opened(namespace: str, family: int, kind: int, address: str, port: int = 0) -> socket.socket:
    """A socket of a host, bound."""
    with netns.inside(namespace):
        made = socket.socket(family, kind)
    made.settimeout(_TIMEOUT_S)
    made.bind((address, port))
    return made


@contextmanager
def connected(edge: Edge) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The pod's end of a TCP connection, and the server's."""
    with (
        opened(edge.client, socket.AF_INET, socket.SOCK_STREAM, CLIENT) as listener,
        opened(edge.server, socket.AF_INET6, socket.SOCK_STREAM, POD) as pod,
    ):
        listener.listen()
        pod.connect((CLIENT6, listener.getsockname()[1]))
        server, peer = listener.accept()
        with server:
            server.settimeout(_TIMEOUT_S)
            assert IPv4Address(peer[0]) in POOL
            yield pod, server


def transfer(sender: socket.socket, receiver: socket.socket, size: int) -> None:
    sent = bytes(range(251)) * (size // 251)
    thread = threading.Thread(target=sender.sendall, args=(sent,))
    thread.start()
    received = bytearray()
    while len(received) < len(sent):
        received += receiver.recv(1 << 16)
    thread.join()
    assert received == sent


def test_tcp_both_ways(edge: Edge) -> None:
    with connected(edge) as (pod, server):
        transfer(pod, server, 4 << 20)
        transfer(server, pod, 4 << 20)


def test_udp(edge: Edge) -> None:
    with (
        opened(edge.client, socket.AF_INET, socket.SOCK_DGRAM, CLIENT) as server,
        opened(edge.server, socket.AF_INET6, socket.SOCK_DGRAM, POD) as pod,
    ):
        peers = set()
        for number in range(5):
            pod.sendto(b"there %d" % number, (CLIENT6, server.getsockname()[1]))
            asked, peer = server.recvfrom(100)
            assert (asked, IPv4Address(peer[0]) in POOL) == (b"there %d" % number, True)
            server.sendto(b"and back", peer)
            assert pod.recvfrom(100)[0] == b"and back"
            peers.add(peer)
        assert len(peers) == 1


@pytest.mark.conformance(95)
def test_fragments(edge: Edge) -> None:
    """Both ways, and backwards from outside: the last one first."""
    large = bytes(range(250)) * 24
    with (
        opened(edge.client, socket.AF_INET, socket.SOCK_DGRAM, CLIENT) as server,
        opened(edge.server, socket.AF_INET6, socket.SOCK_DGRAM, POD) as pod,
    ):
        pod.sendto(large, (CLIENT6, server.getsockname()[1]))
        asked, peer = server.recvfrom(1 << 16)
        assert asked == large
        server.sendto(large, peer)
        assert pod.recvfrom(1 << 16)[0] == large
        udp = UDP(sport=server.getsockname()[1], dport=peer[1]) / Raw(large)
        pieces = fragment(IP(src=CLIENT, dst=peer[0], id=4711) / udp, 1400)
        with netns.inside(edge.client):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        with raw:
            for piece in reversed(pieces):
                raw.sendto(bytes(piece), (peer[0], 0))
        assert pod.recvfrom(1 << 16)[0] == large


def test_fragments_beside_pool4(attach: str) -> None:
    """Those of others need no order: what is short enough of a datagram takes no slow path, so
    nobody may wait there for the rest."""
    large = bytes(range(250)) * 24
    prefixes = [{"name": "all", "prefix": "64:ff9b::/96", "ipv4": ["192.175.48.0/24"]}]
    with (
        raise_edge(attach, **SPEC | {"prefixes": prefixes}) as edge,
        opened(edge.client, socket.AF_INET, socket.SOCK_DGRAM, CLIENT) as client,
        opened(edge.server, socket.AF_INET6, socket.SOCK_DGRAM, SERVER6) as server,
    ):
        for _ in range(_UNTIL_THE_PATH_MTU_IS_KNOWN):
            client.sendto(large, (SERVER, server.getsockname()[1]))
            server.sendto(large, (CLIENT6, client.getsockname()[1]))
        assert server.recvfrom(1 << 16)[0] == large
        assert client.recvfrom(1 << 16)[0] == large


@pytest.mark.conformance(73)
def test_other_ports_are_the_hosts(edge: Edge, attach: str) -> None:
    """The gateway has the address, too, for a server of its own on a port that no client gets."""
    ports = {protocol: "2000-2999" for protocol in ("tcp", "udp", "icmp")}
    edge.apply(attach, **SPEC | {"pool4": [SPEC["pool4"][0] | {"ports": ports}]})
    with netns.inside(edge.gateway):
        loopback = link.get("lo").ifindex
        link.set_up("lo")
        address.add(loopback, IPv4Interface(f"{POOL[0]}/32"))
    with (
        opened(edge.gateway, socket.AF_INET, socket.SOCK_DGRAM, str(POOL[0])) as server,
        opened(edge.client, socket.AF_INET, socket.SOCK_DGRAM, CLIENT) as client,
    ):
        assert not 2000 <= server.getsockname()[1] <= 2999
        for asked in (b"short", bytes(range(250)) * 24):
            client.sendto(asked, server.getsockname())
            told, peer = server.recvfrom(1 << 16)
            assert (told, peer) == (asked, client.getsockname())
            server.sendto(b"and back", peer)
            assert client.recvfrom(100)[0] == b"and back"
    test_udp(edge)


def test_ping(edge: Edge) -> None:
    argv = ["ping", "-6", "-n", "-q", "-c", "3", "-i", "0.2", "-I", POD, CLIENT6]
    out = netns.run(edge.server, argv)
    assert " 0% packet loss" in out.stdout, out.stdout


def test_bindings_outlive_other_changes(edge: Edge, attach: str) -> None:
    """Addresses come and go; whoever has one is reached there, also by who was never heard of."""
    with (
        connected(edge) as (pod, server),
        opened(edge.client, socket.AF_INET, socket.SOCK_DGRAM, CLIENT) as known,
        opened(edge.server, socket.AF_INET6, socket.SOCK_DGRAM, POD) as pod_udp,
    ):
        pod_udp.sendto(b"there", (CLIENT6, known.getsockname()[1]))
        _, peer = known.recvfrom(100)
        before = ["192.31.197.4/31", "192.31.197.20/31"]
        for ipv4 in ([*before, peer[0]], [peer[0]], [before[0], str(POOL)]):
            edge.apply(attach, **SPEC | {"pool4": [{"name": "pods", "ipv4": ipv4}]})
            transfer(pod, server, 1 << 16)
            transfer(server, pod, 1 << 16)
            with opened(edge.client, socket.AF_INET, socket.SOCK_DGRAM, CLIENT) as stranger:
                stranger.sendto(b"hello", peer)
                assert pod_udp.recvfrom(100)[0] == b"hello"


def test_another_room_is_made_and_given_back(edge: Edge, attach: str) -> None:
    more = {"sessions": {"max": {**MOST, "sessions": 8192}}}
    assert edge.datapath.room().sessions == 4096
    edge.apply(attach, **SPEC | more)
    assert edge.datapath.room().sessions == 8192
    with connected(edge) as (pod, server):
        transfer(pod, server, 1 << 16)
        assert edge.datapath.taken()
    edge.apply(attach, **SPEC | {"pool4": []})
    assert edge.datapath.room() == NO_ROOM
    edge.apply(attach, **SPEC)
    with connected(edge) as (pod, server):
        transfer(server, pod, 1 << 16)


_APPLY = ("apply", "-o", "wide", "-f", "-")


def shared_by(spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    return changed(GATEWAY, **spec | more)


def test_room_is_there_from_the_start(tmp_path: Path) -> None:
    """Whoever starts with a pool4 stored, on a machine that has just started, loads once."""
    with raise_hosts("tc") as hosts:
        pins = Path(f"/sys/fs/bpf/{hosts.gateway}")
        gateway = gateway_of("tc", **SPEC)
        part = GatewayPart(pins, Kept())
        with netns.inside(hosts.gateway):
            try:
                part.open([gateway])
                plan = part.plan([gateway], [])
                assert plan.gateway is not None and plan.gateway.room is None
                assert plan.warnings() == []
            finally:
                part.close()
                Datapath.remove(pins)


def test_an_agent(tmp_path: Path) -> None:
    """It is applied, told of, kept while no agent runs, and lost only as `diff` has said."""
    with agents.world(tmp_path) as (agent, internet, pod):
        netns.run(internet, ["ip", "route", "add", str(POOL), "via", "192.31.196.1"])
        netns.run(pod, ["ip", "route", "add", "64:ff9b::/96", "via", "2001:db8:64::1"])
        agent.start()
        told_then = agent.sixlane(*_APPLY, stdin=yaml.safe_dump(shared_by(SPEC)))
        assert "add pool4 pods: 192.31.197.8/30" in told_then
        with (
            opened(internet, socket.AF_INET, socket.SOCK_STREAM, "192.31.196.53") as listener,
            opened(pod, socket.AF_INET6, socket.SOCK_STREAM, "2001:db8:64::2") as inside,
        ):
            listener.listen()
            inside.connect(("64:ff9b::192.31.196.53", listener.getsockname()[1]))
            server, _ = listener.accept()
            with server:
                (told,) = agent.status()["gateway"]["pool4"]
                assert told["blocks"] == {"used": 1, "total": 4 * 256}
                assert told["ports"] == {"used": 1, "total": 4 * (2 * 64512 + 65536)}
                assert "pods   192.31.197.8/30" in agent.sixlane("status")

                agent.end(signal.SIGKILL)
                transfer(inside, server, 1 << 16)
                agent.start()
                assert agent.apply(shared_by(SPEC)).count("unchanged") == 1
                agent.apply(shared_by(SPEC, hairpin="off"))
                transfer(server, inside, 1 << 16)

                larger = shared_by(SPEC, sessions={"max": {**MOST, "sessions": 8192}})
                text = yaml.safe_dump(larger)
                told_before = agent.sixlane("diff", "-f", "-", stdin=text, code=1)
                anew = "make the session tables anew, so all sessions end: they get another size"
                assert f"would: {anew}" in told_before
                transfer(inside, server, 1 << 16)
                warned = agent.sixlane("apply", "-f", "-", stdin=text)
                assert "sixlane: warning: all sessions end: they get another size\n" in warned
                assert "the session tables were made anew" in agent.log.read_text()
                assert agent.status()["gateway"]["pool4"][0]["blocks"]["used"] == 0

        own = [{"name": "me", "ipv4": ["192.31.196.1"]}]
        refused = agent.apply(shared_by(SPEC, pool4=own), code=REFUSED)
        assert "an address of wan0: standard input:1:spec.pool4[0].ipv4[0], line 11" in refused


@pytest.mark.conformance(86, 92)
def test_what_time_sends(tmp_path: Path) -> None:
    """By the agent, and by the host's routes: a connection that nobody came to meet is refused; one
    that was idle for long is asked after, and goes on as the pod answers."""
    with agents.world(tmp_path) as (agent, internet, pod):
        netns.run(internet, ["ip", "route", "add", str(POOL), "via", "192.31.196.1"])
        netns.run(pod, ["ip", "route", "add", "64:ff9b::/96", "via", "2001:db8:64::1"])
        agent.start()
        agent.apply(shared_by(SPEC))
        with (
            opened(internet, socket.AF_INET, socket.SOCK_STREAM, "192.31.196.53") as listener,
            opened(pod, socket.AF_INET6, socket.SOCK_STREAM, "2001:db8:64::2") as inside,
            opened(internet, socket.AF_INET, socket.SOCK_STREAM, "192.31.196.53") as caller,
        ):
            listener.listen()
            inside.connect(("64:ff9b::192.31.196.53", listener.getsockname()[1]))
            server, _ = listener.accept()
            with server:
                transfer(inside, server, 1 << 16)
                caller.setblocking(False)
                assert caller.connect_ex((str(POOL[0]), 60001)) == errno.EINPROGRESS
                assert eventually(lambda: _counted(agent)["syns"]["used"] == 1)
                pass_time(agent, 7440 + 3)
                # One that is sent again before the agent looks begins to wait anew: six seconds.
                assert select.select([], [caller], [], patience(40))[1], "it has failed"
                assert caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
                assert eventually(lambda: _states(agent) == ["ESTABLISHED"])
                transfer(server, inside, 1 << 16)
        counted = json.loads(agent.sixlane("counters", "-o", "json"))["reasons"]
        # At least: a SYN that was sent once more meanwhile may have waited, too.
        assert counted["syn_expired"]["packets"] and counted["icmp_error_sent"]["packets"]


def pass_time(agent: agents.Agent, seconds: int) -> None:
    """Has the data path's clock go on, which stood where the kernel's does, and what is remembered
    for a second be forgotten."""
    for name, value in (
        ("clock_offset", (seconds * jiffies_per_second()).to_bytes(8, "little")),
        ("next_hop_epoch", (1 << 31).to_bytes(4, "little")),
    ):
        (pin,) = agent.bpffs.rglob(f"{name}-*")
        with Map.from_pin(pin) as map:
            map.update(bytes(4), value)


def _counted(agent: agents.Agent) -> Any:
    return json.loads(agent.sixlane("session", "count", "-o", "json"))["tables"]


_LIST = ("session", "list", "-o", "ndjson")


def _states(agent: agents.Agent) -> list[str]:
    return [one["state"] for one in map(json.loads, agent.sixlane(*_LIST).splitlines())]
