# SPDX-License-Identifier: Apache-2.0
"""TCP: RFC 6146 section 3.5.2, each state with each segment, and whole connections."""

from collections.abc import Callable

import pytest

from sixlane.rfc.rfc6146 import (
    Drop,
    DropReason,
    Lifetimes,
    Limits,
    OwnError,
    Probe,
    Protocol,
    Segment,
    Sent,
    StaticEntry,
    Stored,
    TcpState,
)
from tests.unit.rfc.stateful import (
    BOUND,
    FILTERING,
    NODE,
    OTHER,
    SERVER,
    SIBLING,
    STRANGER,
    Replay,
    end4,
    end6,
    flags,
    inside,
    tcp4,
    tcp6,
)

EST, TRANS, INCOMING_SYN = 7200, 240, 6

WEB = "[2001:db8:5::80]:8080"
STATIC = StaticEntry(Protocol.TCP, end6(WEB), end4("192.0.2.1:80"))


def in_v4_init(replay: Replay) -> None:
    """The session of NODE that SERVER began; another one, with OTHER, has made the binding."""
    replay.forwards(tcp6("S", to=OTHER))
    replay.forwards(tcp4("S"))


def in_v6_init(replay: Replay) -> None:
    replay.forwards(tcp6("S"))


def in_established(replay: Replay) -> None:
    in_v6_init(replay)
    replay.forwards(tcp4("SA"))


def in_v4_fin_rcv(replay: Replay) -> None:
    in_established(replay)
    replay.forwards(tcp4("FA"))


def in_v6_fin_rcv(replay: Replay) -> None:
    in_established(replay)
    replay.forwards(tcp6("FA"))


def in_both_fin_rcv(replay: Replay) -> None:
    in_v4_fin_rcv(replay)
    replay.forwards(tcp6("FA"))


def in_trans(replay: Replay) -> None:
    in_established(replay)
    replay.forwards(tcp4("R"))


Way = Callable[[Replay], None]

# What each segment does, from IPv4 and from IPv6: the state, and the lifetime if it gives one.
# fmt: off
TABLE: list[tuple[Way, str, dict[str, tuple[str, int | None]]]] = [
    (in_v4_init, "V4 INIT", {
        "V6 S": ("ESTABLISHED", EST), "V6 SA": ("ESTABLISHED", EST),
        "V4 S": ("V4 INIT", None), "V4 SA": ("V4 INIT", None),
        "V6 A": ("V4 INIT", None), "V4 A": ("V4 INIT", None),
        "V6 F": ("V4 INIT", None), "V4 F": ("V4 INIT", None),
        "V6 R": ("V4 INIT", None), "V4 R": ("V4 INIT", None),
    }),
    (in_v6_init, "V6 INIT", {
        "V4 S": ("ESTABLISHED", EST), "V4 SA": ("ESTABLISHED", EST),
        "V6 S": ("V6 INIT", TRANS), "V6 SA": ("V6 INIT", TRANS),
        "V6 A": ("V6 INIT", None), "V4 A": ("V6 INIT", None),
        "V6 F": ("V6 INIT", None), "V4 F": ("V6 INIT", None),
        "V6 R": ("V6 INIT", None), "V4 R": ("V6 INIT", None),
    }),
    (in_established, "ESTABLISHED", {
        "V6 S": ("ESTABLISHED", EST), "V4 S": ("ESTABLISHED", EST),
        "V6 A": ("ESTABLISHED", EST), "V4 A": ("ESTABLISHED", EST),
        "V6 F": ("V6 FIN RCV", EST), "V4 F": ("V4 FIN RCV", EST),
        "V6 R": ("TRANS", TRANS), "V4 R": ("TRANS", TRANS),
    }),
    (in_v4_fin_rcv, "V4 FIN RCV", {
        "V6 F": ("V4 FIN + V6 FIN RCV", TRANS), "V4 F": ("V4 FIN RCV", EST),
        "V6 A": ("V4 FIN RCV", EST), "V4 A": ("V4 FIN RCV", EST),
        "V6 S": ("V4 FIN RCV", EST), "V4 S": ("V4 FIN RCV", EST),
        "V6 R": ("V4 FIN RCV", EST), "V4 R": ("V4 FIN RCV", EST),
    }),
    (in_v6_fin_rcv, "V6 FIN RCV", {
        "V4 F": ("V4 FIN + V6 FIN RCV", TRANS), "V6 F": ("V6 FIN RCV", EST),
        "V6 A": ("V6 FIN RCV", EST), "V4 A": ("V6 FIN RCV", EST),
        "V6 S": ("V6 FIN RCV", EST), "V4 S": ("V6 FIN RCV", EST),
        "V6 R": ("V6 FIN RCV", EST), "V4 R": ("V6 FIN RCV", EST),
    }),
    (in_both_fin_rcv, "V4 FIN + V6 FIN RCV", {
        f"{side} {segment}": ("V4 FIN + V6 FIN RCV", None)
        for side in ("V4", "V6") for segment in "SAFR"
    }),
    (in_trans, "TRANS", {
        "V6 S": ("ESTABLISHED", EST), "V4 S": ("ESTABLISHED", EST),
        "V6 A": ("ESTABLISHED", EST), "V4 A": ("ESTABLISHED", EST),
        "V6 F": ("ESTABLISHED", EST), "V4 F": ("ESTABLISHED", EST),
        "V6 R": ("TRANS", None), "V4 R": ("TRANS", None),
    }),
]
# fmt: on

CASES = [
    pytest.param(way, before, event, *after, id=f"{before}, {event}")
    for way, before, events in TABLE
    for event, after in events.items()
]


def with_server(replay: Replay) -> tuple[str | None, float]:
    """State and remaining seconds of the session with SERVER."""
    (session,) = [one for one in replay.sessions if one.destination4 == end4(SERVER)]
    return session.state, session.remaining(replay.now)


@pytest.mark.conformance(84, 87, 90, 91)
@pytest.mark.parametrize(("way", "before", "event", "after", "lifetime"), CASES)
def test_each_state_with_each_segment(
    way: Way, before: str, event: str, after: str, lifetime: int | None
) -> None:
    replay = Replay()
    way(replay)
    state, remaining = with_server(replay)
    assert state == before
    side, letters = event.split()
    if side == "V6":
        assert replay.forwards(tcp6(letters), after=100) == tcp4(letters, BOUND, SERVER)
    else:
        assert replay.forwards(tcp4(letters), after=100) == inside(tcp4(letters))
    assert with_server(replay) == (after, lifetime or remaining - 100)


@pytest.mark.parametrize(
    ("letters", "segment"),
    [
        ("", Segment.OTHER),
        ("A", Segment.OTHER),
        ("FA", Segment.FIN),
        ("SA", Segment.SYN),
        ("SF", Segment.SYN),
        ("SFRA", Segment.RST),
        ("RF", Segment.RST),
    ],
)
def test_of_several_flags_an_endpoint_looks_at_rst_and_syn_first(
    letters: str, segment: Segment
) -> None:
    assert Segment.of(flags(letters)) == segment


@pytest.mark.conformance(83)
def test_a_syn_from_inside_opens_a_session() -> None:
    replay = Replay()
    assert replay.forwards(tcp6("S")) == tcp4("S", BOUND, SERVER)
    assert replay.life == ("V6 INIT", TRANS)
    assert replay.bound == {("TCP", NODE, BOUND)}
    assert replay.wait(TRANS) == ()
    assert (replay.sessions, replay.bound) == ((), set())


@pytest.mark.conformance(83, 84, 90)
def test_a_whole_connection() -> None:
    replay = Replay()
    replay.forwards(tcp6("S"))
    replay.forwards(tcp4("SA"), after=0.1)
    replay.forwards(tcp6("A"), after=0.1)
    assert replay.life == ("ESTABLISHED", EST)
    replay.forwards(tcp4("A"), after=7000)
    replay.forwards(tcp6("FA"), after=7000)
    assert replay.life == ("V6 FIN RCV", EST)
    replay.forwards(tcp4("A"), after=7000)  # half closed, data flows on
    replay.forwards(tcp4("FA"), after=7000)
    assert replay.life == ("V4 FIN + V6 FIN RCV", TRANS)
    replay.forwards(tcp6("A"), after=TRANS - 1)
    assert replay.wait(1) == ()
    assert (replay.sessions, replay.bound) == ((), set())


@pytest.mark.conformance(90)
@pytest.mark.parametrize("way", [in_v4_fin_rcv, in_v6_fin_rcv])
def test_half_closed_and_idle_ends_without_a_probe(way: Way) -> None:
    replay = Replay()
    way(replay)
    assert replay.wait(EST - 0.25) == ()
    assert len(replay.sessions) == 1
    assert replay.wait(0.25) == ()
    assert len(replay.sessions) == 0


@pytest.mark.conformance(91)
def test_a_reset_that_nobody_contradicts_ends_the_session() -> None:
    replay = Replay()
    in_trans(replay)
    assert replay.wait(TRANS) == ()
    assert replay.sessions == ()


@pytest.mark.conformance(92)
def test_an_idle_connection_is_probed() -> None:
    replay = Replay()
    in_established(replay)
    assert replay.wait(EST - 0.25) == ()
    probe = Probe(inside(tcp4("A")), tcp4("A", BOUND, SERVER))
    assert replay.wait(0.5) == (Sent(EST, probe),)
    assert replay.life == ("TRANS", TRANS - 0.25)
    replay.forwards(tcp6("A"))  # the answer
    assert replay.life == ("ESTABLISHED", EST)


@pytest.mark.conformance(92)
def test_nobody_answers_the_probe() -> None:
    """However late somebody looks, each thing happened at its own time, and is told once."""
    replay = Replay()
    in_established(replay)
    (sent,) = replay.wait(EST + TRANS)
    assert sent.at == EST
    assert replay.sessions == ()
    assert replay.wait(0) == ()


def test_a_session_that_nobody_looked_after_is_gone_in_time() -> None:
    replay = Replay()
    in_established(replay)
    assert replay.drops(tcp4("A"), after=EST + TRANS) == (DropReason.NO_BINDING, None)


def test_what_time_sends_waits_to_be_asked_for() -> None:
    replay = Replay()
    in_established(replay)
    replay.forwards(tcp4("A"), after=EST + 1)
    assert replay.life == ("ESTABLISHED", EST)
    (sent,) = replay.wait(0)
    assert sent.at == EST


@pytest.mark.conformance(84)
@pytest.mark.parametrize(
    ("name", "minimum"), [("tcp_est", EST), ("tcp_trans", TRANS), ("tcp_incoming_syn", 6)]
)
def test_lifetimes_have_minima_and_can_be_longer(name: str, minimum: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is less than {minimum} seconds"):
        Lifetimes(**{name: minimum - 1})
    assert getattr(Lifetimes(**{name: minimum + 60}), name) == minimum + 60


# SYNs from outside


@pytest.mark.conformance(85)
def test_a_syn_without_binding_is_stored() -> None:
    replay = Replay()
    assert replay.receive(tcp4("S")) == Stored()
    replay.wait(1)
    (stored,) = replay.nat64.state(1).stored_syns
    assert (stored.packet, stored.remaining(1)) == (tcp4("S"), INCOMING_SYN - 1)
    assert (replay.sessions, replay.bound) == ((), set())


@pytest.mark.conformance(86)
def test_a_stored_syn_that_nobody_answers_becomes_an_error() -> None:
    replay = Replay()
    replay.receive(tcp4("S"), after=1)
    assert replay.wait(INCOMING_SYN - 0.25) == ()
    assert replay.wait(0.25) == (Sent(1 + INCOMING_SYN, OwnError(3, 3, tcp4("S"))),)
    assert replay.nat64.state(replay.now).stored_syns == ()


@pytest.mark.conformance(85)
def test_a_repeated_syn_does_not_extend_the_life_of_the_first() -> None:
    replay = Replay()
    replay.receive(tcp4("S"))
    assert replay.drops(tcp4("S"), after=3) == (DropReason.SYN_IS_STORED, None)
    assert len(replay.wait(3)) == 1


@pytest.mark.conformance(86)
def test_simultaneous_open() -> None:
    """The node gets the endpoint that the peer tried, though others would be as good."""
    replay = Replay()
    peer, tried = SERVER, "192.0.2.1:50123"
    assert replay.receive(tcp4("S", peer, tried)) == Stored()
    assert replay.forwards(tcp6("S", to=peer), after=5) == tcp4("S", tried, peer)
    assert replay.life == ("ESTABLISHED", EST)
    assert replay.wait(60) == ()
    again = tcp4("S", peer, tried)
    assert replay.forwards(again) == inside(again)


@pytest.mark.conformance(86)
def test_another_syn_from_inside_is_no_simultaneous_open() -> None:
    """To another port of the peer, or of a node that has a mapping already."""
    replay = Replay()
    tried = "192.0.2.1:50123"
    replay.receive(tcp4("S", SERVER, tried))
    assert replay.source(tcp6("S", to="198.51.100.80:81")) == BOUND
    assert replay.source(tcp6("S", to=SERVER)) == BOUND
    assert [one.state for one in replay.sessions] == ["V6 INIT", "V6 INIT"]
    assert len(replay.wait(INCOMING_SYN)) == 1


def test_too_late_for_a_simultaneous_open() -> None:
    replay = Replay()
    replay.receive(tcp4("S", SERVER, "192.0.2.1:50123"))
    assert replay.source(tcp6("S", to=SERVER), after=INCOMING_SYN) == BOUND
    assert replay.life == ("V6 INIT", TRANS)


@pytest.mark.conformance(87)
def test_a_syn_by_a_binding_is_translated() -> None:
    replay = Replay(static=(STATIC,))
    syn = tcp4("S", to="192.0.2.1:80")
    assert replay.forwards(syn) == inside(syn, WEB)
    assert replay.life == ("V4 INIT", TRANS)
    assert replay.forwards(tcp6("SA", source=WEB)) == tcp4("SA", "192.0.2.1:80", SERVER)
    assert replay.life == ("ESTABLISHED", EST)


@pytest.mark.conformance(87)
def test_v4_init_ends_in_silence() -> None:
    replay = Replay(static=(STATIC,))
    replay.forwards(tcp4("S", to="192.0.2.1:80"))
    assert replay.wait(TRANS) == ()
    assert replay.sessions == ()


@pytest.mark.conformance(80, 87)
def test_with_the_filter_a_syn_by_a_binding_is_stored() -> None:
    replay = Replay(FILTERING, static=(STATIC,))
    syn = tcp4("S", to="192.0.2.1:80")
    assert replay.receive(syn) == Stored()
    assert replay.drops(tcp4("A", to="192.0.2.1:80")) == (DropReason.FILTERED, None)
    replay.forwards(tcp6("S", source=WEB), after=5)
    assert replay.life == ("ESTABLISHED", EST)
    assert replay.forwards(tcp4("A", to="192.0.2.1:80")) == inside(
        tcp4("A", to="192.0.2.1:80"), WEB
    )
    assert replay.wait(10) == ()


@pytest.mark.conformance(80, 86)
def test_a_stored_syn_opens_no_filter_and_ends_with_an_error() -> None:
    replay = Replay(FILTERING, static=(STATIC,), answer_strangers=True)
    replay.receive(tcp4("S", to="192.0.2.1:80"))
    other_port = tcp4("A", source="198.51.100.80:81", to="192.0.2.1:80")
    assert replay.drops(other_port) == (DropReason.FILTERED, (3, 13))
    (sent,) = replay.wait(INCOMING_SYN)
    assert sent.what == OwnError(3, 3, tcp4("S", to="192.0.2.1:80"))


@pytest.mark.conformance(88)
def test_syns_from_outside_can_be_dropped() -> None:
    """With and without binding; answers still come in."""
    replay = Replay(drop_external_syns=True, static=(STATIC,))
    assert replay.drops(tcp4("S")) == (DropReason.FILTERED, None)
    assert replay.drops(tcp4("S", to="192.0.2.1:80")) == (DropReason.FILTERED, None)
    replay.forwards(tcp6("S"))
    assert replay.drops(tcp4("S", source=OTHER)) == (DropReason.FILTERED, None)
    replay.forwards(tcp4("SA"))
    assert replay.life == ("ESTABLISHED", EST)
    assert replay.wait(10) == ()


# CLOSED, and no SYN


@pytest.mark.conformance(89)
@pytest.mark.parametrize("letters", ["", "A", "FA", "R", "RA", "SR"])
def test_no_syn_and_no_session(letters: str) -> None:
    """Translated by the binding, which the session with OTHER keeps; nothing is remembered."""
    replay = Replay()
    assert replay.drops(tcp6(letters)) == (DropReason.NO_BINDING, None)
    assert replay.drops(tcp4(letters)) == (DropReason.NO_BINDING, None)
    replay.forwards(tcp6("S", to=OTHER))
    before = replay.sessions
    assert replay.forwards(tcp6(letters), after=1) == tcp4(letters, BOUND, SERVER)
    assert replay.forwards(tcp4(letters), after=1) == inside(tcp4(letters))
    assert replay.sessions == before


@pytest.mark.conformance(80, 89)
def test_no_syn_and_no_session_has_to_pass_the_filter() -> None:
    replay = Replay(FILTERING)
    replay.forwards(tcp6("S", to=OTHER))
    assert replay.drops(tcp4("A")) == (DropReason.FILTERED, None)
    replay.forwards(tcp4("A", source="203.0.113.5:444"))


def test_lives_that_the_outside_does_not_extend() -> None:
    """But what it does to the state counts."""
    replay = Replay(refresh_from_outside=False)
    in_established(replay)
    replay.forwards(tcp4("A"), after=100)
    assert replay.life == ("ESTABLISHED", EST - 100)
    replay.forwards(tcp6("A"))
    assert replay.life == ("ESTABLISHED", EST)
    replay.forwards(tcp4("FA"), after=100)
    assert replay.life == ("V4 FIN RCV", EST)
    replay.forwards(tcp4("A"), after=100)
    assert replay.life == ("V4 FIN RCV", EST - 100)


@pytest.mark.conformance(99)
def test_stored_syns_of_one_endpoint_are_bounded() -> None:
    """Whoever sends many is alone with them."""
    replay = Replay(limits=Limits(peer_syns=1))
    assert replay.receive(tcp4("S", to="192.0.2.1:2000")) == Stored()
    dropped = replay.receive(tcp4("S", to="192.0.2.1:2001"))
    assert dropped == Drop(DropReason.STORED_SYN_LIMIT)
    assert replay.receive(tcp4("S", OTHER, to="192.0.2.1:2001")) == Stored()


@pytest.mark.conformance(99)
def test_stored_syns_are_bounded() -> None:
    replay = Replay(limits=Limits(stored_syns=2))
    assert replay.receive(tcp4("S", "198.51.100.1:1")) == Stored()
    assert replay.receive(tcp4("S", "198.51.100.2:1")) == Stored()
    full = replay.receive(tcp4("S", "198.51.100.3:1"))
    assert full == Drop(DropReason.STORED_SYN_LIMIT)
    assert len(replay.wait(INCOMING_SYN)) == 2
    assert replay.receive(tcp4("S", "198.51.100.3:1")) == Stored()


def test_connections_of_several_nodes_do_not_mix() -> None:
    replay = Replay()
    ports = {node: replay.source(tcp6("S", node)) for node in (NODE, SIBLING, STRANGER)}
    assert len(set(ports.values())) == 3
    for node, port in ports.items():
        answer = tcp4("SA", to=port)
        assert replay.forwards(answer) == inside(answer, node)
    assert {one.state for one in replay.sessions} == {TcpState.ESTABLISHED}
