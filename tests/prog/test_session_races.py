# SPDX-License-Identifier: Apache-2.0
"""Two CPUs that make, find and take out the same sessions at once: one of each, and nothing lost.

Two processes, each on a CPU of its own, start each round together and run the real programs.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Any, NamedTuple

import pytest
from scapy.packet import Packet

from sixlane.bpf import XdpMd
from sixlane.datapath import layout
from sixlane.datapath.layout import SessionProtocol, SlotsIndex
from sixlane.datapath.pools import PoolEntry, PoolRange, Room
from tests import needs
from tests.index import INDICES, slots_of
from tests.packets import ip6, udp
from tests.prog.test_sessions import LATE_S, configure, wait
from tests.unit.rfc.vectors import OUTSIDE6, ROUTER6
from tests.world import LAN_PEER_MAC, World, raise_world

pytestmark = [
    pytest.mark.prog,
    needs.root,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU alone"),
]

ROUNDS = int(os.environ.get("ROUNDS", 1000))
ROOM = Room(sessions=2 * ROUNDS + 64, bindings=ROUNDS + 64, clients=64, addresses=1)
POOL = IPv4Network("192.31.197.8/32")
EVERY = PoolEntry(
    "default",
    0,
    IPv6Network("::/0"),
    [PoolRange(POOL[0], 1, 0)],
    {protocol: (1024, 65535) for protocol in list(SessionProtocol)[:3]},
    block_ports=64,
    blocks=8,
)
TABLES = (*INDICES, "clients")
REDIRECT = 4
NOWHERE = bytes(6)
"""In place of an endpoint: the sender was told by an ICMP error that there is no room."""
Job = Callable[[int], tuple[int, bytes]]
"""What one CPU does in a round; its answer is at most RESULT_BYTES."""
RESULT_BYTES = 8


class Sent(NamedTuple):
    """What became of a packet: the verdict, and the endpoint of pool4 it goes on with."""

    verdict: int
    end: bytes


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, EVERY)
        yield raised


def race(rounds: int, *jobs: Job) -> list[list[Sent]]:
    """Each job in a process on a CPU of its own, all of them from the same moment on in each
    round. By job and round, what it came to."""
    cpus = sorted(os.sched_getaffinity(0))
    answers = mmap.mmap(-1, len(jobs) * rounds * (RESULT_BYTES + 1))
    clocks = mmap.mmap(-1, 4 * len(jobs))
    children = []
    for number, job in enumerate(jobs):
        child = os.fork()
        if not child:
            status = 1
            try:
                os.sched_setaffinity(0, {cpus[number]})
                _take_part(number, rounds, job, memoryview(clocks).cast("I"), answers)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(jobs)
    step = RESULT_BYTES + 1
    raw = [bytes(answers[at : at + step]) for at in range(0, len(answers), step)]
    sent = [Sent(one[0], one[1:7]) for one in raw]
    return [sent[number * rounds : (number + 1) * rounds] for number in range(len(jobs))]


def _take_part(
    number: int, rounds: int, job: Job, clocks: "memoryview[int]", answers: mmap.mmap
) -> None:
    for turn in range(rounds):
        clocks[number] = turn + 1
        waits = 0
        while min(clocks) <= turn:
            waits += 1
            if waits % 256 == 0:
                os.sched_yield()
        verdict, answer = job(turn)
        at = (number * rounds + turn) * (RESULT_BYTES + 1)
        answers[at : at + 1 + len(answer)] = bytes((verdict,)) + answer


def sender(world: World, packets: list[Packet]) -> Job:
    """Sends the packet of each round; what can be done before is done before."""
    program = world.datapath.program("uplink_xdp")
    link = world.lan.mac + LAN_PEER_MAC + b"\x86\xdd"
    frames = [link + bytes(packet) for packet in packets]
    contexts = [bytes(XdpMd.of(frame, ingress_ifindex=world.lan.ifindex)) for frame in frames]

    def send(turn: int) -> tuple[int, bytes]:
        result = program.run(frames[turn], ctx=contexts[turn], data_out_size=512)
        ip = result.data[14:]
        return result.retval, ip[12:16] + ip[20:22] if ip[0] >> 4 == 4 else b""

    return send


def flows(to: str = OUTSIDE6) -> list[Packet]:
    """One for each round, of clients that have room for them."""
    return [
        ip6(src=f"2001:db8:64:{turn // 256:x}::7", dst=to) / udp(8, sport=2000 + turn % 256)
        for turn in range(ROUNDS)
    ]


def count(world: World, name: str) -> int:
    map = world.datapath.maps()[name]
    return len(slots_of(map)) if name in INDICES else sum(1 for _ in map.items())


def sweep(world: World) -> None:
    world.datapath.sweep_sessions(0, ROOM.sessions)


def assert_all_is_given_back(world: World) -> None:
    wait(world, 300 + LATE_S)
    sweep(world)
    assert {name: count(world, name) for name in TABLES} == dict.fromkeys(TABLES, 0)
    maps = world.datapath.maps()
    assert not any(int.from_bytes(value, "little") for _, value in maps["used4"].items())
    assert not any(int.from_bytes(value, "little") for _, value in maps["blocks4"].items())
    for which, records, kind in (
        (SlotsIndex.SLOTS_SESSIONS, "sessions", layout.Session),
        (SlotsIndex.SLOTS_BINDINGS, "bindings", layout.Binding),
    ):
        used, free = slots(world, which, maps[records], kind)
        assert len(free) == len(set(free)), f"{records}: a slot is free twice"
        assert set(free) == set(range(used)), f"{records}: {used - len(free)} slots are lost"


def slots(world: World, which: SlotsIndex, records: Any, kind: Any) -> tuple[int, list[int]]:
    """How many slots there ever were, and those that are in the list of free ones."""
    maps = world.datapath.maps()
    raw = (
        maps["flow_slots"].lookup(bytes(4))
        if which == SlotsIndex.SLOTS_FLOWS
        else maps["free_slots"].lookup(int(which).to_bytes(4, "little"))
    )
    head = layout.Slots.from_buffer_copy(raw or b"")
    at, free = head.freed & 0xFFFFFFFF, list[int]()
    while at and len(free) <= head.fresh:
        free.append(at - 1)
        value = records.lookup((at - 1).to_bytes(4, "little")) or b""
        at = kind.from_buffer_copy(value).next
    return head.fresh, free


def test_one_flow(world: World) -> None:
    """Whoever comes second, or at the same time, gets the same port."""
    one, other = race(ROUNDS, sender(world, flows()), sender(world, flows()))
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    assert not differing, f"{len(differing)} of {ROUNDS}, {differing[0]}"
    assert {sent.verdict for sent in one} == {REDIRECT} and NOWHERE not in {
        sent.end for sent in one
    }
    assert len({sent.end for sent in one}) == ROUNDS
    counts = {name: count(world, name) for name in INDICES}
    assert counts == dict.fromkeys(INDICES, ROUNDS)
    assert_all_is_given_back(world)


def test_one_binding(world: World) -> None:
    """Of one source to two servers at once, as resolvers do: one binding, two sessions."""
    one, other = race(ROUNDS, sender(world, flows()), sender(world, flows(ROUTER6)))
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    assert not differing, f"{len(differing)} of {ROUNDS}, {differing[0]}"
    assert len({sent.end for sent in one}) == ROUNDS
    assert count(world, "bindings6") == ROUNDS
    assert count(world, "sessions6") == count(world, "sessions4") == 2 * ROUNDS
    assert_all_is_given_back(world)


def test_nothing_is_lost(world: World) -> None:
    """Whatever those get that come second: when all is over, all is free."""
    race(ROUNDS, sender(world, flows()), sender(world, flows()))
    race(ROUNDS, sender(world, flows()), sender(world, flows(ROUTER6)))
    assert count(world, "sessions6") == count(world, "sessions4")
    assert_all_is_given_back(world)


def test_slots_are_given_back_at_once(world: World) -> None:
    """Two CPUs sweep: whoever comes in between finds a list that changes all the time."""
    race(ROUNDS, sender(world, flows()), sender(world, flows(ROUTER6)))
    wait(world, 300 + LATE_S)

    def sweeper(first: int) -> Job:
        def sweep_every_other(turn: int) -> tuple[int, bytes]:
            world.datapath.sweep_sessions(2 * turn + first, 1)
            return 0, b""

        return sweep_every_other

    race(ROUNDS, sweeper(0), sweeper(1))
    assert_all_is_given_back(world)


def test_sessions_come_back_while_they_are_taken_out(world: World) -> None:
    """Flows go on after their sessions have ended, and somebody sweeps meanwhile."""
    before, _ = race(ROUNDS, sender(world, flows()), lambda turn: (0, b""))
    wait(world, 300 + LATE_S)

    def sweep_some(turn: int) -> tuple[int, bytes]:
        world.datapath.sweep_sessions(turn, 1)  # the slot of that flow's session, most likely
        return 0, b""

    after, _ = race(ROUNDS, sender(world, flows()), sweep_some)
    assert {sent.verdict for sent in before + after} == {REDIRECT}
    lost = sum(sent.end == NOWHERE for sent in after)
    assert not lost, f"{lost} of {ROUNDS} were told that there is no room"
    assert len({sent.end for sent in after}) == ROUNDS
    for name in INDICES:
        assert count(world, name) == ROUNDS
    assert_all_is_given_back(world)
