# SPDX-License-Identifier: Apache-2.0
"""Static bindings: put and removed while packets make sessions of their own."""

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest

from sixlane.datapath.layout import BindResult
from sixlane.datapath.sessions import StaticBinding
from tests import needs
from tests.packets import ip6, tcp, udp
from tests.prog.test_session_races import REDIRECT, race, sender
from tests.prog.test_session_views import bindings, clients, sessions, sweep
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
from tests.unit.rfc.vectors import OUTSIDE6
from tests.world import Entry, Seen, World, raise_world

pytestmark = [pytest.mark.prog, needs.root]

PUBLIC = str(POOL[2])
WEB = StaticBinding("tcp", IPv6Address(POD), 8443, IPv4Address(PUBLIC), 443, 0)
DNS = StaticBinding("udp", IPv6Address(POD), 53, IPv4Address(PUBLIC), 5353, 0)
ECHO = StaticBinding("icmp", IPv6Address(POD), 7, IPv4Address(PUBLIC), 70, 0)
DONE = BindResult.BIND_DONE


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, EVERY)
        yield raised


def bind(world: World, one: StaticBinding) -> BindResult:
    return world.datapath.bind_static(one)


def unbind(world: World, one: StaticBinding) -> None:
    assert world.datapath.bind_static(one, wanted=False) == DONE


def kinds(world: World) -> list[tuple[int, int, bool]]:
    """Port of pool4, sessions, whether it is static."""
    return [(one.pool_port, one.sessions, one.static) for one in bindings(world)]


def reason(seen: Seen) -> str:
    """Why it was dropped, whatever was told of it."""
    (name,) = (name for name in seen.reasons if name.startswith("drop_"))
    return name


def taken(world: World, table: str) -> int:
    """How many elements of an array are not zero."""
    values = b"".join(values for _, values in world.datapath.maps()[table].rows())
    return int(np.count_nonzero(np.frombuffer(values, np.uint64)))


@both
@pytest.mark.conformance(82)
def test_it_lives_without_sessions(world: World, entry: Entry) -> None:
    """A packet from outside makes one; when that ends, the binding is still there."""
    asked = {DNS: udp(sport=4000, dport=5353), WEB: tcp(sport=4000, dport=443, flags="S")}
    for one in (DNS, WEB, ECHO):
        assert bind(world, one) == DONE
    assert sorted(kinds(world)) == [(70, 0, True), (443, 0, True), (5353, 0, True)]
    wait(world, 10_000)
    sweep(world)
    for one, upper in asked.items():
        got = sent6(back(world, entry, upper, PUBLIC))
        layer = UDP if one is DNS else TCP
        assert (IPv6Address(got.src), got.dst) == (IPv6Address(OUTSIDE6), POD)
        assert got[layer].dport == one.inside_port
    echo = sent6(back(world, entry, ICMP(type=8, id=70), PUBLIC))
    assert (echo.dst, echo[ICMPv6EchoRequest].id) == (POD, 7)
    answer = sent4(out(world, entry, udp(sport=53, dport=4000)))
    assert (answer.src, answer[UDP].sport) == (PUBLIC, 5353)
    assert sorted(kinds(world)) == [(70, 1, True), (443, 1, True), (5353, 1, True)]
    wait(world, 10_000)
    assert sweep(world) == 3
    assert sorted(kinds(world)) == [(70, 0, True), (443, 0, True), (5353, 0, True)]
    sent6(back(world, entry, asked[DNS], PUBLIC))


@both
def test_who_may_come_in(world: World, entry: Entry) -> None:
    configure(world, EVERY, filter_address=True, no_syn_46=True)
    for one in (DNS, WEB):
        assert bind(world, one) == DONE
    asked = udp(sport=4000, dport=5353)
    assert reason(back(world, entry, asked, PUBLIC)) == "drop_filtered"
    sent4(out(world, entry, udp(sport=53, dport=9999)))
    sent6(back(world, entry, asked, PUBLIC))
    syn = tcp(sport=4000, dport=443, flags="S")
    assert reason(back(world, entry, syn, PUBLIC)) == "drop_filtered"
    sent4(out(world, entry, tcp(sport=8443, dport=9999, flags="S")))
    assert reason(back(world, entry, syn, PUBLIC)) == "drop_filtered"


def test_its_port_is_nobody_elses(world: World) -> None:
    """Also where it lies in a block that another client gets, and gives back."""
    first = sent4(out(world, "tc", udp(sport=2000), OTHER_NODE))
    (client,) = clients(world)
    ((low, last),) = client.blocks
    held = next(port for port in range(low, last + 1) if port != first[UDP].sport)
    one = DNS._replace(pool=IPv4Address(first.src), pool_port=held)
    assert bind(world, one) == DONE
    ports = {sent4(out(world, "tc", udp(sport=2000 + n), OTHER_NODE))[UDP].sport for n in range(63)}
    assert ports == set(range(low, last + 1)) - {held}
    assert sent4(out(world, "tc", udp(sport=3000), OTHER_NODE))[UDP].sport not in range(low, last)
    wait(world, 300 + LATE_S)
    assert sweep(world) == 64
    assert taken(world, "used4") == 1
    sent6(back(world, "tc", udp(sport=4000, dport=held), first.src))
    unbind(world, one)
    assert [taken(world, name) for name in ("used4", "ports4", "blocks4")] == [0, 0, 0]
    assert (bindings(world), clients(world), sessions(world)) == ([], [], [])


def test_sessions_in_the_way_stay(world: World) -> None:
    mine = sent4(out(world, "tc", udp(sport=53)))
    other = sent4(out(world, "tc", udp(sport=2000), OTHER_NODE))
    before = [one._replace(remaining_s=0) for one in sessions(world)]
    assert bind(world, DNS) == BindResult.BIND_INSIDE_BOUND
    port = DNS._replace(inside_port=99, pool=IPv4Address(other.src), pool_port=other[UDP].sport)
    assert bind(world, port) == BindResult.BIND_PORT_TAKEN
    assert bind(world, DNS._replace(pool=IPv4Address("192.31.197.1"))) == BindResult.BIND_NOT_POOL4
    assert [one._replace(remaining_s=0) for one in sessions(world)] == before
    assert not any(static for _, _, static in kinds(world))
    wait(world, 300 + LATE_S)
    assert sweep(world) == 2
    assert (bind(world, DNS), bind(world, port)) == (DONE, DONE)
    assert mine.src in map(str, POOL)


def test_what_sessions_have_made_becomes_static(world: World) -> None:
    """And is again what it was; the port stays in its client's block."""
    made = sent4(out(world, "tc", udp(sport=53)))
    one = DNS._replace(pool=IPv4Address(made.src), pool_port=made[UDP].sport)
    for _ in range(2):  # asking twice changes nothing
        assert bind(world, one) == DONE
    assert kinds(world) == [(made[UDP].sport, 1, True)]
    wait(world, 300 + LATE_S)
    assert sweep(world) == 1
    assert kinds(world) == [(made[UDP].sport, 0, True)]
    sent6(back(world, "tc", udp(sport=4000, dport=one.pool_port), made.src))
    unbind(world, one)
    assert (kinds(world), clients(world)) == ([], [])
    assert [taken(world, name) for name in ("used4", "ports4", "blocks4")] == [0, 0, 0]


@both
def test_its_sessions_go_with_it(world: World, entry: Entry) -> None:
    """Those of others, of the same node, too, go on."""
    for one in (DNS, WEB):
        assert bind(world, one) == DONE
    kept = sent4(out(world, entry, udp(sport=6000)))
    for port in range(3):
        sent6(back(world, entry, udp(sport=4000 + port, dport=5353), PUBLIC))
    sent6(back(world, entry, tcp(sport=4000, dport=443, flags="S"), PUBLIC))
    assert len(sessions(world)) == 5
    unbind(world, DNS)
    wait(world, 0)
    assert sorted(one.inside_port for one in sessions(world)) == [6000, 8443]
    asked = udp(sport=4000, dport=5353)
    assert reason(back(world, entry, asked, PUBLIC)) == "drop_no_binding"
    sent6(back(world, entry, udp(sport=53, dport=kept[UDP].sport), kept.src))
    other = DNS._replace(inside=IPv6Address(OTHER_NODE))
    assert bind(world, other) == DONE
    assert sent6(back(world, entry, asked, PUBLIC)).dst == OTHER_NODE
    unbind(world, WEB._replace(inside_port=1))
    assert len(kinds(world)) == 3


@pytest.mark.parametrize("place", range(4))
def test_its_client_has_the_same_address(world: World, place: int) -> None:
    one = DNS._replace(pool=POOL[place])
    assert bind(world, one) == DONE
    assert sent4(out(world, "tc", udp(sport=6000))).src == str(POOL[place])
    assert sent4(out(world, "tc", udp(sport=6000), OTHER_POD)).src == str(POOL[place])


def test_its_sessions_count_for_its_client(world: World) -> None:
    configure(world, replace(EVERY, max_sessions=2))
    assert bind(world, DNS) == DONE
    asked = [udp(sport=4000 + n, dport=5353) for n in range(3)]
    for one in asked[:2]:
        sent6(back(world, "tc", one, PUBLIC))
    assert reason(back(world, "tc", asked[2], PUBLIC)) == "drop_too_many_sessions"
    assert kinds(world) == [(5353, 2, True)]


def test_an_index_that_changes_hands_leads_to_nobody(world: World) -> None:
    """A binding of an address that has left pool4, and another address in its place."""
    assert bind(world, DNS) == DONE
    (old,) = EVERY.ranges
    new = replace(EVERY, ranges=[replace(old, first=IPv4Address("192.31.197.0"))])
    configure(world, new, pool4="192.31.197.0/30")
    asked = udp(sport=4000, dport=5353)
    assert reason(back(world, "tc", asked, "192.31.197.2")) == "drop_no_binding"


def test_what_is_read_is_what_was_put(world: World) -> None:
    for one in (DNS, WEB, ECHO):
        bind(world, one)
    sent4(out(world, "tc", udp(sport=6000)))
    assert world.datapath.static_bindings() == {DNS, WEB, ECHO}
    assert bind(world, DNS._replace(prefix=1)) == DONE
    assert world.datapath.static_bindings() == {DNS._replace(prefix=1), WEB, ECHO}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU alone")
def test_packets_meanwhile() -> None:
    """The agent puts and removes bindings of the ports that packets of its node come from, and of
    one that none comes from; nothing is lost, and nothing is left."""
    rounds = 500
    with raise_world(replace(ROOM, sessions=2048, bindings=1024)) as world:
        configure(world, replace(EVERY, blocks=8))
        send = sender(
            world, [ip6(src=POD, dst=OUTSIDE6) / udp(8, sport=53 + n % 2) for n in range(rounds)]
        )

        def change(turn: int) -> tuple[int, bytes]:
            one = DNS._replace(inside_port=53 + turn % 3, pool_port=2000 + turn)
            result = bind(world, one)
            unbind(world, one)
            return int(result), b""

        sent, bound = race(rounds, send, change)
        assert {one.verdict for one in sent} == {REDIRECT}
        assert {one.verdict for one in bound} <= {
            DONE,
            BindResult.BIND_INSIDE_BOUND,
            BindResult.BIND_PORT_TAKEN,
        }
        assert {one.verdict for one in bound[2::3]} <= {DONE, BindResult.BIND_PORT_TAKEN}
        assert DONE in {one.verdict for one in bound[2::3]}
        assert world.datapath.static_bindings() == frozenset()
        wait(world, 300 + LATE_S)
        sweep(world)
        assert [taken(world, name) for name in ("used4", "ports4", "blocks4")] == [0, 0, 0]
        assert (bindings(world), clients(world), sessions(world)) == ([], [], [])
