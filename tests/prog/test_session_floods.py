# SPDX-License-Identifier: Apache-2.0
"""Floods, from inside and outside: tables stay within their sizes and a client within its limits,
sessions that are there go on, others get new ones, and the counters tell."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from scapy.layers.inet import ICMP
from scapy.packet import Packet

from sixlane.datapath.layout import Lifetime
from sixlane.datapath.pools import Room
from tests import needs
from tests.index import INDICES, slots_of
from tests.packets import ip4, ip6, tcp, udp
from tests.prog.test_session_views import sessions, sweep
from tests.prog.test_sessions import (
    EVERY,
    LATE_S,
    LIFETIMES,
    OTHER_NODE,
    POD,
    POOL,
    back,
    both,
    configure,
    out,
    sent4,
    sent6,
    wait,
)
from tests.unit.rfc.vectors import OUTSIDE4, OUTSIDE6
from tests.world import Entry, World, raise_world

pytestmark = [pytest.mark.prog, needs.root]

ROOM = Room(sessions=512, bindings=256, clients=16, addresses=4, filters=512)
FLOOD = 3000
PORTS_A_CLIENT = EVERY.block_ports * EVERY.blocks
MOST_SESSIONS = 200


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, replace(EVERY, max_sessions=MOST_SESSIONS))
        yield raised


class Neighbour:
    """Another client, whose TCP connection stands while there is a flood."""

    def __init__(self, world: World, entry: Entry) -> None:
        self._world, self._entry = world, entry
        seen = sent4(out(world, entry, tcp(sport=7000, dport=443, flags="S"), OTHER_NODE))
        self.end = seen.src, seen.sport
        sent6(back(world, entry, tcp(sport=443, dport=seen.sport, flags="SA"), seen.src))

    def is_served(self, new_port: int) -> None:
        """Its connection goes on between the same two ends, and it gets another one."""
        world, entry = self._world, self._entry
        world.datapath.forget_next_hops()
        there = sent4(out(world, entry, tcp(sport=7000, dport=443, flags="A"), OTHER_NODE))
        assert (there.src, there.sport) == self.end
        here = sent6(back(world, entry, tcp(sport=443, dport=self.end[1], flags="A"), self.end[0]))
        assert (here.dst, here.dport) == (OTHER_NODE, 7000)
        new = tcp(sport=new_port, dport=443, flags="S")
        assert sent4(out(world, entry, new, OTHER_NODE)).src == self.end[0]


@pytest.fixture
def neighbour(world: World, entry: Entry) -> Neighbour:
    return Neighbour(world, entry)


def flood(world: World, entry: Entry, packets: Iterable[bytes]) -> dict[str, int]:
    """By reason: what became of them."""
    world.counted()
    for packet in packets:
        world.send(packet, entry)
    return {name: count for name, count in world.counted().items() if not name.startswith("icmp_")}


def with_ports(packet: Packet | bytes, at: int, ports: Iterable[int]) -> Iterator[bytes]:
    """One packet with other ports; its checksum, which nobody asks for, stays what it was."""
    made = bytearray(bytes(packet))
    for port in ports:
        made[at : at + 2] = port.to_bytes(2)
        yield bytes(made)


def used(world: World) -> dict[str, int]:
    maps = world.datapath.maps()
    found = {name: len(slots_of(maps[name])) for name in INDICES}
    return {**found, "clients": sum(1 for _ in maps["clients"].items())}


def of_pod(world: World) -> int:
    return sum(one.inside == POD for one in sessions(world))


@both
def test_syns_of_one_client(world: World, entry: Entry, neighbour: Neighbour) -> None:
    """From as many ports as there are: it gets those of its blocks, and no more."""
    syn = ip6(src=POD, dst=OUTSIDE6) / tcp(dport=80, flags="S")
    ports = random.Random(1).sample(range(1024, 65536), FLOOD)
    fared = flood(world, entry, with_ports(syn, 40, ports))
    assert fared == {"forward_64": PORTS_A_CLIENT, "drop_no_port": FLOOD - PORTS_A_CLIENT}
    assert of_pod(world) == PORTS_A_CLIENT
    assert used(world)["clients"] == 2
    neighbour.is_served(7001)

    wait(world, LIFETIMES[Lifetime.LIFETIME_TCP_TRANSITORY] + LATE_S)
    assert sweep(world) == PORTS_A_CLIENT + 1  # the neighbour's new one, too
    assert [one.state for one in sessions(world)] == ["ESTABLISHED"]
    assert used(world) == {"sessions6": 1, "sessions4": 1, "bindings6": 1, "clients": 1}
    assert flood(world, entry, [bytes(syn)]) == {"forward_64": 1}


@both
def test_syns_from_one_port(world: World, entry: Entry, neighbour: Neighbour) -> None:
    """To as many as there are: one binding, and as many sessions as a client may have."""
    syn = ip6(src=POD, dst=OUTSIDE6) / tcp(sport=5000, flags="S")
    fared = flood(world, entry, with_ports(syn, 42, range(1, FLOOD + 1)))
    assert fared == {
        "forward_64": MOST_SESSIONS,
        "drop_too_many_sessions": FLOOD - MOST_SESSIONS,
    }
    assert of_pod(world) == MOST_SESSIONS
    assert used(world)["bindings6"] == 2
    neighbour.is_served(7001)


@both
def test_one_packet_flows_of_one_client(world: World, entry: Entry, neighbour: Neighbour) -> None:
    """UDP from random ports to random ports."""
    datagram = ip6(src=POD, dst=OUTSIDE6) / udp()
    draw = random.Random(2)
    packets = (
        next(with_ports(one, 42, [draw.randrange(1, 65536)]))
        for one in with_ports(datagram, 40, (draw.randrange(1024, 65536) for _ in range(FLOOD)))
    )
    fared = flood(world, entry, packets)
    assert fared.pop("forward_64") <= MOST_SESSIONS
    assert set(fared) <= {"drop_no_port", "drop_too_many_sessions"}
    assert of_pod(world) <= MOST_SESSIONS
    assert used(world)["bindings6"] <= PORTS_A_CLIENT + 1
    neighbour.is_served(7001)


@both
def test_a_full_table_serves_those_who_are_in_it(
    world: World, entry: Entry, neighbour: Neighbour
) -> None:
    """Without a limit of sessions one client may take up all of it. Nobody is put out; once those
    have ended, there is room again, also while no agent sweeps."""
    configure(world, EVERY)
    datagram = ip6(src=POD, dst=OUTSIDE6) / udp(sport=5000)
    fared = flood(world, entry, with_ports(datagram, 42, range(1, FLOOD + 1)))
    assert fared == {
        "forward_64": ROOM.sessions - 1,
        "drop_table_full": FLOOD - ROOM.sessions + 1,
    }
    assert used(world)["sessions6"] == used(world)["sessions4"] == ROOM.sessions
    refused = out(world, entry, udp(sport=7001, dport=53), OTHER_NODE)
    assert refused.reasons["drop_table_full"] == 1
    there = sent4(out(world, entry, tcp(sport=7000, dport=443, flags="A"), OTHER_NODE))
    assert (there.src, there.sport) == neighbour.end

    wait(world, LIFETIMES[Lifetime.LIFETIME_UDP] + LATE_S)
    fared = flood(world, entry, with_ports(datagram, 42, range(4000, 4000 + FLOOD)))
    assert fared["forward_64"] == ROOM.sessions - 1
    wait(world, LIFETIMES[Lifetime.LIFETIME_UDP] + LATE_S)
    neighbour.is_served(7001)


@both
def test_a_scan_of_pool4(world: World, entry: Entry, neighbour: Neighbour) -> None:
    """Of ports that nobody has, by each protocol: nothing comes of it, but that eight SYNs of one
    endpoint wait for somebody."""
    before = used(world), sessions(world)
    draw = random.Random(3)
    taken = {neighbour.end[1]}
    ports = [port for port in draw.sample(range(1024, 65536), FLOOD // 3) if port not in taken]
    whole = str(draw.choice(list(POOL)))
    scans = [
        with_ports(ip4(src=OUTSIDE4, dst=whole) / udp(), 22, ports),
        with_ports(ip4(src=OUTSIDE4, dst=whole) / tcp(flags="S"), 22, ports),
        with_ports(ip4(src=OUTSIDE4, dst=whole) / ICMP(type=0), 24, ports),
    ]
    refused = {"drop_no_binding": len(ports)}
    waiting = {"drop_syn_stored": 8, "drop_syn_store_full": len(ports) - 8}
    for scan, fared in zip(scans, (refused, waiting, refused), strict=True):
        assert flood(world, entry, scan) == fared
    assert used(world) == before[0]
    assert len(sessions(world)) == len(before[1])
    neighbour.is_served(7001)


@both
@pytest.mark.parametrize("filtered", [False, True], ids=["open", "filtered"])
def test_a_scan_of_a_port_that_is_taken(
    world: World, entry: Entry, neighbour: Neighbour, filtered: bool
) -> None:
    """Strangers make sessions of whom they reach, up to that client's limit; where the node must
    have talked to them before, they make none."""
    configure(world, replace(EVERY, max_sessions=MOST_SESSIONS), filter_address=filtered)
    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    stranger = ip4(src="192.0.2.99", dst=sent.src) / udp(dport=sent.sport)
    fared = flood(world, entry, with_ports(stranger, 20, range(1, FLOOD + 1)))
    if filtered:
        assert fared == {"drop_filtered": FLOOD}
        assert of_pod(world) == 1
    else:
        assert fared == {
            "forward_46": MOST_SESSIONS - 1,
            "drop_too_many_sessions": FLOOD - MOST_SESSIONS + 1,
        }
        assert of_pod(world) == MOST_SESSIONS
    neighbour.is_served(7001)
