# SPDX-License-Identifier: Apache-2.0
"""UDP, and what all protocols share: RFC 6146 sections 3.5, 3.5.1 and 3.1."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from sixlane.rfc.rfc6146 import (
    DropReason,
    Endpoint6,
    Lifetimes,
    NotOurs,
    Packet6,
    Protocol,
    StaticEntry,
)
from tests.unit.rfc.stateful import (
    BOUND,
    CONFIG,
    FILTERING,
    NODE,
    OTHER,
    OTHER_PREF64,
    PREF64,
    SERVER,
    SIBLING,
    STRANGER,
    Replay,
    embedded,
    end4,
    end6,
    flags,
    inside,
    ping6,
    pool4,
    tcp4,
    tcp6,
    udp4,
    udp6,
)

DNS_SERVER = "[2001:db8:5::53]:5300"
STATIC = StaticEntry(Protocol.UDP, end6(DNS_SERVER), end4("192.0.2.1:53"))


@pytest.mark.conformance(79)
def test_there_and_back() -> None:
    replay = Replay()
    assert replay.forwards(udp6()) == udp4(source=BOUND, to=SERVER)
    assert replay.forwards(udp4()) == inside(udp4())
    assert replay.bound == {("UDP", NODE, BOUND)}
    assert replay.session.destination6 == embedded(SERVER)


@pytest.mark.conformance(73)
def test_only_pool6_and_pool4_are_handled() -> None:
    """Not the ports of pool4's addresses that it leaves to the host, either."""
    replay = Replay()
    elsewhere = Packet6(Protocol.UDP, end6(NODE), end6("[2001:db8:9::1]:53"))
    assert replay.receive(elsewhere) == NotOurs()
    assert replay.receive(udp4(to="192.0.2.2:40001")) == NotOurs()
    assert replay.receive(udp4(to="192.0.2.1:1023")) == NotOurs()
    assert replay.drops(udp4(to="192.0.2.1:1024")) == (DropReason.NO_BINDING, None)
    assert replay.sessions == ()


@pytest.mark.conformance(74)
@pytest.mark.parametrize("pref64", [PREF64, OTHER_PREF64])
def test_a_source_in_any_pref64_is_dropped_in_silence(pref64: IPv6Network) -> None:
    replay = Replay(pool6=(PREF64, OTHER_PREF64))
    source = str(embedded("198.51.100.9:999", pref64))
    assert replay.drops(udp6(source=source)) == (DropReason.SOURCE_IN_PREF64, None)
    assert replay.bound == set()


@pytest.mark.conformance(75)
def test_mappings_do_not_depend_on_the_other_end() -> None:
    replay = Replay()
    assert replay.source(udp6(to=SERVER)) == BOUND
    assert replay.source(udp6(to=OTHER)) == BOUND
    assert replay.source(udp6(to="198.51.100.80:81")) == BOUND
    assert len(replay.sessions) == 3


@pytest.mark.conformance(75, 80)
def test_without_a_filter_strangers_come_in_by_the_binding() -> None:
    replay = Replay()
    replay.forwards(udp6())
    assert replay.forwards(udp4(source=OTHER)) == inside(udp4(source=OTHER))
    assert {str(one.destination4) for one in replay.sessions} == {SERVER, OTHER}


@pytest.mark.conformance(79)
@pytest.mark.parametrize(("answers", "error"), [(False, None), (True, (3, 3))])
def test_without_binding_nothing_comes_in(answers: bool, error: tuple[int, int] | None) -> None:
    replay = Replay(answer_strangers=answers)
    assert replay.drops(udp4()) == (DropReason.NO_BINDING, error)
    assert replay.sessions == ()


@pytest.mark.conformance(80)
@pytest.mark.parametrize(("answers", "error"), [(False, None), (True, (3, 13))])
def test_the_filter_asks_for_the_address(answers: bool, error: tuple[int, int] | None) -> None:
    """By whatever port of the stranger, but to this endpoint of the node."""
    replay = Replay(FILTERING, answer_strangers=answers)
    replay.forwards(udp6(to=SERVER))
    replay.forwards(udp6(source=SIBLING, to=OTHER))
    assert replay.drops(udp4(source=OTHER)) == (DropReason.FILTERED, error)
    assert len(replay.sessions) == 2
    replay.forwards(udp4(source="198.51.100.80:4444"))
    assert len(replay.sessions) == 3


@pytest.mark.conformance(80)
def test_the_filter_forgets() -> None:
    replay = Replay(FILTERING)
    replay.forwards(udp6(to=SERVER))
    replay.forwards(udp6(to=OTHER), after=200)
    replay.forwards(udp4(source=SERVER), after=99)
    replay.forwards(udp6(to=OTHER), after=200)
    assert replay.drops(udp4(source=SERVER), after=100) == (DropReason.FILTERED, None)


@pytest.mark.conformance(81)
def test_both_directions_extend_the_life() -> None:
    replay = Replay()
    replay.forwards(udp6())
    replay.forwards(udp4(), after=299)
    assert replay.life == (None, 300)
    replay.forwards(udp6(), after=299)
    assert replay.life == (None, 300)


@pytest.mark.conformance(81)
def test_a_session_ends_at_its_deadline() -> None:
    replay = Replay(lifetimes=Lifetimes(udp=120))
    replay.forwards(udp6())
    replay.now = 119.999
    assert len(replay.sessions) == 1
    replay.now = 120
    assert len(replay.sessions) == 0
    assert replay.drops(udp4()) == (DropReason.NO_BINDING, None)


@pytest.mark.conformance(81)
def test_less_than_two_minutes_is_refused() -> None:
    with pytest.raises(ValueError, match="udp is less than 120 seconds"):
        Lifetimes(udp=119)


@pytest.mark.conformance(99)
def test_the_outside_need_not_extend_lives() -> None:
    replay = Replay(refresh_from_outside=False)
    replay.forwards(udp6())
    replay.forwards(udp4(), after=299)
    assert replay.life == (None, 1)


@pytest.mark.conformance(82)
def test_a_dynamic_binding_goes_with_its_last_session() -> None:
    replay = Replay()
    replay.forwards(udp6(to=SERVER))
    replay.forwards(udp6(to=OTHER), after=100)
    replay.wait(299)
    assert (len(replay.sessions), len(replay.bound)) == (1, 1)
    replay.wait(1)
    assert (replay.sessions, replay.bound) == ((), set())


@pytest.mark.conformance(82)
def test_a_static_binding_stays() -> None:
    replay = Replay(static=(STATIC,))
    to_it = udp4(to="192.0.2.1:53")
    assert replay.forwards(to_it) == inside(to_it, DNS_SERVER)
    replay.wait(300)
    assert replay.sessions == ()
    assert replay.bound == {("UDP", DNS_SERVER, "192.0.2.1:53")}
    assert replay.source(udp6(source=DNS_SERVER)) == "192.0.2.1:53"


def test_a_static_binding_is_served_outside_of_the_port_ranges() -> None:
    assert not CONFIG.serves(Protocol.UDP, STATIC.ipv4)
    replay = Replay(static=(STATIC,))
    replay.forwards(udp4(to="192.0.2.1:53"))
    assert replay.receive(udp4(to="192.0.2.1:54")) == NotOurs()


def test_static_bindings_are_unique() -> None:
    again = StaticEntry(Protocol.UDP, end6(NODE), STATIC.ipv4)
    with pytest.raises(ValueError, match=r"two static BIB entries have UDP 192.0.2.1:53"):
        Replay(static=(STATIC, again))
    with pytest.raises(ValueError, match="two static BIB entries"):
        Replay(static=(STATIC, StaticEntry(Protocol.UDP, STATIC.ipv6, end4("192.0.2.1:54"))))
    Replay(static=(STATIC, StaticEntry(Protocol.TCP, STATIC.ipv6, STATIC.ipv4)))


def test_a_session_remembers_its_prefix() -> None:
    replay = Replay(pool6=(PREF64, OTHER_PREF64))
    replay.forwards(udp6(to=SERVER, pref64=PREF64))
    replay.forwards(udp6(to=OTHER, pref64=OTHER_PREF64))
    assert replay.forwards(udp4(source=SERVER)) == inside(udp4(source=SERVER))
    assert replay.forwards(udp4(source=OTHER)) == inside(udp4(source=OTHER), pref64=OTHER_PREF64)


def test_who_comes_from_outside_gets_the_prefix_of_the_binding() -> None:
    replay = Replay(pool6=(PREF64, OTHER_PREF64), static=(STATIC,))
    replay.forwards(udp6(pref64=OTHER_PREF64))
    assert replay.forwards(udp4(source=OTHER)) == inside(udp4(source=OTHER), pref64=OTHER_PREF64)
    to_it = udp4(to="192.0.2.1:53")
    assert replay.forwards(to_it) == inside(to_it, DNS_SERVER, PREF64)


def test_a_static_binding_may_name_its_prefix() -> None:
    named = StaticEntry(Protocol.UDP, STATIC.ipv6, STATIC.ipv4, OTHER_PREF64)
    replay = Replay(pool6=(PREF64, OTHER_PREF64), static=(named,))
    to_it = udp4(to="192.0.2.1:53")
    assert replay.forwards(to_it) == inside(to_it, DNS_SERVER, OTHER_PREF64)
    with pytest.raises(ValueError, match="is not in pool6"):
        Replay(static=(named,))


def test_two_prefixes_do_not_share_a_tuple() -> None:
    """The answers could not tell which one to come back by."""
    replay = Replay(pool6=(PREF64, OTHER_PREF64))
    replay.forwards(udp6(pref64=PREF64))
    other = udp6(pref64=OTHER_PREF64)
    assert replay.drops(other) == (DropReason.PREF64_CONFLICT, (1, 3))
    replay.wait(300)
    replay.forwards(other)


def test_segments_without_a_session_take_no_tuple_away() -> None:
    """They go by the binding, whichever prefix they come by (3.5.2.2, CLOSED): nothing is kept."""
    replay = Replay(pool6=(PREF64, OTHER_PREF64))
    replay.forwards(tcp6("S", pref64=PREF64))
    assert replay.forwards(tcp6("A", pref64=OTHER_PREF64)) == tcp4("A", source=BOUND, to=SERVER)
    assert replay.session.destination6 == embedded(SERVER)
    assert replay.drops(tcp6("S", pref64=OTHER_PREF64))[0] is DropReason.PREF64_CONFLICT


def test_suffix_and_u_octet_of_the_destination_do_not_count() -> None:
    replay = Replay(pool6=(OTHER_PREF64,))
    address = int(embedded(SERVER, OTHER_PREF64).address) | 0xFF << 56 | 0xBEEF
    odd = Endpoint6(IPv6Address(address), 80)
    replay.forwards(Packet6(Protocol.UDP, end6(NODE), odd))
    replay.forwards(udp6(pref64=OTHER_PREF64))
    assert replay.session.destination6 == embedded(SERVER, OTHER_PREF64)


def test_of_nested_prefixes_the_longer_counts() -> None:
    short = IPv6Network("2001:db8::/32")
    replay = Replay(pool6=(short, PREF64))
    assert replay.drops(udp6()) == (DropReason.SOURCE_IN_PREF64, None)
    outside = udp6(source="[2001:dba::7]:40001")
    assert replay.forwards(outside).destination == end4(SERVER)


@pytest.mark.conformance(67)
def test_the_well_known_prefix_stands_for_global_addresses() -> None:
    well_known = IPv6Network("64:ff9b::/96")
    pool = pool4("9.9.9.9/32")
    replay = Replay(pool6=(well_known,), pool4=(pool,))
    private = udp6(to="10.0.0.1:53", pref64=well_known)
    assert replay.drops(private) == (DropReason.NOT_GLOBAL, (1, 1))
    assert replay.bound == set()
    replay.forwards(udp6(to="8.8.8.8:53", pref64=well_known))
    came = udp4(source="10.0.0.1:53", to="9.9.9.9:40001")
    assert replay.drops(came) == (DropReason.NOT_GLOBAL, (3, 13))
    assert len(replay.sessions) == 1
    replay.forwards(tcp6("S", to="8.8.8.8:53", pref64=well_known))
    for letters in ("S", "A"):
        segment = tcp4(letters, source="10.0.0.1:53", to="9.9.9.9:40001")
        assert replay.drops(segment) == (DropReason.NOT_GLOBAL, (3, 13))


@pytest.mark.conformance(76)
def test_each_protocol_has_its_own_bib() -> None:
    replay = Replay()
    assert replay.source(udp6(source=NODE)) == BOUND
    assert replay.source(tcp6("S", source=NODE)) == BOUND
    taken = replay.source(udp6(source="[2001:db8:2::9]:40001"))
    assert taken != BOUND
    assert replay.source(udp6(source=STRANGER)) not in (taken, BOUND)


def test_time_does_not_go_back() -> None:
    replay = Replay()
    replay.forwards(udp6(), after=10)
    with pytest.raises(ValueError, match="the clock stands at 10"):
        replay.forwards(udp6(), after=-1)


def test_packets_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="UDP has no flags"):
        Packet6(Protocol.UDP, end6(NODE), embedded(SERVER), flags("S"))
    with pytest.raises(ValueError, match="a query has one identifier"):
        Packet6(Protocol.ICMP, end6(NODE), embedded(SERVER))
    assert ping6().destination.port == 40001


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool6": ()}, "pool6 is empty"),
        ({"pool6": (IPv6Network("2001:db8::/33"),)}, "no translation prefix"),
        ({"pool4": (pool4(sources="2001:db8::/65"),)}, "is a part of one client"),
    ],
)
def test_configurations_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Replay(**changes)
