# SPDX-License-Identifier: Apache-2.0
"""Where the data path once did not do what the stateful reference does, a test for each."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from sixlane.rfc import rfc6052
from sixlane.rfc.rfc6146 import (
    Endpoint4,
    Endpoint6,
    Flags,
    Forward,
    Icmp4Error,
    Icmp6Error,
    Outcome,
    Packet4,
    Packet6,
    Protocol,
)
from tests import needs
from tests.diff.gateways import ROOM, TWO, WELL_KNOWN, Gateway, Pool, Ports
from tests.diff.twin import Twin
from tests.unit.rfc.vectors import EDGE, TRANSLATOR
from tests.world import World, raise_world

pytestmark = [pytest.mark.diff, needs.root]

TCP, UDP, ICMP = Protocol.TCP, Protocol.UDP, Protocol.ICMP
NODE = Endpoint6(IPv6Address("2001:db8:64:1::7"), 5001)
OTHER = Endpoint6(IPv6Address("2001:db8:64:2::7"), 5003)
SERVER = Endpoint4(IPv4Address("193.0.14.129"), 53)
STRANGER = Endpoint4(IPv4Address("193.0.15.1"), 53)
SYN, ACK, RST, NO = Flags(syn=True), Flags(ack=True), Flags(rst=True), Flags()
PLAIN = Gateway("plain")
FILTERING = Gateway("filtering", address_dependent_filtering=True)
BOTH_PREFIXES = Gateway("both", translator=replace(TRANSLATOR, prefixes=(EDGE, WELL_KNOWN)))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        yield raised


def twin_of(world: World, gateway: Gateway) -> Twin:
    """The tables are empty."""
    gateway.configure(world)
    twin = Twin(world, gateway)
    twin.wait(20_000, sweep=False)
    twin.take_out()
    return twin


def from_inside(
    protocol: Protocol,
    source: Endpoint6 = NODE,
    to: Endpoint4 = SERVER,
    flags: Flags = NO,
    pref64: IPv6Network = EDGE.network,
) -> Packet6:
    port = source.port if protocol is ICMP else to.port
    return Packet6(protocol, source, Endpoint6(rfc6052.embed(pref64, to.address), port), flags)


def pool_end(outcome: Outcome | None) -> Endpoint4:
    """What the source of a packet from inside became."""
    assert isinstance(outcome, Forward) and isinstance(outcome.packet, Packet4)
    return outcome.packet.source


WRONG = "the data path does not, as the docstring says"
finding = pytest.mark.xfail(strict=True, raises=AssertionError, reason=WRONG)


@pytest.mark.conformance(98)
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_an_error_about_a_hairpin_comes_back_inside(world: World, protocol: Protocol) -> None:
    """CONFORMANCE 98 (M), RFC 6146 3.8: it was sent as IPv4, to our own address of pool4."""
    twin = twin_of(world, PLAIN)
    flags = SYN if protocol is TCP else NO
    callee = pool_end(twin.send(from_inside(protocol, OTHER, flags=flags)))
    caller = pool_end(twin.send(from_inside(protocol, NODE, flags=flags)))
    twin.send(from_inside(protocol, NODE, callee, flags))
    refuses(twin, protocol, caller, flags)


@pytest.mark.conformance(98)
def test_an_error_about_a_query_of_a_hairpin_comes_back_inside(world: World) -> None:
    """It has one identifier, the caller's."""
    twin = twin_of(
        world,
        replace(PLAIN, pools=(replace(TWO, ports=Ports((1080, 1095), (1080, 1095), (7, 7))),)),
    )
    callee = pool_end(twin.send(from_inside(ICMP, OTHER)))
    caller = pool_end(twin.send(from_inside(ICMP, NODE)))
    twin.send(from_inside(ICMP, NODE, callee))
    refuses(twin, ICMP, caller._replace(port=OTHER.port))


def refuses(twin: Twin, protocol: Protocol, caller: Endpoint4, flags: Flags = NO) -> None:
    """OTHER, what it has just got, and the caller is told."""
    source = Endpoint6(rfc6052.embed(EDGE.network, caller.address), caller.port)
    outcome = twin.send(
        Icmp6Error(OTHER.address, source.address, Packet6(protocol, source, OTHER, flags))
    )
    assert isinstance(outcome, Forward) and isinstance(outcome.packet, Icmp6Error)
    assert outcome.packet.destination == NODE.address


def test_a_filtered_syn_waits(world: World) -> None:
    """CONFORMANCE 87, RFC 6146 3.5.2.2: under address-dependent filtering it is not translated,
    even if its source is known: it opens a connection to another port of it."""
    twin = twin_of(world, FILTERING)
    end = pool_end(twin.send(from_inside(TCP, flags=SYN)))
    twin.send(Packet4(TCP, SERVER._replace(port=80), end, SYN))


def test_segments_of_strangers_are_filtered(world: World) -> None:
    """CONFORMANCE 80, 89: not only SYNs, and those that belong to no session, too."""
    twin = twin_of(world, FILTERING)
    end = pool_end(twin.send(from_inside(TCP, flags=SYN)))
    twin.send(Packet4(TCP, STRANGER, end, ACK))


def test_a_query_of_a_hairpin_has_the_nodes_identifier(world: World) -> None:
    """CONFORMANCE 98: it comes with the identifier of pool4."""
    twin = twin_of(
        world,
        replace(PLAIN, pools=(replace(TWO, ports=Ports((1080, 1095), (1080, 1095), (7, 7))),)),
    )
    callee = pool_end(twin.send(from_inside(ICMP, OTHER)))
    twin.send(from_inside(ICMP, NODE))
    twin.send(from_inside(ICMP, NODE, callee))


def test_a_hairpin_comes_from_the_prefix_of_its_session(world: World) -> None:
    """CONFORMANCE 98: it comes from the prefix that the caller used, by which the called one has no
    session: its answer is refused as a conflict."""
    twin = twin_of(world, BOTH_PREFIXES)
    callee = pool_end(twin.send(from_inside(UDP, OTHER)))
    twin.send(from_inside(UDP, NODE, callee, pref64=WELL_KNOWN.network))


def test_what_is_not_global_does_not_come_in_by_the_well_known_prefix(world: World) -> None:
    """CONFORMANCE 67 (M), RFC 6052 3.1."""
    twin = twin_of(world, BOTH_PREFIXES)
    end = pool_end(twin.send(from_inside(UDP, pref64=WELL_KNOWN.network)))
    twin.send(Packet4(UDP, Endpoint4(IPv4Address("192.0.2.33"), 53), end))


def test_a_syn_of_a_hairpin_is_dropped_silently(world: World) -> None:
    """CONFORMANCE 88 (M): the caller is told by an ICMP error."""
    twin = twin_of(world, Gateway("no SYNs", drop_external_syns=True))
    callee = pool_end(twin.send(from_inside(TCP, OTHER, flags=SYN)))
    twin.send(from_inside(TCP, NODE, callee, SYN))


@pytest.mark.conformance(74)
def test_a_source_in_the_well_known_prefix_is_told_nothing(world: World) -> None:
    """CONFORMANCE 74 (M): an ICMP error was sent to an address of pool6."""
    twin = twin_of(world, BOTH_PREFIXES)
    inside = Endpoint6(rfc6052.embed(WELL_KNOWN.network, IPv4Address("192.0.2.33")), 5001)
    twin.send(from_inside(UDP, inside))


@pytest.mark.conformance(77)
def test_ports_keep_their_class_within_blocks(world: World) -> None:
    """CONFORMANCE 77 (S): of a client's blocks the first was taken, whichever class it is of."""
    pool = Pool({IPv4Network("192.31.197.8/32"): 0}, Ports((960, 1087), (960, 1087), (0, 127)))
    twin = twin_of(world, replace(PLAIN, pools=(pool,)))
    for number in range(64):  # the block of the other ports, to the last one
        twin.send(from_inside(UDP, NODE._replace(port=5000 + number)))
    twin.send(from_inside(UDP, NODE._replace(port=1000)))  # that of the well-known ones
    twin.send(from_inside(TCP, NODE._replace(port=1000), flags=SYN))


def test_a_segment_behind_a_reset_is_seen(world: World) -> None:
    """CONFORMANCE 91: what was remembered of the flow let it pass beside its session, which stayed
    in TRANS and ended four minutes later."""
    twin = twin_of(world, PLAIN)
    end = pool_end(twin.send(from_inside(TCP, flags=SYN)))
    twin.send(Packet4(TCP, SERVER, end, Flags(syn=True, ack=True)))
    for _ in range(4):
        twin.send(from_inside(TCP, flags=ACK))
    twin.send(Packet4(TCP, SERVER, end, RST))
    twin.send(from_inside(TCP, flags=ACK))
    twin.check_tables()


def test_a_binding_ends_with_its_last_session(world: World) -> None:
    """CONFORMANCE 82 (M): until somebody sweeps, others come in by it, and give it life again."""
    twin = twin_of(world, PLAIN)
    end = pool_end(twin.send(from_inside(UDP)))
    twin.wait(400, sweep=False)
    twin.send(Packet4(UDP, STRANGER, end))


@pytest.mark.conformance(67)
def test_what_is_not_global_makes_no_session(world: World) -> None:
    """It was dropped, but only after it had made one."""
    twin = twin_of(world, BOTH_PREFIXES)
    end = pool_end(twin.send(from_inside(UDP, pref64=WELL_KNOWN.network)))
    twin.send(Packet4(UDP, Endpoint4(IPv4Address("192.0.2.33"), 53), end))
    twin.check_tables()


def test_a_binding_ends_with_a_connection_that_was_reset(world: World) -> None:
    """CONFORMANCE 82 (M): until somebody swept, it stayed for as long as the connection would have
    lived had it not been reset."""
    twin = twin_of(world, PLAIN)
    end = pool_end(twin.send(from_inside(TCP, flags=SYN)))
    twin.send(Packet4(TCP, SERVER, end, Flags(syn=True, ack=True)))
    twin.send(Packet4(TCP, SERVER, end, RST))
    twin.wait(400, sweep=False)
    twin.send(Packet4(TCP, STRANGER, end, ACK))


def test_ended_sessions_are_in_nobodys_way(world: World) -> None:
    """ "Deadlines are obeyed at look-up": but one of another prefix kept the tuple."""
    twin = twin_of(world, BOTH_PREFIXES)
    twin.send(from_inside(UDP))
    twin.wait(200, sweep=False)
    twin.send(from_inside(UDP, to=STRANGER))  # the binding lives
    twin.wait(150, sweep=False)
    twin.send(from_inside(UDP, pref64=WELL_KNOWN.network))


def test_ended_sessions_are_not_counted(world: World) -> None:
    """ "Deadlines are obeyed at look-up": but the limit of a client counted what had ended."""
    twin = twin_of(world, Gateway("few sessions", max_sessions=6))
    for number in range(6):
        twin.send(from_inside(UDP, to=SERVER._replace(port=100 + number)))
    twin.wait(400, sweep=False)
    twin.send(from_inside(UDP, to=SERVER._replace(port=200)))


@pytest.mark.conformance(73)
def test_ports_outside_of_pool4_are_not_ours(world: World) -> None:
    """CONFORMANCE 73 (M): an address may be there for some ports alone. All were dropped."""
    twin = twin_of(world, PLAIN)
    host, other = Endpoint4(IPv4Address("192.31.197.8"), 22), SERVER._replace(port=22)
    for protocol in Protocol:
        flags = SYN if protocol is TCP else NO
        twin.send(Packet4(protocol, other, host, flags))
        twin.send(Icmp4Error(SERVER.address, host.address, Packet4(protocol, host, other, flags)))
    for port in (1079, 1080, 1095, 1096):  # about the first and the last one that clients get
        twin.send(Packet4(UDP, SERVER, host._replace(port=port)))
    assert twin.send(from_inside(TCP, to=host, flags=SYN)), "not a hairpin"
    twin.send(Packet4(TCP, host, twin.state().bindings[0].ipv4, Flags(syn=True, ack=True)))


def test_an_error_goes_to_whom_it_quotes(world: World) -> None:
    """RFC 6146 3.4: the quoted packet tells whom an error is for. One about a packet of somebody
    else, to any address that a node likes, is sent on."""
    twin = twin_of(world, PLAIN)
    end = pool_end(twin.send(from_inside(UDP)))
    assert end
    about = Packet6(UDP, from_inside(UDP).destination, NODE)
    elsewhere = rfc6052.embed(EDGE.network, STRANGER.address)
    twin.send(Icmp6Error(NODE.address, elsewhere, about))
