# SPDX-License-Identifier: Apache-2.0
"""Stateful NAT64 (RFC 6146), one packet at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw

from sixlane.datapath.layout import Lifetime, SessionProtocol, SlowMark
from sixlane.datapath.pools import PoolEntry, PoolRange, Room, Stateful
from sixlane.model import RangeList
from sixlane.nat64.known import ranges_table
from sixlane.rfc.rfc7757 import Eam
from tests import needs
from tests.index import INDICES, slots_of
from tests.packets import ip4, ip6, tcp, udp
from tests.unit.rfc.vectors import (
    EDGE,
    INSIDE4,
    INSIDE6,
    OUTSIDE4,
    OUTSIDE6,
    ROUTER4,
    ROUTER6,
    TRANSLATOR,
)
from tests.world import FAR_MAC, Entry, Seen, World, raise_world, tables_for

pytestmark = [pytest.mark.prog, needs.root]

POD, OTHER_POD, OTHER_NODE = "2001:db8:64:1::7", "2001:db8:64:1::8", "2001:db8:64:2::7"
POOL = IPv4Network("192.31.197.8/30")
ROOM = Room(sessions=4096, bindings=4096, clients=256, addresses=4, filters=4096)
PORTS = {
    SessionProtocol.SESSION_TCP: (1024, 65535),
    SessionProtocol.SESSION_UDP: (1024, 65535),
    SessionProtocol.SESSION_ICMP: (0, 65535),
}
LIFETIMES = {
    Lifetime.LIFETIME_UDP: 300,
    Lifetime.LIFETIME_ICMP: 60,
    Lifetime.LIFETIME_TCP_ESTABLISHED: 7440,
    Lifetime.LIFETIME_TCP_TRANSITORY: 240,
    Lifetime.LIFETIME_TCP_INCOMING_SYN: 6,
}
LATE_S = 3
"""A session may live two seconds too long, never too short."""
EVERY = PoolEntry(
    "default", 0, IPv6Network("::/0"), [PoolRange(POOL[0], 4, 0)], PORTS, block_ports=64, blocks=2
)
_IN_ORDER_MAC = bytes.fromhex("06360064") + SlowMark.SLOW_IN_ORDER.to_bytes(2)
both = pytest.mark.parametrize("entry", ["xdp", "tc"])


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, EVERY)
        yield raised


def configure(
    world: World,
    pool: PoolEntry,
    *,
    slow: int = 0,
    errors_per_second: int | None = None,
    udp_compute: bool = False,
    pool4: str = str(POOL),
    others: Sequence[PoolEntry] = (),
    **more: Any,
) -> None:
    """`slow`: the device that the slow path is to come back by. `errors_per_second`: of ICMP, None:
    no limit."""
    tables = tables_for(TRANSLATOR, world.wan, world.lan)
    tables = replace(tables, icmp_errors_per_second=errors_per_second, udp_compute=udp_compute)
    if slow and tables.slow:
        tables = replace(tables, slow=replace(tables.slow, ifindex=slow))
    stateful = Stateful([pool, *others], LIFETIMES, **more)
    ranges = ranges_table([], RangeList(), [], RangeList.of([IPv4Network(pool4)]))
    world.commit(replace(tables, stateful=stateful, ranges=ranges))


def wait(world: World, seconds: float) -> None:
    world.later(seconds)


def out(world: World, entry: Entry, upper: Packet, source: str = POD) -> Seen:
    return world.run(bytes(ip6(src=source, dst=OUTSIDE6) / upper), entry)


def back(world: World, entry: Entry, upper: Packet, to: str) -> Seen:
    return world.run(bytes(ip4(src=OUTSIDE4, dst=to) / upper), entry)


def sent4(seen: Seen) -> IP:
    """The IPv4 packet that was sent; its checksums are right."""
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_64": 1})
    packet = IP(seen.packet)
    assert bytes(IP(bytes(_without_sums(packet.copy())))) == bytes(packet)
    return packet


def sent6(seen: Seen) -> IPv6:
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_46": 1})
    packet = IPv6(seen.packet)
    assert bytes(IPv6(bytes(_without_sums(packet.copy())))) == bytes(packet)
    return packet


def sent66(seen: Seen) -> IPv6:
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_hairpin": 1})
    packet = IPv6(seen.packet)
    assert bytes(IPv6(bytes(_without_sums(packet.copy())))) == bytes(packet)
    return packet


def pool6(address: str) -> str:
    """The IPv6 form of an IPv4 address, as scapy writes it."""
    return str(IPv6Address(f"2001:db8:46::{address}"))


def _without_sums(packet: Packet) -> Packet:
    layer: Any = packet
    while layer:
        for name in ("chksum", "cksum"):
            if name in layer.fields:
                del layer.fields[name]
        layer.raw_packet_cache = None
        layer = layer.payload
    return packet


@pytest.mark.conformance(73, 77, 79)
@both
def test_there_and_back(world: World, entry: Entry) -> None:
    for _ in range(3):  # a session is made, found, and known to suit the tables
        sent = sent4(out(world, entry, udp(sport=5001, dport=53)))
        assert (sent.dst, sent[UDP].dport) == (OUTSIDE4, 53)
        assert IPv4Address(sent.src) in POOL
        assert sent[UDP].sport >= 1024 and sent[UDP].sport % 2 == 1
        answer = udp(sport=53, dport=sent[UDP].sport)
        seen = sent6(back(world, entry, answer, sent.src))
        assert (seen.src, seen.dst) == (str(IPv6(src=OUTSIDE6).src), POD) or seen.dst == POD
        assert (seen[UDP].sport, seen[UDP].dport) == (53, 5001)


@pytest.mark.conformance(76, 93)
@both
def test_ping(world: World, entry: Entry) -> None:
    for _ in range(2):
        sent = sent4(out(world, entry, ICMPv6EchoRequest(id=77, seq=9, data=b"hello")))
        assert sent[ICMP].type == 8
        answer = ICMP(type=0, id=sent[ICMP].id, seq=9) / b"hello"
        seen = sent6(back(world, entry, answer, sent.src))
        assert seen[ICMPv6EchoReply].id == 77


@pytest.mark.conformance(83, 84, 90)
@both
def test_tcp(world: World, entry: Entry) -> None:
    sent = sent4(out(world, entry, tcp(sport=5000, dport=80, flags="S")))
    pool, port = sent.src, sent[TCP].sport
    sent6(back(world, entry, tcp(sport=80, dport=port, flags="SA"), pool))
    for _ in range(3):
        assert (
            sent4(out(world, entry, tcp(100, sport=5000, dport=80, flags="A")))[TCP].sport == port
        )
        assert sent6(back(world, entry, tcp(100, sport=80, dport=port, flags="PA"), pool))
    wait(world, 7000)
    assert sent6(back(world, entry, tcp(100, sport=80, dport=port, flags="PA"), pool))
    sent4(out(world, entry, tcp(sport=5000, dport=80, flags="FA")))
    wait(world, 7000)
    sent6(back(world, entry, tcp(sport=80, dport=port, flags="FA"), pool))
    sent4(out(world, entry, tcp(sport=5000, dport=80, flags="A")))
    wait(world, 240 + LATE_S)
    seen = back(world, entry, tcp(sport=80, dport=port, flags="A"), pool)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_binding": 1})


@pytest.mark.conformance(94, 100)
@both
def test_errors_from_outside(world: World, entry: Entry) -> None:
    """They name the node and its port; the sums of the quote are those of what it had sent."""
    for upper in (udp(sport=5001, dport=53), tcp(8, sport=5001, dport=80, flags="S")):
        was = IPv6(bytes(ip6(src=POD, dst=OUTSIDE6) / upper))
        sent = sent4(out(world, entry, upper))
        error = ICMP(type=3, code=4, nexthopmtu=1300) / sent
        seen = world.run(bytes(ip4(src=ROUTER4, dst=sent.src) / error), entry)
        told = sent6(seen)
        assert (told.src, told.dst) == (IPv6(src=ROUTER6).src, POD)
        quoted = told[ICMPv6PacketTooBig].payload
        assert told[ICMPv6PacketTooBig].mtu == 1320
        assert bytes(quoted.payload) == bytes(was.payload)
        assert (quoted.src, quoted.dst) == (was.src, was.dst)
    sent = sent4(out(world, entry, ICMPv6EchoRequest(id=77, seq=1, data=b"ping")))
    error = ICMP(type=11, code=0) / sent
    told = sent6(world.run(bytes(ip4(src=ROUTER4, dst=sent.src) / error), entry))
    assert told[ICMPv6EchoRequest].id == 77
    stray = ip4(src=str(POOL[0]), dst=OUTSIDE4) / udp(sport=1999)
    error = ICMP(type=11, code=0) / stray
    seen = world.run(bytes(ip4(src=ROUTER4, dst=str(POOL[0])) / error), entry)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_session": 1})


@pytest.mark.conformance(94, 100)
@both
def test_errors_from_inside(world: World, entry: Entry) -> None:
    sent = sent4(out(world, entry, udp(sport=5001, dport=53)))
    answer = bytes(ip4(src=OUTSIDE4, dst=sent.src) / udp(sport=53, dport=sent[UDP].sport))
    arrived = sent6(world.run(answer, entry))
    error = ICMPv6DestUnreach(code=4) / arrived
    told = sent4(world.run(bytes(ip6(src=POD, dst=OUTSIDE6) / error), entry))
    assert (told.src, told.dst) == (sent.src, OUTSIDE4)
    assert (told[ICMP].type, told[ICMP].code) == (3, 3)
    assert bytes(told[ICMP].payload.payload) == answer[20:]


@pytest.mark.conformance(98)
@both
def test_hairpin(world: World, entry: Entry) -> None:
    """Two pods that call each other by what the internet knows them as (RFC 6146 3.8)."""
    for kind, upper in ((TCP, tcp), (UDP, udp)):
        called = sent4(out(world, entry, upper(sport=6001, dport=99)))
        caller = sent4(out(world, entry, upper(sport=5001, dport=99), OTHER_NODE))
        to, port = pool6(called.src), called[kind].sport
        for _ in range(2):
            packet = bytes(ip6(src=OTHER_NODE, dst=to) / upper(sport=5001, dport=port))
            there = sent66(world.run(packet, entry))
            assert (there.src, there.dst) == (pool6(caller.src), POD)
            assert (there[kind].sport, there[kind].dport) == (caller[kind].sport, 6001)
            answer = upper(sport=6001, dport=caller[kind].sport)
            packet = bytes(ip6(src=POD, dst=pool6(caller.src)) / answer)
            here = sent66(world.run(packet, entry))
            assert (here.src, here.dst) == (to, OTHER_NODE)
            assert (here[kind].sport, here[kind].dport) == (port, 5001)


@pytest.mark.conformance(80)
@both
def test_address_dependent_filtering(world: World, entry: Entry) -> None:
    configure(world, EVERY, filter_address=True)
    sent = sent4(out(world, entry, udp(sport=5000, dport=53)))
    other_port = sent6(back(world, entry, udp(sport=54, dport=sent[UDP].sport), sent.src))
    assert other_port.dst == POD
    packet = bytes(ip4(src=ROUTER4, dst=sent.src) / udp(sport=53, dport=sent[UDP].sport))
    seen = world.run(packet, entry)
    assert seen.reasons == {"drop_filtered": 1, "icmp_error_sent": 1}
    assert (IP(seen.packet)[ICMP].type, IP(seen.packet)[ICMP].code) == (3, 13)
    sent = sent4(out(world, entry, tcp(sport=5000)))
    for flags, why in (("A", "drop_filtered"), ("S", "drop_syn_stored")):
        segment = bytes(ip4(src=ROUTER4, dst=sent.src) / tcp(dport=sent[TCP].sport, flags=flags))
        seen = world.run(segment, entry)
        assert (seen.verdict, seen.reasons) == ("drop", {why: 1})


@pytest.mark.conformance(88)
@both
def test_tcp_is_not_opened_from_outside(world: World, entry: Entry) -> None:
    sent = sent4(out(world, entry, tcp(sport=5000, dport=80)))
    syn = tcp(sport=999, dport=sent[TCP].sport)
    assert sent6(back(world, entry, syn, sent.src))
    configure(world, EVERY, no_syn_46=True)
    syn = tcp(sport=998, dport=sent[TCP].sport)
    seen = back(world, entry, syn, sent.src)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_filtered": 1})


@pytest.mark.conformance(75, 76)
@both
def test_endpoint_independent(world: World, entry: Entry) -> None:
    """One port for a source, whoever it talks to; each source has its own."""
    first = sent4(out(world, entry, udp(sport=5000, dport=53)))
    second = sent4(out(world, entry, udp(sport=5000, dport=123)))
    assert (first.src, first[UDP].sport) == (second.src, second[UDP].sport)
    other = sent4(out(world, entry, udp(sport=5002, dport=53)))
    assert other.src == first.src and other[UDP].sport != first[UDP].sport
    neighbour = sent4(out(world, entry, udp(sport=5000, dport=53), OTHER_POD))
    assert neighbour.src == first.src, "a client has one address"
    assert neighbour[UDP].sport != first[UDP].sport
    ping = sent4(out(world, entry, ICMPv6EchoRequest(id=5000)))
    assert ping.src == first.src, "for all protocols"
    unasked = sent6(back(world, entry, udp(sport=999, dport=first[UDP].sport), first.src))
    assert (unasked.dst, unasked[UDP].dport) == (POD, 5000)


@pytest.mark.conformance(79, 89)
@both
def test_nobody_is_there(world: World, entry: Entry) -> None:
    seen = back(world, entry, udp(sport=53, dport=40000), str(POOL[0]))
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_binding": 1})
    seen = out(world, entry, tcp(sport=5000, dport=80, flags="A"))
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_session": 1})


@pytest.mark.conformance(81, 82)
@both
def test_idle_sessions_end(world: World, entry: Entry) -> None:
    sent = sent4(out(world, entry, udp(sport=5000)))
    for _ in range(2):
        wait(world, 299)
        sent6(back(world, entry, udp(sport=53, dport=sent[UDP].sport), sent.src))
    wait(world, 299)
    sent4(out(world, entry, udp(sport=5000)))
    wait(world, 300 + LATE_S)
    for port in (54, 53):  # whether there was a session to it or not
        seen = back(world, entry, udp(sport=port, dport=sent[UDP].sport), sent.src)
        assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_binding": 1})


@pytest.mark.conformance(78)
@both
def test_blocks_run_out(world: World, entry: Entry) -> None:
    """Two blocks of 64 ports for a client, half of them of each parity; then nothing is left, and
    nothing of what lives is touched."""
    ports = set()
    for n in range(128):
        sent = sent4(out(world, entry, udp(sport=2000 + n)))
        ports.add(sent[UDP].sport)
    assert len(ports) == 128 and len({port // 64 for port in ports}) == 2
    seen = out(world, entry, udp(sport=4000))
    assert seen.reasons == {"drop_no_port": 1, "icmp_error_sent": 1}
    assert sent4(out(world, entry, udp(sport=4000), OTHER_NODE))
    assert sent4(out(world, entry, udp(sport=2000)))[UDP].sport in ports
    wait(world, 300 + LATE_S)
    assert sent4(out(world, entry, udp(sport=2001)))


@pytest.mark.conformance(99)
@both
def test_limits_of_a_client(world: World, entry: Entry) -> None:
    configure(world, replace(EVERY, max_sessions=3))
    for n in range(3):
        assert sent4(out(world, entry, udp(sport=5000, dport=53 + n)))
    seen = out(world, entry, udp(sport=5000, dport=80))
    assert seen.reasons == {"drop_too_many_sessions": 1, "icmp_error_sent": 1}
    told = IPv6(seen.packet)[ICMPv6DestUnreach]
    assert told.code == 3, "RFC 6146 3.5.1.1"
    assert sent4(out(world, entry, udp(sport=5000, dport=54))), "those that are there go on"
    assert sent4(out(world, entry, udp(sport=5000), OTHER_NODE))


@pytest.mark.conformance(99)
@both
def test_a_full_table(entry: Entry) -> None:
    """What cannot be made is taken back whole: when sessions end, there is room again."""
    with raise_world(replace(ROOM, sessions=8)) as small:
        configure(small, EVERY)
        for _ in range(3):
            for n in range(8):
                assert sent4(out(small, entry, udp(sport=5000 + n)))
            for n in range(16):
                seen = out(small, entry, udp(sport=6000 + n))
                assert seen.reasons == {"drop_table_full": 1, "icmp_error_sent": 1}
            wait(small, 300 + LATE_S)
        assert _used(small, "sessions6") <= 8


@pytest.mark.conformance(97)
@both
def test_other_protocols(world: World, entry: Entry) -> None:
    seen = world.run(bytes(ip6(src=POD, dst=OUTSIDE6, nh=47) / Raw(b"gre" * 9)), entry)
    assert seen.reasons == {"drop_no_session_protocol": 1, "icmp_error_sent": 1}
    assert IPv6(seen.packet)[ICMPv6DestUnreach].code == 4
    seen = world.run(bytes(ip4(src=OUTSIDE4, dst=str(POOL[0]), proto=47) / Raw(b"gre" * 9)), entry)
    assert seen.reasons == {"drop_no_session_protocol": 1, "icmp_error_sent": 1}
    assert (IP(seen.packet)[ICMP].type, IP(seen.packet)[ICMP].code) == (3, 2)


@pytest.mark.conformance(74)
@both
def test_an_ipv4_source_does_not_come_from_inside(world: World, entry: Entry) -> None:
    """RFC 6146 3.5: else packets could go round."""
    seen = out(world, entry, udp(), pool6("192.0.2.99"))
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_from_pool6": 1})


@pytest.mark.conformance(99)
@both
def test_while_no_agent_sweeps(world: World, entry: Entry) -> None:
    """New sessions take out those that have ended: nothing is left of 200 but what is asked for."""
    for n in range(100):
        assert sent4(out(world, entry, udp(sport=2000 + n)))
    wait(world, 300 + LATE_S)
    for n in range(100):
        assert sent4(out(world, entry, udp(sport=4000 + n))), "64 ports in each of two blocks"
    assert (
        _used(world, "sessions6") == _used(world, "sessions4") == _used(world, "bindings6") == 100
    )


@both
def test_pool4_loses_an_address(world: World, entry: Entry) -> None:
    """Who had it gets another one as soon as the agent has swept."""
    before = sent4(out(world, entry, udp(sport=5000)))
    kept = sent4(out(world, entry, udp(sport=5001), OTHER_NODE))
    configure(world, replace(EVERY, ranges=[PoolRange(IPv4Address(kept.src), 1, _index(kept))]))
    if before.src != kept.src:
        world.datapath.sweep_sessions(0, ROOM.sessions)
        moved = sent4(out(world, entry, udp(sport=5000)))
        assert moved.src == kept.src
    again = sent4(out(world, entry, udp(sport=5001), OTHER_NODE))
    assert (again.src, again[UDP].sport) == (kept.src, kept[UDP].sport)


@both
def test_clients_become_larger(world: World, entry: Entry) -> None:
    """What was taken for a /64 is given back to it."""
    assert sent4(out(world, entry, udp(sport=5000)))
    configure(world, EVERY, client_bits=56)
    assert sent4(out(world, entry, udp(sport=5000)))
    wait(world, 300 + LATE_S)
    world.datapath.sweep_sessions(0, ROOM.sessions)
    for name in ("sessions6", "bindings6", "clients"):
        assert _used(world, name) == 0
    for name in ("used4", "blocks4"):
        assert not any(any(value) for _, value in world.datapath.maps()[name].items())


def _index(packet: IP) -> int:
    return int(IPv4Address(packet.src)) - int(POOL[0])


def _used(world: World, name: str) -> int:
    map = world.datapath.maps()[name]
    return len(slots_of(map)) if name in INDICES else sum(1 for _ in map.items())


@pytest.mark.conformance(95)
@both
def test_fragments_are_put_in_order_first(world: World, entry: Entry) -> None:
    """The kernel behind the slow path does, and takes the hop that they are lent."""
    first, second = fragments6(udp(1600, sport=5000))
    for packet in (first, second):
        seen = world.run(packet, entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_slow_path": 1})
        assert seen.frame[:12] == FAR_MAC + _IN_ORDER_MAC
        assert IPv6(seen.packet).hlim == IPv6(packet).hlim + 1


@pytest.mark.conformance(95)
def test_fragments_in_order(world: World) -> None:
    """As they come back: the first one tells of the session, the others follow it."""
    first, second = fragments6(udp(1600, sport=5000))
    assert not world.run(second, "tc").reasons.get("forward_64")
    configure(world, EVERY, slow=world.lan.ifindex)
    assert world.run(second, "tc").reasons == {"drop_no_session": 1}
    sent = IP(world.run(first, "tc").packet)
    rest = IP(world.run(second, "tc").packet)
    assert (rest.src, rest.dst, rest.id, rest.proto) == (sent.src, sent.dst, sent.id, 17)
    whole = bytes(sent.payload) + bytes(rest.payload)
    assert (sent.flags.MF, rest.flags.MF, rest.frag * 8) == (True, False, len(sent.payload))
    header = IP(src=sent.src, dst=sent.dst, proto=17) / whole
    assert bytes(_without_sums(IP(bytes(header))))[20:] == whole, "the sum is that of all of it"
    configure(world, EVERY, slow=world.wan.ifindex)
    answer = ip4(src=OUTSIDE4, dst=sent.src, flags=0) / udp(1600, sport=53, dport=sent[UDP].sport)
    pieces = [bytes(one) for one in fragment(answer, 800)]
    got = [IPv6(world.run(piece, "tc").packet) for piece in pieces]
    assert {(one.src, one.dst) for one in got} == {(pool6(OUTSIDE4), POD)}
    assert got[0][UDP].dport == 5000 and len(got) == 3
    wait(world, 3)
    assert world.run(pieces[1], "tc").reasons == {"drop_no_session": 1}


@pytest.mark.conformance(73)
@both
def test_other_ports_are_the_hosts(world: World, entry: Entry) -> None:
    """Whatever is wrong with the packet: it is not ours to say."""
    to = str(POOL[0])
    for upper in (tcp(dport=179), udp(dport=53), udp(dport=53, chksum=0)):
        for ttl in (1, 61):
            seen = world.run(bytes(ip4(src=OUTSIDE4, dst=to, ttl=ttl) / upper), entry)
            assert (seen.verdict, seen.reasons) == ("pass", {"pass_not_ours": 1})
    seen = world.run(bytes(ip4(src=OUTSIDE4, dst=to) / udp(dport=1024)), entry)
    assert seen.reasons == {"drop_no_binding": 1}


@pytest.mark.conformance(73)
def test_a_port_that_was_given_stays_ours(world: World) -> None:
    """Until its binding ends: who got it is still called there."""
    sent = sent4(out(world, "tc", udp(sport=5000)))
    configure(world, replace(EVERY, ports={protocol: (60000, 60063) for protocol in PORTS}))
    port = sent[UDP].sport
    assert not 60000 <= port <= 60063
    answer = udp(sport=53, dport=port)
    assert sent6(back(world, "tc", answer, sent.src))[UDP].dport == 5000
    wait(world, 300 + LATE_S)
    world.datapath.sweep_sessions(0, ROOM.sessions)
    assert back(world, "tc", answer, sent.src).reasons == {"pass_not_ours": 1}


@pytest.mark.conformance(73)
def test_fragments_to_other_ports(world: World) -> None:
    """They are put in order, as only the first one tells whose they are."""
    packet = ip4(src=OUTSIDE4, dst=str(POOL[0]), flags=0) / udp(1600, sport=53, dport=53)
    pieces = [bytes(piece) for piece in fragment(packet, 800)]
    for piece in pieces:
        assert world.run(piece, "tc").reasons == {"forward_slow_path": 1}
    configure(world, EVERY, slow=world.wan.ifindex)
    for piece in pieces:  # there is a route to somewhere else
        assert world.run(piece, "tc").reasons == {"forward_native": 1}


@pytest.mark.conformance(96)
def test_fragments_without_a_checksum(world: World) -> None:
    """They are dropped in silence. What is whole is answered; neither makes a session."""
    bound = sent4(out(world, "tc", udp(sport=5000)))
    stranger = udp(1600, sport=54, dport=bound[UDP].sport, chksum=0)
    packet = ip4(src=OUTSIDE4, dst=bound.src, flags=0) / stranger
    seen = world.run(bytes(packet), "tc")
    assert seen.reasons == {"drop_udp_zero_checksum": 1, "icmp_error_sent": 1}
    configure(world, EVERY, slow=world.wan.ifindex)
    pieces = [world.run(bytes(piece), "tc") for piece in fragment(packet, 800)]
    assert [seen.reasons for seen in pieces] == [
        {"drop_udp_zero_checksum": 1},
        {"drop_no_session": 1},
        {"drop_no_session": 1},
    ]
    assert {seen.verdict for seen in pieces} == {"drop"}
    assert _used(world, "sessions4") == 1


@both
def test_a_checksum_is_computed_where_it_is_asked_for(world: World, entry: Entry) -> None:
    configure(world, EVERY, udp_compute=True)
    bound = sent4(out(world, entry, udp(sport=5000)))
    for source_port in (53, 54):  # a session that is there, and a new one
        answer = udp(33, sport=source_port, dport=bound[UDP].sport, chksum=0)
        seen = back(world, entry, answer, bound.src)
        assert sent6(seen)[UDP].dport == 5000, "and sent6() has looked at the checksum"
    nobody = bytes(ip4(src=OUTSIDE4, dst=bound.src) / udp(sport=53, dport=1, chksum=0))
    assert world.run(nobody, entry).verdict in ("drop", "pass")
    last = ip4(src=OUTSIDE4, dst=bound.src, ttl=1) / udp(dport=bound[UDP].sport, chksum=0)
    seen = world.run(bytes(last), entry)
    assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
    assert bytes(IP(seen.packet)[ICMP].payload)[26:28] == b"\0\0", "quoted as it came"


def fragments6(upper: Packet) -> list[bytes]:
    packet = IPv6(bytes(ip6(src=POD, dst=OUTSIDE6) / upper))
    head = IPv6(src=POD, dst=OUTSIDE6, hlim=61, tc=0x2E, fl=0x54321)
    data = bytes(packet.payload)
    return [
        bytes(head / IPv6ExtHdrFragment(nh=17, offset=start // 8, m=more, id=77) / data[start:end])
        for start, end, more in ((0, 1200, 1), (1200, len(data), 0))
    ]


@both
@pytest.mark.parametrize(
    "upper", [udp(), tcp(flags="S"), tcp(flags="A")], ids=["udp", "tcp-syn", "tcp-ack"]
)
def test_an_ipv4_address_of_ones_own_needs_no_session(
    world: World, entry: Entry, upper: Packet
) -> None:
    """Beside pool4: a source under the prefix, and one with a mapping."""
    mapped = Eam(IPv4Network("198.51.101.5/32"), IPv6Network(f"{OTHER_POD}/128"))
    pool4 = [{"name": "all", "ipv4": [str(POOL)], "clients": "::/0"}]
    for eam in ((), (mapped,)):
        translator = replace(TRANSLATOR, prefixes=(replace(EDGE, eam=eam),))
        tables = tables_for(translator, world.wan, world.lan, pool4=pool4)
        world.commit(replace(tables, stateful=Stateful([EVERY], LIFETIMES)))
        assert sent4(out(world, entry, upper, INSIDE6)).src == INSIDE4
    assert sent4(out(world, entry, upper, OTHER_POD)).src == "198.51.101.5"
    assert not slots_of(world.datapath.maps()["sessions6"])
    if upper.haslayer(UDP) or upper[TCP].flags == "S":
        assert IPv4Address(sent4(out(world, entry, upper)).src) in POOL
        assert len(slots_of(world.datapath.maps()["sessions6"])) == 1


@both
@pytest.mark.parametrize("upper", [udp(), tcp(flags="S"), tcp(flags="A")])
def test_a_node_inside_that_has_an_ipv4_address_is_not_outside(
    world: World, entry: Entry, upper: Packet
) -> None:
    """Under a prefix that it is not called by from inside."""
    other = replace(EDGE, name="other", network=IPv6Network("2001:db8:47::/96"), ipv4=())
    translator = replace(TRANSLATOR, prefixes=(EDGE, other))
    pool4 = [{"name": "all", "ipv4": [str(POOL)], "clients": "::/0"}]
    tables = tables_for(translator, world.wan, world.lan, pool4=pool4)
    world.commit(replace(tables, stateful=Stateful([EVERY], LIFETIMES)))
    seen = world.run(bytes(ip6(src=POD, dst=f"2001:db8:47::{INSIDE4}") / upper), entry)
    assert seen.reasons.keys() == {"drop_source_not_mappable", "icmp_error_sent"}
    assert not slots_of(world.datapath.maps()["sessions6"])
