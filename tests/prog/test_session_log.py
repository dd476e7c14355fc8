# SPDX-License-Identifier: Apache-2.0
"""The log of sessions and of port blocks: a record of each that begins or ends, and of nothing
else."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest

from sixlane.datapath import layout
from sixlane.datapath.layout import Limit
from sixlane.datapath.logs import BlockEvent, SessionEvent
from sixlane.datapath.pools import Room
from sixlane.datapath.sessions import Session, StaticBinding
from tests import needs
from tests.packets import ip6, tcp, udp
from tests.prog.test_session_races import race, sender
from tests.prog.test_session_tcp import END, syn_in
from tests.prog.test_session_views import sessions, sweep
from tests.prog.test_sessions import (
    EVERY,
    LATE_S,
    OTHER_NODE,
    OTHER_POD,
    POD,
    POOL,
    ROOM,
    back,
    both,
    configure,
    out,
    sent4,
    sent6,
    wait,
)
from tests.prog.test_trace import Tracer
from tests.unit.rfc.vectors import OUTSIDE4, OUTSIDE6
from tests.world import Entry, World, raise_world

pytestmark = [pytest.mark.prog, needs.root]

Event = BlockEvent | SessionEvent
CLIENT = IPv6Network("2001:db8:64:1::/64")
REMOTE = IPv4Address(OUTSIDE4)
FOREVER_S = 10_000


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, EVERY, log_blocks=True, log_sessions=True)
        yield raised


def told(world: World) -> list[Event]:
    """All that nobody has read yet."""
    with world.datapath.session_log() as log:
        return [event for events in iter(lambda: log.read(1000), []) for event in events]


def timeless(events: list[Event]) -> list[Event]:
    return [replace(event, time_ns=0) for event in events]


def block(packet_source: str, port: int, given: bool, client: IPv6Network = CLIENT) -> BlockEvent:
    """Of a port, with 64 ports to a block."""
    first = port // 64 * 64
    return BlockEvent(0, given, client, IPv4Address(packet_source), first, first + 63)


def session(
    protocol: Any, inside: tuple[str, int], pool: tuple[str, int], remote_port: int, made: bool
) -> SessionEvent:
    return SessionEvent(
        0,
        made,
        protocol,
        (IPv6Address(inside[0]), inside[1]),
        (IPv4Address(pool[0]), pool[1]),
        (REMOTE, remote_port),
    )


@both
def test_one_of_each(world: World, entry: Entry) -> None:
    before = time.time_ns()
    dns = sent4(out(world, entry, udp(sport=5001, dport=53)))
    web = sent4(out(world, entry, tcp(sport=5002, dport=443, flags="S"), OTHER_POD))
    echo = sent4(out(world, entry, ICMPv6EchoRequest(id=77), OTHER_NODE))
    after = time.time_ns()
    other = IPv6Network("2001:db8:64:2::/64")
    made = told(world)
    assert timeless(made) == [
        block(dns.src, dns[UDP].sport, True),
        session("udp", (POD, 5001), (dns.src, dns[UDP].sport), 53, True),
        session("tcp", (OTHER_POD, 5002), (web.src, web[TCP].sport), 443, True),
        block(echo.src, echo[ICMP].id, True, other),
        session("icmp", (OTHER_NODE, 77), (echo.src, echo[ICMP].id), 0, True),
    ]
    slack_ns = 50_000_000  # two clocks are read one after the other
    assert all(before - slack_ns <= event.time_ns <= after + slack_ns for event in made)
    assert [event.time_ns for event in made] == sorted(event.time_ns for event in made)

    wait(world, 60 + LATE_S)
    assert sweep(world) == 1
    assert timeless(told(world)) == [
        session("icmp", (OTHER_NODE, 77), (echo.src, echo[ICMP].id), 0, False),
        block(echo.src, echo[ICMP].id, False, other),
    ]
    wait(world, FOREVER_S)
    assert sweep(world) == 2
    assert timeless(told(world)) == [
        session("udp", (POD, 5001), (dns.src, dns[UDP].sport), 53, False),
        session("tcp", (OTHER_POD, 5002), (web.src, web[TCP].sport), 443, False),
        block(dns.src, dns[UDP].sport, False),
    ]


@both
def test_a_session_that_is_there_says_nothing(world: World, entry: Entry) -> None:
    first = sent4(out(world, entry, udp(sport=5001, dport=53)))
    told(world)
    for _ in range(3):
        sent4(out(world, entry, udp(sport=5001, dport=53)))
        sent6(back(world, entry, udp(sport=53, dport=first[UDP].sport), first.src))
    assert told(world) == []


@both
def test_from_outside(world: World, entry: Entry) -> None:
    """A session of a binding that is there needs no block."""
    first = sent4(out(world, entry, udp(sport=5001, dport=53)))
    told(world)
    sent6(back(world, entry, udp(sport=9999, dport=first[UDP].sport), first.src))
    assert timeless(told(world)) == [
        session("udp", (POD, 5001), (first.src, first[UDP].sport), 9999, True)
    ]


@both
def test_a_packet_ends_what_is_over(world: World, entry: Entry) -> None:
    """It meets a session whose time has come, and makes another one."""
    first = sent4(out(world, entry, udp(sport=5001, dport=53)))
    told(world)
    wait(world, 300 + LATE_S)
    again = sent4(out(world, entry, udp(sport=5001, dport=53)))
    assert timeless(told(world)) == [
        session("udp", (POD, 5001), (first.src, first[UDP].sport), 53, False),
        block(first.src, first[UDP].sport, False),
        block(again.src, again[UDP].sport, True),
        session("udp", (POD, 5001), (again.src, again[UDP].sport), 53, True),
    ]


@both
def test_another_block_comes_and_goes_alone(world: World, entry: Entry) -> None:
    """It goes with its last port, while the client keeps the first one."""
    configure(world, EVERY, log_blocks=True)
    first = sent4(out(world, entry, udp(sport=5001, dport=53)))
    assert timeless(told(world)) == [block(first.src, first[UDP].sport, True)]
    for number in range(1, 32):  # of 64 ports half are odd, as those inside
        sent4(out(world, entry, udp(sport=5001 + 2 * number, dport=53)))
    assert told(world) == []
    wait(world, 200)
    for number in range(32):  # these live on
        sent4(out(world, entry, udp(sport=5001 + 2 * number, dport=53)))
    others = [
        sent4(out(world, entry, udp(sport=6001 + 2 * number, dport=53))) for number in range(33)
    ]
    (second,) = {one[UDP].sport // 64 for one in others[32:]}
    assert second != first[UDP].sport // 64
    assert timeless(told(world)) == [block(first.src, second * 64, True)]
    for _ in range(2):
        wait(world, 200)
        for number in range(32):
            sent4(out(world, entry, udp(sport=5001 + 2 * number, dport=53)))
    sweep(world)
    assert timeless(told(world)) == [block(first.src, second * 64, False)]


@both
def test_the_block_of_a_port_where_somebody_waits(world: World, entry: Entry) -> None:
    """A new client gets it as its first one, and one that has the address as another."""
    syn_in(world, entry)
    sent = sent4(out(world, entry, tcp(sport=5000, dport=80, flags="S")))
    assert (sent.src, sent[TCP].sport) == END
    assert timeless(told(world)) == [
        block(END[0], END[1], True),
        session("tcp", (POD, 5000), END, 80, True),
    ]
    there = (END[0], END[1] ^ 4096)
    syn_in(world, entry, there)
    sent = sent4(out(world, entry, tcp(sport=5002, dport=80, flags="S")))
    assert (sent.src, sent[TCP].sport) == there
    assert timeless(told(world)) == [
        block(there[0], there[1], True),
        session("tcp", (POD, 5002), there, 80, True),
    ]


@both
def test_a_static_binding(world: World, entry: Entry) -> None:
    """Its client gets a block; when it goes, its sessions end now, whatever their lifetime."""
    bound = StaticBinding("udp", IPv6Address(POD), 53, IPv4Address(END[0]), 443, 0)
    world.datapath.bind_static(bound)
    (given,) = told(world)
    assert isinstance(given, BlockEvent) and given.given
    assert (given.client, str(given.pool), given.last - given.first) == (CLIENT, END[0], 63)
    sent6(back(world, entry, udp(sport=4000, dport=443), END[0]))
    told(world)
    before = time.time_ns()
    world.datapath.bind_static(bound, wanted=False)
    ended, gone = told(world)
    assert replace(ended, time_ns=0) == session("udp", (POD, 53), (END[0], 443), 4000, False)
    assert replace(gone, time_ns=0) == replace(given, time_ns=0, given=False)
    assert before - 50_000_000 <= ended.time_ns <= time.time_ns() + 50_000_000


@both
def test_an_address_that_has_left_pool4(world: World, entry: Entry) -> None:
    """What ends there is told by the address that it had."""
    first = sent4(out(world, entry, udp(sport=5001, dport=53)))
    told(world)
    leave_pool4(world, first.src)
    assert sweep(world) == 1
    assert timeless(told(world)) == [
        session("udp", (POD, 5001), (first.src, first[UDP].sport), 53, False),
        block(first.src, first[UDP].sport, False),
    ]


def test_a_static_binding_of_an_address_that_has_left_pool4(world: World) -> None:
    """Its client has a block of which no port was ever taken."""
    bound = StaticBinding("udp", IPv6Address(POD), 53, IPv4Address(END[0]), 443, 0)
    world.datapath.bind_static(bound)
    (given,) = timeless(told(world))
    assert isinstance(given, BlockEvent)
    leave_pool4(world, END[0])
    world.datapath.bind_static(bound, wanted=False)
    assert timeless(told(world)) == [replace(given, given=False)]


def leave_pool4(world: World, address: str) -> None:
    """Another one stays, where it is in the tables."""
    (before,) = EVERY.ranges
    index = next(one for one in range(before.count) if str(before.first + one) != address)
    stays = [replace(before, first=before.first + index, count=1, index=index)]
    configure(world, replace(EVERY, ranges=stays), log_blocks=True, log_sessions=True)


@both
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("of_sessions", [False, True])
def test_each_is_on_or_off(world: World, entry: Entry, blocks: bool, of_sessions: bool) -> None:
    configure(world, EVERY, log_blocks=blocks, log_sessions=of_sessions)
    sent4(out(world, entry, udp(sport=5001, dport=53)))
    wait(world, FOREVER_S)
    sweep(world)
    kinds = [type(event) for event in told(world)]
    assert kinds.count(BlockEvent) == 2 * blocks
    assert kinds.count(SessionEvent) == 2 * of_sessions


@both
def test_none_unless_asked_for(world: World, entry: Entry) -> None:
    configure(world, EVERY)
    sent4(out(world, entry, udp(sport=5001, dport=53)))
    wait(world, FOREVER_S)
    sweep(world)
    assert told(world) == []


@both
def test_a_trace_is_no_session(world: World, entry: Entry) -> None:
    """Also where a packet would get its client another block."""
    trace = Tracer(world, entry)
    packet = bytes(ip6(src=POD, dst=OUTSIDE6) / udp(sport=9001, dport=53)).hex()
    assert trace(packet=packet)["verdict"] == "sent"
    assert told(world) == []
    sent = [sent4(out(world, entry, udp(sport=5001 + n, dport=53))) for n in range(64)]
    assert len({one[UDP].sport // 64 for one in sent}) == 1
    told(world)
    assert trace(packet=packet)["verdict"] == "sent"
    assert told(world) == []


def test_what_finds_no_room_is_counted(world: World) -> None:
    configure(world, EVERY, log_sessions=True)
    per_round, rounds = 64, 700
    packets = [ip6(src=POD, dst=OUTSIDE6) / udp(8, sport=3001 + 2 * n) for n in range(per_round)]
    send = sender(world, packets)
    world.counted()
    for _ in range(rounds):
        for turn in range(per_round):
            assert send(turn)[0] == 4
        wait(world, 300 + LATE_S)
        assert sweep(world) == per_round
    lost = world.counted()["session_log_lost"]
    kept = len(told(world))
    assert lost > 0
    assert kept + lost == 2 * per_round * rounds
    assert kept == pytest.approx(Limit.SESSION_RING_BYTES // (48 + 8), abs=1)
    sent4(out(world, "tc", udp(sport=5001, dport=53)))
    assert len(told(world)) == 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU alone")
def test_the_log_is_the_truth() -> None:
    """Two CPUs make and end sessions of the same clients: whoever reads the log alone knows at any
    moment who has what, and at the end it is what the tables have."""
    turns = 3000
    room = Room(sessions=256, bindings=256, clients=64, addresses=4)
    with raise_world(room) as world:
        configure(world, EVERY, log_blocks=True, log_sessions=True)
        packets = [
            ip6(src=f"2001:db8:64:{n % 5:x}::{n % 3 + 7}", dst=OUTSIDE6)
            / udp(8, sport=2000 + n * 7 % 90, dport=53 + n % 2)
            for n in range(turns)
        ]
        first = sender(world, packets)
        second = sender(world, [packets[n ^ 1] for n in range(turns)])

        def impatient(turn: int) -> tuple[int, bytes]:
            if turn % 50 == 49:
                wait(world, 300 + LATE_S)
                sweep(world)
            return first(turn)

        race(turns, impatient, second)
        log = Log()
        for event in told(world):
            log.add(event)
        assert "session_log_lost" not in world.counted()
        assert log.sessions == {
            (one.protocol, IPv6Address(one.inside), one.inside_port, one.remote_port)
            for one in sessions(world)
        }
        assert log.blocks == blocks_of(world)
        assert log.events > turns // 4
        wait(world, FOREVER_S)
        sweep(world)
        for event in told(world):
            log.add(event)
        assert not log.sessions and not log.blocks


class Log:
    """Who has what, by the log alone."""

    def __init__(self) -> None:
        self.sessions: set[tuple[Any, ...]] = set()
        self.ports: set[tuple[Any, ...]] = set()
        self.blocks: dict[tuple[IPv4Address, int], IPv6Network] = {}
        self.events = 0

    def add(self, event: Event) -> None:
        self.events += 1
        if isinstance(event, BlockEvent):
            place = event.pool, event.first
            if event.given:
                assert place not in self.blocks
                self.blocks[place] = event.client
            else:
                assert self.blocks.pop(place) == event.client
            return
        flow = (event.protocol, *event.inside, event.remote[1])
        address, port = event.pool
        if event.made:
            assert flow not in self.sessions
            self.sessions.add(flow)
        else:
            self.sessions.remove(flow)
        owner = self.blocks[address, port // 64 * 64]
        assert event.inside[0] in owner


def blocks_of(world: World) -> dict[tuple[IPv4Address, int], IPv6Network]:
    """As the table of clients has them."""
    found = {}
    for key, value in world.datapath.maps()["clients"].items():
        client = layout.Client.from_buffer_copy(value)
        network = IPv6Network((int.from_bytes(key), 64))
        for pair in client.blocks:
            for number in (pair & 0xFFFF, pair >> 16):
                if number:
                    address = EVERY.ranges[0].first + client.address
                    found[address, (number - 1) * 64] = network
    return found


def test_whether_tables_are_new(world: World) -> None:
    assert not world.datapath.has_had_sessions()
    sent4(out(world, "tc", udp(sport=5001, dport=53)))
    wait(world, FOREVER_S)
    sweep(world)
    assert world.datapath.has_had_sessions()


def test_what_is_imported_is_made_here(world: World) -> None:
    carried = Session(
        "udp", POD, 5000, str(POOL[1]), 2001, OUTSIDE4, 53, "2001:db8:46::/96", "OPEN", 100.0
    )
    assert world.datapath.import_sessions([carried]) == ["made"]
    assert timeless(told(world)) == [
        block(str(POOL[1]), 2001, True),
        session("udp", (POD, 5000), (str(POOL[1]), 2001), 53, True),
    ]
    assert world.datapath.import_sessions([carried]) == ["present"]
    assert not told(world)
