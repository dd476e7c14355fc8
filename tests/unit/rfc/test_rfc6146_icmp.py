# SPDX-License-Identifier: Apache-2.0
"""ICMP, other protocols and hairpins: RFC 6146 sections 3.4, 3.5.3, 3.6 and 3.8."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from sixlane.rfc import rfc6052
from sixlane.rfc.rfc6146 import (
    Drop,
    DropReason,
    Icmp4Error,
    Icmp6Error,
    Lifetimes,
    NotOurs,
    Other4,
    Other6,
    OwnError,
    Packet4,
    Packet6,
    Protocol,
    StaticEntry,
    Stored,
)
from tests.unit.rfc.stateful import (
    BOUND,
    FILTERING,
    NODE,
    OTHER,
    OTHER_PREF64,
    PREF64,
    SERVER,
    STRANGER,
    Replay,
    embedded,
    end4,
    end6,
    inside,
    ping4,
    ping6,
    pool4,
    tcp4,
    tcp6,
    udp4,
    udp6,
)

NODE_ADDRESS = end6(NODE).address
POOL_ADDRESS = end4(BOUND).address
SERVER_ADDRESS = end4(SERVER).address
ROUTER4 = IPv4Address("203.0.113.254")
ROUTER6 = IPv6Address("2001:db8:1::1")


def embed(address: IPv4Address) -> IPv6Address:
    return rfc6052.embed(PREF64, address)


def back6(packet: Packet6) -> Packet6:
    """As it comes to the other end, which quotes it."""
    return Packet6(packet.protocol, packet.destination, packet.source, packet.flags)


# Queries


@pytest.mark.conformance(93)
def test_queries_have_sessions_by_their_identifier() -> None:
    replay = Replay()
    assert replay.forwards(ping6()) == ping4_out("192.0.2.1:40001")
    assert replay.forwards(ping4()) == inside(ping4())
    assert replay.bound == {("ICMP", NODE, BOUND)}
    assert (replay.session.destination4.port, replay.session.destination6.port) == (0, 0)
    other_identifier = ping6(source="[2001:db8:1::7]:40009")
    assert replay.source(other_identifier) == "192.0.2.1:40009"
    assert len(replay.sessions) == 2


def ping4_out(source: str, to: str = SERVER) -> Packet4:
    node = end4(source)
    return Packet4(Protocol.ICMP, node, end4(to)._replace(port=node.port))


@pytest.mark.conformance(93)
def test_queries_live_for_a_minute_and_are_extended() -> None:
    replay = Replay()
    replay.forwards(ping6())
    replay.forwards(ping4(), after=59)
    assert replay.life == (None, 60)
    replay.wait(60)
    assert replay.sessions == ()
    assert Lifetimes(icmp=90).icmp == 90
    with pytest.raises(ValueError, match="icmp is less than 60 seconds"):
        Lifetimes(icmp=59)


@pytest.mark.conformance(93)
@pytest.mark.parametrize(("answers", "error"), [(False, None), (True, (3, 1))])
def test_queries_need_a_binding(answers: bool, error: tuple[int, int] | None) -> None:
    assert Replay(answer_strangers=answers).drops(ping4()) == (DropReason.NO_BINDING, error)


@pytest.mark.conformance(80, 93)
def test_queries_have_to_pass_the_filter() -> None:
    replay = Replay(FILTERING)
    replay.forwards(ping6())
    assert replay.drops(ping4(source=OTHER)) == (DropReason.FILTERED, None)
    unfiltered = Replay()
    unfiltered.forwards(ping6())
    unfiltered.forwards(ping4(source=OTHER))
    assert len(unfiltered.sessions) == 2


# Other protocols


@pytest.mark.conformance(97)
def test_other_protocols() -> None:
    replay = Replay()
    from6 = Other6(NODE_ADDRESS, embed(SERVER_ADDRESS))
    from4 = Other4(SERVER_ADDRESS, POOL_ADDRESS)
    assert replay.receive(from6, 1) == Drop(DropReason.PROTOCOL, OwnError(1, 4, from6))
    assert replay.receive(from4, 1) == Drop(DropReason.PROTOCOL, OwnError(3, 2, from4))


@pytest.mark.conformance(73, 74)
def test_other_protocols_that_are_not_ours() -> None:
    replay = Replay()
    assert replay.receive(Other6(NODE_ADDRESS, ROUTER6)) == NotOurs()
    assert replay.receive(Other4(SERVER_ADDRESS, ROUTER4)) == NotOurs()
    spoofed = Other6(embed(ROUTER4), embed(SERVER_ADDRESS))
    assert replay.drops(spoofed) == (DropReason.SOURCE_IN_PREF64, None)


@pytest.mark.conformance(67)
def test_other_protocols_to_what_is_not_global() -> None:
    """Where a packet cannot go comes before what it is, as for any other."""
    replay = Replay(pool6=(rfc6052.WELL_KNOWN,))
    private = rfc6052.embed(rfc6052.WELL_KNOWN, IPv4Address("10.0.0.1"))
    assert replay.drops(Other6(NODE_ADDRESS, private)) == (DropReason.NOT_GLOBAL, (1, 1))
    public = rfc6052.embed(rfc6052.WELL_KNOWN, IPv4Address("193.0.14.129"))
    assert replay.drops(Other6(NODE_ADDRESS, public)) == (DropReason.PROTOCOL, (1, 4))


# ICMP errors


@pytest.mark.conformance(94, 100)
@pytest.mark.parametrize("sender", [ROUTER4, SERVER_ADDRESS])
@pytest.mark.parametrize("packet", [udp6(), tcp6("S"), ping6()])
def test_errors_from_outside(packet: Packet6, sender: IPv4Address) -> None:
    """About what the node sent; the sender keeps its own address."""
    replay = Replay(pool4=(pool4("192.0.2.9/32"),))
    sent = replay.forwards(packet)
    before = replay.sessions
    error = Icmp4Error(sender, IPv4Address("192.0.2.9"), sent)
    assert replay.forwards(error, after=50) == Icmp6Error(embed(sender), NODE_ADDRESS, packet)
    assert replay.sessions == before


@pytest.mark.conformance(94, 100)
@pytest.mark.parametrize("sender", [ROUTER6, NODE_ADDRESS])
@pytest.mark.parametrize("packet", [udp6(), tcp6("S"), ping6()])
def test_errors_from_inside(packet: Packet6, sender: IPv6Address) -> None:
    """About what came for the node. They leave from its address of pool4, whoever sends them."""
    replay = Replay()
    sent = replay.forwards(packet)
    answer = Packet4(sent.protocol, sent.destination, sent.source, sent.flags)
    came = replay.forwards(answer)
    assert came == back6(packet)
    before = replay.sessions
    error = Icmp6Error(sender, came.source.address, came)
    expected = Icmp4Error(POOL_ADDRESS, SERVER_ADDRESS, answer)
    assert replay.forwards(error, after=50) == expected
    assert replay.sessions == before


@pytest.mark.conformance(94)
def test_errors_without_session_are_dropped_in_silence() -> None:
    replay = Replay()
    silent = (DropReason.ICMP_NO_SESSION, None)
    sent = replay.forwards(udp6())
    elsewhere = udp4(BOUND, OTHER)
    other_protocol = replace(sent, protocol=Protocol.TCP)
    for quoted in (None, elsewhere, other_protocol, udp4("192.0.2.1:40009", SERVER)):
        assert replay.drops(Icmp4Error(ROUTER4, POOL_ADDRESS, quoted)) == silent
    for quoted6 in (None, back6(udp6(to=OTHER)), back6(tcp6("", to=SERVER))):
        assert replay.drops(Icmp6Error(ROUTER6, embed(SERVER_ADDRESS), quoted6)) == silent
    replay.wait(300)
    assert replay.drops(Icmp4Error(ROUTER4, POOL_ADDRESS, sent)) == silent


def test_errors_go_to_the_source_of_what_they_quote() -> None:
    replay = Replay(pool4=(pool4("192.0.2.0/31"),))
    sent = replay.forwards(udp6())
    assert sent.source.address == IPv4Address("192.0.2.0")
    elsewhere = Icmp4Error(ROUTER4, IPv4Address("192.0.2.1"), sent)
    assert replay.drops(elsewhere) == (DropReason.ICMP_NO_SESSION, None)
    for to, quoted in ((ROUTER4, SERVER), (SERVER_ADDRESS, "203.0.113.5:80")):
        inward = Icmp6Error(ROUTER6, embed(to), back6(udp6(to=quoted)))
        assert replay.drops(inward) == (DropReason.ICMP_NO_SESSION, None)


@pytest.mark.conformance(73, 74)
def test_errors_that_are_not_ours() -> None:
    """The host's own, too, whose ports pool4 leaves alone."""
    replay = Replay()
    assert replay.receive(Icmp4Error(ROUTER4, SERVER_ADDRESS, None)) == NotOurs()
    assert replay.receive(Icmp6Error(ROUTER6, NODE_ADDRESS, None)) == NotOurs()
    of_host = udp4("192.0.2.1:123", SERVER)
    assert replay.receive(Icmp4Error(ROUTER4, POOL_ADDRESS, of_host)) == NotOurs()
    spoofed = Icmp6Error(embed(ROUTER4), embed(SERVER_ADDRESS), back6(udp6()))
    assert replay.drops(spoofed) == (DropReason.SOURCE_IN_PREF64, None)


def test_errors_come_by_the_prefix_of_the_session() -> None:
    replay = Replay(pool6=(PREF64, OTHER_PREF64))
    packet = udp6(pref64=OTHER_PREF64)
    error = Icmp4Error(ROUTER4, POOL_ADDRESS, replay.forwards(packet))
    source = rfc6052.embed(OTHER_PREF64, ROUTER4)
    assert replay.forwards(error) == Icmp6Error(source, NODE_ADDRESS, packet)
    by_other = udp6(pref64=PREF64)
    back = Icmp6Error(NODE_ADDRESS, embed(SERVER_ADDRESS), back6(by_other))
    assert replay.drops(back) == (DropReason.ICMP_NO_SESSION, None)


@pytest.mark.conformance(67)
def test_errors_of_private_routers_do_not_come_by_the_well_known_prefix() -> None:
    well_known = IPv6Network("64:ff9b::/96")
    replay = Replay(pool6=(well_known,), pool4=(pool4("9.9.9.9/32"),))
    sent = replay.forwards(udp6(to="8.8.8.8:53", pref64=well_known))
    error = Icmp4Error(IPv4Address("10.0.0.1"), sent.source.address, sent)
    assert replay.drops(error) == (DropReason.NOT_GLOBAL, None)


# Hairpins: NODE, at BOUND, and a node that OTHERS_BOUND stands for, statically

CALLED = "[2001:db8:5::80]:8080"
CALLED4 = "192.0.2.1:1080"
PROTOCOLS = (Protocol.TCP, Protocol.UDP)
STATIC = tuple(StaticEntry(one, end6(CALLED), end4(CALLED4)) for one in PROTOCOLS)
CALLED_ADDRESS = end6(CALLED).address


@pytest.mark.conformance(98)
def test_a_hairpin_of_udp() -> None:
    """Each node sees the other by Pref64 and pool4; both have a session."""
    replay = Replay(static=STATIC)
    there = Packet6(Protocol.UDP, embedded(BOUND), end6(CALLED))
    assert replay.forwards(udp6(to=CALLED4)) == there
    back = Packet6(Protocol.UDP, embedded(CALLED4), end6(NODE))
    assert replay.forwards(back6(there)) == back
    tuples = {(str(one.source4), str(one.destination4)) for one in replay.sessions}
    assert tuples == {(BOUND, CALLED4), (CALLED4, BOUND)}


@pytest.mark.conformance(98)
def test_a_hairpin_of_tcp() -> None:
    replay = Replay(static=STATIC)
    there = replay.forwards(tcp6("S", to=CALLED4))
    assert [one.state for one in replay.sessions] == ["V6 INIT", "V4 INIT"]
    replay.forwards(replace(back6(there), flags=tcp6("SA").flags))
    assert [one.state for one in replay.sessions] == ["ESTABLISHED", "ESTABLISHED"]
    replay.forwards(tcp6("R", to=CALLED4))
    assert [one.state for one in replay.sessions] == ["TRANS", "TRANS"]


@pytest.mark.conformance(98)
def test_a_hairpin_of_queries() -> None:
    """The identifier that a query leaves with has to be the called node's, too."""
    replay = Replay(pool4=(pool4("192.0.2.0/31"),))
    called = "[2001:db8:2::7]:5"
    chosen = end4("192.0.2.1:40001")
    replay.receive(ping6(called), choose=lambda _: chosen)
    there = replay.forwards(ping6(NODE, "192.0.2.1:0"))
    assert there == Packet6(Protocol.ICMP, embedded("192.0.2.0:5"), end6(called))
    assert replay.forwards(back6(there)) == Packet6(
        Protocol.ICMP, embedded("192.0.2.1:40001"), end6(NODE)
    )
    replay.forwards(ping6("[2001:db8:1::7]:6"))
    reason, _ = replay.drops(ping6("[2001:db8:1::7]:6", "192.0.2.1:0"))
    assert reason is DropReason.NO_BINDING


@pytest.mark.conformance(98)
def test_a_node_calls_itself() -> None:
    replay = Replay()
    assert replay.source(udp6()) == BOUND
    itself = Packet6(Protocol.UDP, embedded(BOUND), end6(NODE))
    assert replay.forwards(udp6(to=BOUND)) == itself


@pytest.mark.conformance(80, 98)
def test_a_hairpin_has_to_pass_the_filter() -> None:
    """Until the called node has called back."""
    replay = Replay(FILTERING, static=STATIC, answer_strangers=True)
    assert replay.drops(udp6(to=CALLED4)) == (DropReason.FILTERED, (1, 1))
    replay.forwards(udp6(CALLED, BOUND))
    replay.forwards(udp6(to=CALLED4))


@pytest.mark.conformance(79, 98)
def test_a_hairpin_to_nobody() -> None:
    """The caller has its session, and hears what an IPv4 node would: 3/3, which is 1/4."""
    replay = Replay(answer_strangers=True)
    nobody = "192.0.2.1:50000"
    assert replay.drops(udp6(to=nobody)) == (DropReason.NO_BINDING, (1, 4))
    assert len(replay.sessions) == 1


@pytest.mark.conformance(86, 98)
def test_a_hairpin_of_tcp_to_nobody_is_stored() -> None:
    replay = Replay()
    call = tcp6("S", to="192.0.2.1:50000")
    assert replay.receive(call) == Stored()
    (sent,) = replay.wait(6)
    assert (sent.at, sent.what) == (6, OwnError(1, 4, call))


@pytest.mark.conformance(86, 98)
def test_two_nodes_open_simultaneously() -> None:
    replay = Replay()
    theirs = "192.0.2.1:50000"
    assert replay.receive(tcp6("S", NODE, theirs)) == Stored()
    there = replay.forwards(tcp6("S", STRANGER, BOUND), after=1)
    assert (there.source, there.destination) == (embedded(theirs), end6(NODE))
    assert [one.state for one in replay.sessions] == ["ESTABLISHED", "ESTABLISHED"]
    assert replay.wait(6) == ()


@pytest.mark.conformance(98, 100)
@pytest.mark.parametrize("sender", [ROUTER6, CALLED_ADDRESS])
def test_a_hairpin_of_an_error(sender: IPv6Address) -> None:
    replay = Replay(static=STATIC)
    call = udp6(to=CALLED4)
    came = replay.forwards(call)
    before = replay.sessions
    error = Icmp6Error(sender, came.source.address, came)
    back = Icmp6Error(embed(end4(CALLED4).address), NODE_ADDRESS, call)
    assert replay.forwards(error, after=1) == back
    assert replay.sessions == before


def test_ports_that_pool4_leaves_to_the_host_are_outside() -> None:
    replay = Replay()
    assert replay.forwards(udp6(to="192.0.2.1:53")) == udp4(BOUND, "192.0.2.1:53")


def test_a_stored_syn_is_no_session_for_errors() -> None:
    replay = Replay()
    assert replay.receive(tcp4("S")) == Stored()
    error = Icmp4Error(ROUTER4, POOL_ADDRESS, tcp4("S", BOUND, SERVER))
    assert replay.drops(error) == (DropReason.ICMP_NO_SESSION, None)
