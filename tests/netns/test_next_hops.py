# SPDX-License-Identifier: Apache-2.0
"""The way to a destination changes while a flow goes there, with an agent and without.

An agent voids remembered next hops when the kernel tells it of a change. Without one they live for
a second. Probes come every 100 ms, so a wrong way takes few of them; the bound leaves room for slow
machines, and is far below what a way that is never forgotten would take.
"""

import contextlib
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from sixlane.bpf import Map
from sixlane.net import link, netns, sysctl
from tests import needs
from tests.netns import agents, spaces
from tests.netns.agents import GATEWAY, Agent, changed

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

SERVER = "192.175.48.10"
SERVER6 = f"64:ff9b::{SERVER}"
PORT = 4000
PERIOD_S = 0.1
PROBES = 100  # as many as are sent until the new way must be taken
OLD_WAY = 40  # so many may still go the old way

STATES = ["agent", "no agent"]
# linux/in.h: DF, whatever path MTU was learnt; ICMP errors in the error queue
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, IP_RECVERR = 10, 3, 11


@dataclass
class World:
    """A client on the internet, and two places that have the server's address: old and new."""

    agent: Agent
    sender: socket.socket
    old: socket.socket
    new: socket.socket

    def ip(self, text: str) -> None:
        netns.run(self.agent.namespace, ["ip", *text.split()])

    def probe(self, size: int = 100) -> None:
        with contextlib.suppress(OSError):  # an ICMP error for one before it
            self.sender.send(bytes(size))

    def settle(self) -> None:
        """Until the old way is taken and remembered."""
        for _ in range(PROBES):
            self.probe()
            time.sleep(PERIOD_S)
            if received(self.old) and not received(self.new):
                break
        else:
            pytest.fail("the old way is not taken")
        for _ in range(3):
            self.probe()
        time.sleep(PERIOD_S)
        received(self.old)

    def moves(self) -> int:
        """How many probes go the old way until the new one is taken: ten times in a row, since each
        CPU remembers for itself."""
        old = row = 0
        for _ in range(PROBES):
            self.probe()
            time.sleep(PERIOD_S)
            stray, arrived = received(self.old), received(self.new)
            old += stray
            row = 0 if stray else row + arrived
            if row >= 10:
                return old
        pytest.fail(f"{old} of {PROBES} went the old way, and the last {row} the new one")

    def epoch(self) -> bytes | None:
        """What voids all remembered next hops when it moves."""
        (pin,) = self.agent.bpffs.glob("maps/next_hop_epoch-*")
        with Map.from_pin(pin) as epochs:
            return epochs.lookup(bytes(4))


def received(receiver: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while receiver.recv(65536) is not None:
            count += 1
    return count


@contextlib.contextmanager
def sockets(agent: Agent, elsewhere: str) -> Iterator[World]:
    made = []
    try:
        for namespace in (agent.pod, elsewhere):
            with netns.inside(namespace):
                receiver = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
                made.append(receiver)
                receiver.setblocking(False)
                receiver.bind((SERVER6, PORT))
        with netns.inside(agent.internet):
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.append(sender)
            sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
            sender.connect((SERVER, PORT))
        yield World(agent, sender, made[0], made[1])
    finally:
        for one in made:
            one.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """wan0 - lan0 (old) and lan1 (new), translating; the route leads to old."""
    with agents.world(tmp_path) as (agent, internet, pod), spaces.new() as elsewhere:
        with netns.inside(agent.namespace):
            link.create_veth("lan1", "up0", netns_b=elsewhere, up=True)
            spaces.command("ip", "address", "add", "2001:db8:66::1/64", "dev", "lan1", "nodad")
            spaces.command("ip", "route", "add", f"{SERVER6}/128", "via", "2001:db8:64::2")
        with netns.inside(elsewhere):
            spaces.command("ip", "address", "add", "2001:db8:66::2/64", "dev", "up0", "nodad")
        for namespace in (pod, elsewhere):
            with netns.inside(namespace):
                spaces.command("ip", "address", "add", f"{SERVER6}/128", "dev", "up0", "nodad")
        with netns.inside(internet):
            network = IPv4Network("192.175.48.0/24")
            spaces.command("ip", "route", "add", str(network), "via", "192.31.196.1")
        agent.start()
        devices = [{"name": name} for name in ("wan0", "lan0", "lan1")]
        agent.apply(changed(GATEWAY, devices=devices))
        assert agent.status()["problems"] == []
        with sockets(agent, elsewhere) as world:
            yield world


def in_state(world: World, state: str) -> None:
    world.settle()
    if state == "no agent":
        world.agent.end(signal.SIGKILL)
        world.settle()


def replace_route(world: World) -> None:
    world.ip(f"route replace {SERVER6}/128 via 2001:db8:66::2")


def add_better_route(world: World) -> None:
    world.ip(f"route add {SERVER6}/128 via 2001:db8:66::2 metric 1")


def add_rule(world: World) -> None:
    world.ip("route add 64:ff9b::/96 via 2001:db8:66::2 table 66")
    world.ip("-6 rule add to 64:ff9b::/96 table 66 pref 66")


def set_down(world: World) -> None:
    world.ip(f"route add {SERVER6}/128 via 2001:db8:66::2 metric 9999")
    world.ip("link set lan0 down")


CHANGES: list[Callable[[World], None]] = [replace_route, add_better_route, add_rule, set_down]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_way(world: World, state: str, change: Callable[[World], None]) -> None:
    in_state(world, state)
    before = world.epoch()
    change(world)
    assert world.moves() <= OLD_WAY
    assert (world.epoch() != before) == (state == "agent")


@pytest.mark.parametrize("state", STATES)
def test_a_neighbour_with_another_mac(world: World, state: str) -> None:
    """As when a spare machine takes an address over and announces itself."""
    in_state(world, state)
    with netns.inside(world.agent.pod):
        link.set_down("up0")
        link.set_mac("up0", bytes.fromhex("020000000042"))
        link.set_up("up0")
        for address in ("2001:db8:64::2/64", f"{SERVER6}/128"):
            spaces.command("ip", "address", "replace", address, "dev", "up0", "nodad")
    world.ip("neighbour replace 2001:db8:64::2 lladdr 02:00:00:00:00:42 dev lan0 nud reachable")
    lost = 0
    for _ in range(PROBES):
        world.probe()
        time.sleep(PERIOD_S)
        if received(world.old):
            break
        lost += 1
    assert lost <= OLD_WAY


@pytest.mark.parametrize("state", STATES)
def test_a_gateway_that_loses_its_carrier(world: World, state: str) -> None:
    """The second-best route is taken where the kernel is told to mind the carrier."""
    for family in ("ipv4", "ipv6"):
        with netns.inside(world.agent.namespace):
            name = ("net", family, "conf", "lan0", "ignore_routes_with_linkdown")
            sysctl.set(name, 1)
    world.ip(f"route add {SERVER6}/128 via 2001:db8:66::2 metric 9999")
    in_state(world, state)
    with netns.inside(world.agent.pod):
        link.set_down("up0")
    assert world.moves() <= OLD_WAY


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("what", ["device", "route"])
def test_a_smaller_mtu_under_a_flow(world: World, state: str, what: str) -> None:
    """Packets that no longer fit are answered, and none is sent."""
    in_state(world, state)
    size = 1450 - 28  # IPv4 packets of 1,450 bytes, which have 1,470 in IPv6
    world.probe(size)
    time.sleep(PERIOD_S)
    assert received(world.old) == 1
    if what == "device":
        world.ip("link set lan0 mtu 1400")
    else:
        world.ip(f"route replace {SERVER6}/128 via 2001:db8:64::2 mtu lock 1400")
    world.sender.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    came = 0
    for _ in range(PROBES):
        world.probe(size)
        time.sleep(PERIOD_S)
        came += received(world.old)
        if (mtu := _told_mtu(world.sender)) is not None:
            break
    else:
        pytest.fail(f"nobody is told; {came} of {PROBES} came")
    assert mtu == 1380
    assert came <= OLD_WAY
    world.probe(1380 - 28)
    time.sleep(PERIOD_S)
    assert received(world.old) == 1


def _told_mtu(sender: socket.socket) -> int | None:
    """From the error queue: struct sock_extended_err has the MTU in ee_info."""
    try:
        _, ancillary, _, _ = sender.recvmsg(2048, 512, socket.MSG_ERRQUEUE | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR):
            error, _, _, _, _, info = struct.unpack_from("=IBBBBI", data)
            return int(info) if error == 90 else None  # EMSGSIZE
    return None
