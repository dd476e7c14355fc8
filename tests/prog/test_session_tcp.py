# SPDX-License-Identifier: Apache-2.0
"""TCP's state machine (RFC 6146 3.5.2.2): SYNs that wait, probes, resets, one packet at a time."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Packet

from sixlane.datapath.layout import Limit
from sixlane.nat64 import port_unreachable, probe_segment
from tests import needs
from tests.packets import ip4, ip6, tcp
from tests.prog.test_sessions import (
    EVERY,
    LATE_S,
    OTHER_NODE,
    POD,
    POOL,
    ROOM,
    back,
    configure,
    out,
    pool6,
    sent4,
    sent6,
    sent66,
    wait,
)
from tests.unit.rfc.vectors import OUTSIDE4, ROUTER4
from tests.world import Entry, Seen, World, raise_world

pytestmark = [pytest.mark.prog, needs.root]

both = pytest.mark.parametrize("entry", ["xdp", "tc"])
SYN_WAYS = int(Limit.SYN_WAYS)
END = (str(POOL[1]), 40001)
"""Of pool4; nobody has it."""
HOUR_S = 3600


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, EVERY)
        yield raised


def syn_in(
    world: World, entry: Entry, end: tuple[str, int] = END, port: int = 80, source: str = OUTSIDE4
) -> Seen:
    """A SYN from outside with options of its own."""
    options = [("MSS", 1400), ("WScale", 7), ("SAckOK", b"")]
    upper = tcp(sport=port, dport=end[1], flags="S", options=options)
    return world.run(bytes(ip4(src=source, dst=end[0]) / upper), entry)


def dropped(seen: Seen) -> dict[str, int]:
    assert seen.verdict == "drop"
    return seen.reasons


def answers(world: World) -> list[Any]:
    """What is due to SYNs by now, as the agent sends it; its checksums are right."""
    found = []
    for syn in world.datapath.sweep_syns():
        raw = port_unreachable(syn)
        read: Packet = IP(raw) if raw[0] >> 4 == 4 else IPv6(raw)
        fresh = read.copy()
        for layer in (IP, ICMP, ICMPv6DestUnreach):
            if layer in fresh and layer is not IP:
                fresh[layer].chksum = fresh[layer].cksum = None
        found.append(read)
        assert bytes(fresh) == raw
    return found


def opened(world: World, entry: Entry) -> tuple[str, int]:
    """A connection to port 80; its endpoint of pool4."""
    sent = sent4(out(world, entry, tcp(sport=5000, dport=80, flags="S")))
    sent6(back(world, entry, tcp(sport=80, dport=sent[TCP].sport, flags="SA"), sent.src))
    sent4(out(world, entry, tcp(sport=5000, dport=80, flags="A")))
    return sent.src, sent[TCP].sport


def ended(world: World) -> int:
    """How many sessions have ended since the last sweep."""
    return world.datapath.sweep_sessions(0, ROOM.sessions).ended


def from_outside(world: World, entry: Entry, end: tuple[str, int], flags: str, port: int) -> Seen:
    return back(world, entry, tcp(sport=port, dport=end[1], flags=flags), end[0])


@pytest.mark.conformance(85, 86)
@both
def test_a_syn_waits(world: World, entry: Entry) -> None:
    """For six seconds, and then it is answered from where it was sent to, with all its header."""
    seen = syn_in(world, entry)
    assert dropped(seen) == {"drop_syn_stored": 1}
    for _ in range(2):
        assert dropped(syn_in(world, entry)) == {"drop_syn_repeated": 1}
    wait(world, 5)
    assert answers(world) == []
    wait(world, 1.1)
    (told,) = answers(world)
    assert (told.src, told.dst) == (END[0], OUTSIDE4)
    assert (told[ICMP].type, told[ICMP].code) == (3, 3)
    assert bytes(told[ICMP].payload) == seen.packet
    assert world.counted() == {"syn_expired": 1, "icmp_error_sent": 1}
    assert answers(world) == []
    assert dropped(syn_in(world, entry)) == {"drop_syn_stored": 1}


@pytest.mark.conformance(86)
@both
def test_simultaneous_open(world: World, entry: Entry) -> None:
    """A client gets the endpoint that somebody calls; the connection is open at once."""
    assert dropped(syn_in(world, entry)) == {"drop_syn_stored": 1}
    sent = sent4(out(world, entry, tcp(sport=5000, dport=80, flags="S")))
    assert (sent.src, sent[TCP].sport) == END
    assert sent6(syn_in(world, entry))[TCP].dport == 5000
    wait(world, HOUR_S)
    assert answers(world) == []
    assert sent6(from_outside(world, entry, END, "A", 80))


@pytest.mark.conformance(86)
@both
def test_a_client_that_has_an_address_keeps_it(world: World, entry: Entry) -> None:
    """The endpoint called is not to be had for it; the SYN waits on."""
    other = sent4(out(world, entry, tcp(sport=6000, dport=99)))
    called = (str(next(one for one in POOL if str(one) != other.src)), 40001)
    assert dropped(syn_in(world, entry, called)) == {"drop_syn_stored": 1}
    sent = sent4(out(world, entry, tcp(sport=5000, dport=80, flags="S")))
    assert sent.src == other.src
    wait(world, 6.1)
    assert len(answers(world)) == 1


@pytest.mark.conformance(86)
@both
def test_a_port_of_somebody_elses_block_is_not_to_be_had(world: World, entry: Entry) -> None:
    other = sent4(out(world, entry, tcp(sport=6000, dport=99), OTHER_NODE))
    called = (other.src, other[TCP].sport ^ 1)
    assert dropped(syn_in(world, entry, called)) == {"drop_syn_stored": 1}
    sent = sent4(out(world, entry, tcp(sport=5000, dport=80, flags="S")))
    assert (sent.src, sent[TCP].sport) != called


@pytest.mark.conformance(87)
@both
def test_a_syn_to_a_binding(world: World, entry: Entry) -> None:
    """It comes in, and the node inside has four minutes to answer."""
    end = opened(world, entry)
    assert sent6(syn_in(world, entry, end, port=81))
    wait(world, 239)
    assert sent6(syn_in(world, entry, end, port=81)), "which is no refresh"
    assert ended(world) == 0
    wait(world, 1 + LATE_S)
    assert ended(world) == 1
    assert sent6(syn_in(world, entry, end, port=81))
    assert sent4(out(world, entry, tcp(sport=5000, dport=81, flags="S")))
    wait(world, HOUR_S)
    assert ended(world) == 0, "it was established"


@pytest.mark.conformance(87)
@both
def test_a_filtered_syn_waits(world: World, entry: Entry) -> None:
    configure(world, EVERY, filter_address=True)
    end = opened(world, entry)
    assert dropped(syn_in(world, entry, end, port=81)) == {"drop_syn_stored": 1}
    assert sent4(out(world, entry, tcp(sport=5000, dport=81, flags="S")))
    wait(world, HOUR_S)
    assert ended(world) == 0, "it was established"


@pytest.mark.conformance(88)
@both
def test_no_syn_waits_where_none_may_come_in(world: World, entry: Entry) -> None:
    configure(world, EVERY, no_syn_46=True)
    assert dropped(syn_in(world, entry)) == {"drop_filtered": 1}
    wait(world, 6.1)
    assert answers(world) == []


@pytest.mark.conformance(86, 98)
@both
def test_a_syn_of_a_hairpin_waits(world: World, entry: Entry) -> None:
    """Its sender is inside and is told in IPv6; or it is met from inside."""
    called = pool6(END[0])
    upper = tcp(sport=5000, dport=END[1], flags="S")
    packet = bytes(ip6(src=POD, dst=called) / upper)
    assert dropped(world.run(packet, entry)) == {"drop_syn_stored": 1}
    wait(world, 6.1)
    (told,) = answers(world)
    assert (told.src, told.dst) == (called, POD)
    assert told[ICMPv6DestUnreach].code == 4
    assert bytes(told[ICMPv6DestUnreach].payload) == packet
    assert world.counted() == {"syn_expired": 1, "icmp_error_sent": 1}

    assert dropped(world.run(packet, entry)) == {"drop_syn_stored": 1}
    caller = sent4(out(world, entry, tcp(sport=5000, dport=99)))
    to_caller = ip6(src=OTHER_NODE, dst=pool6(caller.src))
    syn = bytes(to_caller / tcp(sport=6000, dport=caller[TCP].sport, flags="S"))
    there = sent66(world.run(syn, entry))
    assert (there.src, there[TCP].sport) == (called, END[1])
    assert sent66(world.run(packet, entry)).dst == OTHER_NODE


@pytest.mark.conformance(99)
@both
def test_who_sends_many_syns_is_alone_with_them(world: World, entry: Entry) -> None:
    """An endpoint outside has few to itself; without an agent, those that are over make room."""
    for number in range(SYN_WAYS):
        assert dropped(syn_in(world, entry, (END[0], 2000 + number))) == {"drop_syn_stored": 1}
    for number in range(20):
        seen = syn_in(world, entry, (END[0], 3000 + number))
        assert dropped(seen) == {"drop_syn_store_full": 1}
    assert dropped(syn_in(world, entry, source=ROUTER4)) == {"drop_syn_stored": 1}
    wait(world, 6.1)
    seen = syn_in(world, entry, (END[0], 4000))
    assert dropped(seen) == {"drop_syn_stored": 1, "syn_expired": 1}


@pytest.mark.conformance(99)
def test_a_flood_of_syns(world: World) -> None:
    """It fills its own table and no other; connections go on, and can be made."""
    end = opened(world, "xdp")
    before = {name: _entries(world, name) for name in ("sessions6", "bindings6", "clients")}
    world.counted()
    for number in range(3 * ROOM.syns):
        source = str(IPv4Address("193.1.0.0") + number)
        upper = tcp(sport=1 + number % 9, dport=END[1], flags="S")
        world.send(bytes(ip4(src=source, dst=END[0]) / upper), "xdp")
    told = world.counted()
    assert told["drop_syn_stored"] + told.get("drop_syn_store_full", 0) == 3 * ROOM.syns
    # On a slow machine the first ones are over, and make room, before the last ones come.
    waiting = told["drop_syn_stored"] - told.get("syn_expired", 0)
    assert 0.9 * ROOM.syns < waiting <= ROOM.syns
    assert {name: _entries(world, name) for name in before} == before
    assert sent6(from_outside(world, "xdp", end, "A", 80))
    assert sent4(out(world, "xdp", tcp(sport=5002, dport=443, flags="S")))
    wait(world, 6.1)
    assert len(answers(world)) == waiting


@pytest.mark.conformance(57, 86)
def test_answers_are_within_the_rate_of_errors(world: World) -> None:
    configure(world, EVERY, errors_per_second=0)
    syn_in(world, "xdp")
    wait(world, 6.1)
    assert answers(world) == []
    assert world.counted() == {"syn_expired": 1, "icmp_error_limited": 1}


@pytest.mark.conformance(92)
@both
def test_a_connection_is_probed(world: World, entry: Entry) -> None:
    """Once, by an agent; whoever answers has it on."""
    opened_end = opened(world, entry)
    wait(world, 7440 + LATE_S)
    (probe,) = world.datapath.sweep_sessions(0, ROOM.sessions).probes
    read = IPv6(probe_segment(probe))
    assert (read.src, read.dst) == (pool6(OUTSIDE4), POD)
    assert (read[TCP].sport, read[TCP].dport, read[TCP].flags) == (80, 5000, "A")
    assert (read[TCP].seq, read[TCP].ack, len(read[TCP].payload)) == (0, 0, 0)
    for _ in range(2):
        assert not world.datapath.sweep_sessions(0, ROOM.sessions).probes
    sent4(out(world, entry, tcp(sport=5000, dport=80, flags="A")))
    wait(world, HOUR_S)
    assert sent6(from_outside(world, entry, opened_end, "A", 80))


@pytest.mark.conformance(92)
@both
def test_a_connection_that_is_gone(world: World, entry: Entry) -> None:
    """It ends four minutes later, whether somebody has probed it or not."""
    for probes in (0, 1):
        end = opened(world, entry)
        wait(world, 7440 + LATE_S)
        if probes:
            assert len(world.datapath.sweep_sessions(0, ROOM.sessions).probes) == probes
        wait(world, 235)
        assert sent6(from_outside(world, entry, end, "R", 80)), "in TRANS"
        wait(world, 5)
        assert dropped(from_outside(world, entry, end, "A", 80)) == {"drop_no_binding": 1}
        assert not world.datapath.sweep_sessions(0, ROOM.sessions).probes


@pytest.mark.conformance(91)
@both
def test_a_reset_is_not_the_end_while_packets_come(world: World, entry: Entry) -> None:
    """What was remembered of the flow is not in the way, in whichever direction they go."""
    end = opened(world, entry)
    for inside in (True, False):
        for _ in range(3):
            sent4(out(world, entry, tcp(sport=5000, dport=80, flags="A")))
            sent6(from_outside(world, entry, end, "A", 80))
        sent6(from_outside(world, entry, end, "R", 80))
        if inside:
            sent4(out(world, entry, tcp(sport=5000, dport=80, flags="A")))
        else:
            sent6(from_outside(world, entry, end, "A", 80))
        wait(world, HOUR_S)
        assert sent6(from_outside(world, entry, end, "A", 80))
    sent4(out(world, entry, tcp(sport=5000, dport=80, flags="RA")))
    wait(world, 240 + LATE_S)
    assert dropped(from_outside(world, entry, end, "A", 80)) == {"drop_no_binding": 1}


@pytest.mark.conformance(82)
@both
def test_a_binding_ends_with_the_last_of_its_sessions(world: World, entry: Entry) -> None:
    """Also where another connection by it was to live for longer, and was reset."""
    end = opened(world, entry)
    other = sent4(out(world, entry, tcp(sport=5000, dport=81, flags="S")))
    assert (other.src, other[TCP].sport) == end
    sent6(from_outside(world, entry, end, "R", 80))
    wait(world, 240 + LATE_S)
    assert dropped(from_outside(world, entry, end, "A", 99)) == {"drop_no_binding": 1}


@pytest.mark.conformance(99)
@both
def test_what_has_ended_makes_room(world: World, entry: Entry) -> None:
    """For a client at its limit, before the agent comes round."""
    configure(world, replace(EVERY, max_sessions=8))
    for turn in range(3):
        world.datapath.sweep_sessions(
            ROOM.sessions - 1, 1
        )  # it is there: new sessions do not sweep
        for number in range(8):
            syn = tcp(sport=5000 + turn, dport=1000 * turn + number, flags="S")
            assert sent4(out(world, entry, syn))
        seen = out(world, entry, tcp(sport=5000 + turn, dport=99, flags="S"))
        assert seen.reasons == {"drop_too_many_sessions": 1, "icmp_error_sent": 1}
        wait(world, 240 + LATE_S)


def _entries(world: World, name: str) -> int:
    return sum(1 for _ in world.datapath.maps()[name].items())
