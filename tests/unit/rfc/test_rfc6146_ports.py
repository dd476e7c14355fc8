# SPDX-License-Identifier: Apache-2.0
"""Which port a new binding gets: RFC 6146 sections 3.5.1.1 and 3.5.2.3, blocks, limits."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import pytest

from sixlane.rfc.rfc6146 import (
    Blocks,
    Candidates,
    DropReason,
    Endpoint4,
    IllegalChoice,
    Limits,
    Packet6,
    Protocol,
    StaticEntry,
    lowest,
)
from tests.unit.rfc.stateful import (
    NODE,
    OTHER,
    SERVER,
    SIBLING,
    STRANGER,
    Replay,
    end4,
    end6,
    ping6,
    pool4,
    tcp4,
    tcp6,
    udp4,
    udp6,
)

NOTHING_LEFT = (1, 3)


def node(port: int, host: int = 7, client: int = 1) -> str:
    return f"[2001:db8:{client}::{host}]:{port}"


class Asked(NamedTuple):
    """What a new binding may get."""

    best: frozenset[Endpoint4]
    legal: tuple[Endpoint4, ...]


def asked(replay: Replay, packet: Packet6) -> Asked:
    """Send a packet that makes a binding, which gets the lowest."""
    seen: list[Asked] = []

    def choose(candidates: Candidates) -> Endpoint4:
        best, legal = candidates.best(), tuple(candidates.legal())
        assert all(candidates.objection(one) is None for one in legal)
        assert best == {one for one in legal if candidates.rank(one) == candidates.rank(legal[0])}
        ranks = [candidates.rank(one) for one in legal]
        assert ranks == sorted(ranks, reverse=True)
        seen.append(Asked(best, legal))
        return lowest(candidates)

    replay.receive(packet, choose=choose)
    (only,) = seen
    return only


def ports(endpoints: Iterable[Endpoint4]) -> list[int]:
    return sorted(one.port for one in endpoints)


@pytest.mark.conformance(77)
@pytest.mark.parametrize("packet", [udp6, lambda source: tcp6("S", source)])
@pytest.mark.parametrize(
    ("own", "first", "last", "best"),
    [
        (2000, 1020, 1027, [1024, 1026]),
        (2001, 1020, 1027, [1025, 1027]),
        (500, 1020, 1027, [1020, 1022]),
        (501, 1020, 1027, [1021, 1023]),
        (500, 1024, 1027, [1024, 1026]),  # no other class is left
        (500, 1023, 1026, [1024, 1026]),  # parity goes before class
        (2000, 1025, 1025, [1025]),  # no other parity is left
        (1023, 1023, 1025, [1023]),
        (1024, 1022, 1024, [1024]),
        (0, 0, 3, [0, 2]),
        (65535, 65534, 65535, [65535]),
    ],
)
def test_parity_and_class_of_ports(
    packet: Callable[[str], Packet6], own: int, first: int, last: int, best: list[int]
) -> None:
    replay = Replay(pool4=(pool4(udp=(first, last), tcp=(first, last)),))
    assert ports(asked(replay, packet(node(own))).best) == best


def test_identifiers_have_neither() -> None:
    replay = Replay(pool4=(pool4(icmp=(1020, 1027)),))
    assert ports(asked(replay, ping6(node(2001))).best) == list(range(1020, 1028))


@pytest.mark.conformance(77)
def test_less_good_ports_are_taken_when_the_best_are_gone() -> None:
    """Parity first: 1024 and 1026 by even ports, then what is odd."""
    replay = Replay(pool4=(pool4(udp=(1022, 1027)),))
    given = [replay.source(udp6(node(2000 + 2 * i))).rpartition(":")[2] for i in range(6)]
    assert given == ["1024", "1026", "1022", "1025", "1027", "1023"]


@pytest.mark.conformance(76)
def test_an_endpoint_is_given_once() -> None:
    replay = Replay(pool4=(pool4(udp=(5000, 5003), tcp=(5000, 5003)),))
    for new in (udp6, lambda source: tcp6("S", source)):
        given = {replay.source(new(node(4000 + i))) for i in range(4)}
        assert given == {f"192.0.2.1:{port}" for port in range(5000, 5004)}


@pytest.mark.conformance(78)
def test_no_port_left() -> None:
    """Nobody is asked, and nothing that lives is taken away."""
    replay = Replay(pool4=(pool4(udp=(5000, 5001)),))
    replay.forwards(udp6(node(1)))
    replay.forwards(udp6(node(2)))
    before = replay.sessions
    assert replay.drops(udp6(node(3))) == (DropReason.NO_PORT, NOTHING_LEFT)
    assert replay.sessions == before
    replay.forwards(tcp6("S", node(3)))
    replay.forwards(udp6(node(3)), after=300)


@pytest.mark.conformance(78)
def test_nobody_serves_the_source() -> None:
    replay = Replay(pool4=(pool4(sources="2001:db8:2::/48"),))
    assert replay.drops(udp6(NODE)) == (DropReason.NO_PORT, NOTHING_LEFT)
    replay.forwards(udp6(STRANGER))


def test_the_longest_source_prefix_chooses_the_pool() -> None:
    """All its entries together; a protocol that they leave out has no ports."""
    wide = pool4("192.0.2.1/32")
    some = pool4("192.0.2.8/31", "2001:db8:1::/48", udp=(7000, 7000))
    more = pool4("192.0.2.16/32", "2001:db8:1::/48", udp=(8000, 8001))
    more = replace(more, ports={Protocol.UDP: more.ports[Protocol.UDP]})
    candidates = asked(Replay(pool4=(wide, some, more)), udp6(NODE))
    assert {str(one) for one in candidates.legal} == {
        "192.0.2.8:7000",
        "192.0.2.9:7000",
        "192.0.2.16:8000",
        "192.0.2.16:8001",
    }
    assert Replay(pool4=(wide, some, more)).source(udp6(STRANGER)).startswith("192.0.2.1:")
    only = Replay(pool4=(more,))
    assert only.drops(tcp6("S", NODE)) == (DropReason.NO_PORT, NOTHING_LEFT)


@pytest.mark.conformance(76)
def test_a_client_keeps_its_address_across_protocols() -> None:
    """All nodes of the /64, until their last binding is gone."""
    replay = Replay(pool4=(pool4("192.0.2.0/29"),))
    replay.receive(udp6(NODE), choose=lambda _: end4("192.0.2.5:40001"))
    for packet in (tcp6("S", NODE), ping6(NODE), udp6(SIBLING)):
        assert replay.source(packet).startswith("192.0.2.5:")
    assert replay.source(udp6(STRANGER)).startswith("192.0.2.0:")
    replay.wait(300)
    assert replay.source(tcp6("S", NODE)).startswith("192.0.2.0:")


def test_a_client_whose_address_is_full_gets_no_other() -> None:
    replay = Replay(pool4=(pool4("192.0.2.0/31", udp=(5000, 5000)),))
    replay.forwards(udp6(NODE))
    assert replay.drops(udp6(SIBLING)) == (DropReason.NO_PORT, NOTHING_LEFT)
    assert replay.source(udp6(STRANGER)) == "192.0.2.1:5000"


@pytest.mark.parametrize(("length", "same"), [(48, True), (64, False), (128, False)])
def test_the_length_of_a_client_is_settable(length: int, same: bool) -> None:
    replay = Replay(pool4=(pool4("192.0.2.0/31", udp=(5000, 5000)),), client_length=length)
    replay.forwards(udp6("[2001:db8:1:1::7]:1"))
    second = udp6("[2001:db8:1:2::7]:1")
    if same:
        assert replay.drops(second) == (DropReason.NO_PORT, NOTHING_LEFT)
    else:
        assert replay.source(second) == "192.0.2.1:5000"


@pytest.mark.conformance(76)
def test_a_node_prefers_the_address_of_its_static_bindings() -> None:
    static = StaticEntry(Protocol.TCP, end6(NODE), end4("192.0.2.3:80"))
    replay = Replay(pool4=(pool4("192.0.2.0/29"),), static=(static,))
    assert replay.source(udp6(NODE)) == "192.0.2.3:40001"
    other = Replay(pool4=(pool4("192.0.2.0/31"),), static=(static,))
    assert other.source(udp6(NODE)) == "192.0.2.0:40001"


def test_static_bindings_are_in_use() -> None:
    static = StaticEntry(Protocol.UDP, end6(STRANGER), end4("192.0.2.1:5000"))
    replay = Replay(pool4=(pool4(udp=(5000, 5001), tcp=(5000, 5001)),), static=(static,))
    assert replay.source(udp6(node(2))) == "192.0.2.1:5001"
    assert replay.source(tcp6("S", node(2))) == "192.0.2.1:5000"


# Blocks: of 4 ports, 2 for each client


def in_blocks(addresses: str = "192.0.2.1/32", *, strict: bool = True) -> Replay:
    return Replay(
        strict=strict,
        pool4=(pool4(addresses, udp=(5000, 5015), tcp=(5000, 5015), icmp=(5000, 5015)),),
        blocks=Blocks(size=4, per_client=2),
    )


def test_a_client_fills_its_blocks_before_it_gets_another() -> None:
    """Odd or even comes second: 5000 and 5002, then what is odd there, then the next block."""
    replay = in_blocks()
    assert ports(asked(replay, udp6(node(2000))).best) == list(range(5000, 5016, 2))
    assert ports(asked(replay, udp6(node(2002))).best) == [5002]
    assert ports(asked(replay, udp6(node(2004))).best) == [5001, 5003]
    assert ports(asked(replay, udp6(node(2006))).best) == [5003]
    assert ports(asked(replay, udp6(node(2008))).best) == [5004, 5006, 5008, 5010, 5012, 5014]


def test_a_client_has_so_many_blocks() -> None:
    replay = in_blocks()
    for port in range(8):
        replay.forwards(udp6(node(2000 + port)))
    assert replay.drops(udp6(node(2008))) == (DropReason.NO_PORT, NOTHING_LEFT)
    (held,) = replay.nat64.state(0).holdings
    assert held.address == end4("192.0.2.1:0").address
    assert held.blocks == {5000, 5004}


def test_a_block_is_the_clients_for_all_protocols() -> None:
    replay = in_blocks()
    replay.forwards(udp6(NODE))
    assert ports(asked(replay, tcp6("S", STRANGER)).legal) == list(range(5004, 5016))
    assert ports(asked(replay, tcp6("S", NODE)).best) == [5001, 5003]
    assert ports(asked(replay, ping6(NODE)).best) == [5000, 5001, 5002, 5003]
    assert replay.source(ping6(node(1, client=3))) == "192.0.2.1:5008"


def test_blocks_are_aligned_and_cut_by_the_ranges() -> None:
    replay = Replay(pool4=(pool4(udp=(5002, 5005)),), blocks=Blocks(4, 1))
    assert ports(asked(replay, udp6(node(2001))).legal) == [5002, 5003, 5004, 5005]
    assert ports(asked(replay, udp6(node(2003))).legal) == [5002]
    assert replay.drops(udp6(node(2004), OTHER))[0] is DropReason.NO_PORT
    assert ports(asked(replay, udp6(STRANGER)).legal) == [5004, 5005]


def test_blocks_are_given_back_with_the_last_binding() -> None:
    replay = in_blocks()
    replay.forwards(udp6(NODE))
    replay.forwards(tcp6("S", NODE))
    replay.wait(299)
    assert len(replay.nat64.state(replay.now).holdings) == 1
    replay.wait(1)
    assert replay.nat64.state(replay.now).holdings == ()
    assert replay.source(udp6(STRANGER)) == "192.0.2.1:5001"


def test_a_block_is_given_back_with_the_last_binding_in_it() -> None:
    """Not before the client has lost all that it has; another client may have it then."""
    replay = in_blocks()
    for port in range(5):
        replay.forwards(udp6(node(2000 + port)))
    (held,) = replay.nat64.state(0).holdings
    assert held.blocks == {5000, 5004}
    replay.wait(200)
    replay.forwards(udp6(node(2004)))
    replay.wait(100)
    (held,) = replay.nat64.state(replay.now).holdings
    assert held.blocks == {5004}
    assert replay.source(udp6(STRANGER)) == "192.0.2.1:5001"
    assert ports(asked(replay, udp6(node(2006))).best) == [5006]


def test_no_blocks_left() -> None:
    replay = in_blocks()
    for client in range(4):
        replay.forwards(udp6(node(2000, client=client)))
    assert replay.drops(udp6(node(2000, client=9))) == (DropReason.NO_PORT, NOTHING_LEFT)
    replay.forwards(udp6(node(2001, client=3)))


@pytest.mark.parametrize("blocks", [(0, 1), (1, 0)])
def test_blocks_that_cannot_be(blocks: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Blocks(*blocks)


@pytest.mark.conformance(86)
def test_a_simultaneous_open_goes_before_blocks_but_not_out_of_them() -> None:
    """The endpoint that the peer tried: another block of the client's, but not another client's."""
    replay = in_blocks()
    replay.forwards(tcp6("S", node(2000), OTHER))
    replay.receive(tcp4("S", SERVER, "192.0.2.1:5013"))
    assert replay.source(tcp6("S", node(2002), SERVER)) == "192.0.2.1:5013"
    replay.forwards(tcp6("S", STRANGER, OTHER))
    replay.receive(tcp4("S", SERVER, "192.0.2.1:5002"))
    assert replay.source(tcp6("S", node(2002, client=2), SERVER)) == "192.0.2.1:5004"


def test_a_stored_syn_attracts_nothing_but_its_answer() -> None:
    replay = Replay()
    replay.receive(tcp4("S", SERVER, "192.0.2.1:50123"))
    for packet in (udp6(node(2000), SERVER), ping6(node(2000), SERVER)):
        assert replay.source(packet) == "192.0.2.1:2000"
    assert replay.source(tcp6("S", node(2000), OTHER)) == "192.0.2.1:2000"


# Choices of others are judged


@pytest.mark.parametrize(
    ("chosen", "objection"),
    [
        ("192.0.2.1:5016", "it is not in the client's pool4"),
        ("192.0.2.2:5000", "it is not in the client's pool4"),
        ("192.0.2.1:5001", "another BIB entry has it"),
        ("192.0.2.1:5009", "it is in a block of 2001:db8:2::/64"),
        ("192.0.2.1:5012", "the client has all the blocks that it may have"),
        ("192.0.2.0:5003", "the client has the address 192.0.2.1"),
    ],
)
def test_a_choice_that_is_not_allowed(chosen: str, objection: str) -> None:
    """NODE's client has the blocks from 5000 and 5004, STRANGER's the one from 5008."""
    replay = in_blocks("192.0.2.0/31", strict=False)
    for source, port in ((node(3), 5001), (node(5), 5005), (STRANGER, 5008)):
        take(replay, udp6(source), f"192.0.2.1:{port}")
    before = replay.nat64.state(0)
    with pytest.raises(IllegalChoice, match=objection):
        take(replay, udp6(node(7)), chosen)
    assert replay.nat64.state(0) == before


def take(replay: Replay, packet: Packet6, chosen: str) -> None:
    replay.receive(packet, choose=lambda _: end4(chosen))


def test_a_choice_that_is_legal_but_not_the_best() -> None:
    lenient, strict = Replay(strict=False), Replay()
    take(lenient, udp6(), "192.0.2.1:40000")
    assert lenient.bound == {("UDP", NODE, "192.0.2.1:40000")}
    with pytest.raises(IllegalChoice, match=r"192\.0\.2\.1:1025 goes before it, .*parity=True"):
        take(strict, udp6(), "192.0.2.1:40000")
    assert strict.bound == set()


def test_nobody_is_asked_without_need() -> None:
    def choose(_: Candidates) -> Endpoint4:
        raise AssertionError("asked")

    replay = Replay()
    replay.forwards(udp6())
    replay.receive(udp6(to=OTHER), choose=choose)
    replay.receive(udp4(source="198.51.100.99:1"), choose=choose)
    assert len(replay.sessions) == 3


# Limits


@pytest.mark.conformance(99)
@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(bindings=2), DropReason.BINDING_LIMIT),
        (Limits(client_bindings=2), DropReason.CLIENT_BINDING_LIMIT),
        (Limits(sessions=2), DropReason.SESSION_LIMIT),
        (Limits(client_sessions=2), DropReason.CLIENT_SESSION_LIMIT),
    ],
)
def test_limits(limits: Limits, reason: DropReason) -> None:
    """Of all protocols together. What lives stays; what ends makes room."""
    replay = Replay(limits=limits)
    replay.forwards(udp6(NODE))
    replay.forwards(tcp6("S", SIBLING))
    before = replay.nat64.state(0)
    assert replay.drops(udp6(node(5))) == (reason, NOTHING_LEFT)
    assert replay.nat64.state(0) == before
    replay.forwards(udp6(NODE))
    replay.wait(240)
    replay.forwards(udp6(node(5)))


@pytest.mark.conformance(99)
def test_limits_of_a_client_are_its_own() -> None:
    replay = Replay(limits=Limits(client_bindings=1, client_sessions=1))
    replay.forwards(udp6(NODE))
    replay.forwards(udp6(STRANGER))


@pytest.mark.conformance(99)
@pytest.mark.parametrize("limits", [Limits(sessions=2), Limits(client_sessions=2)])
def test_limits_of_sessions_hold_for_the_outside_in_silence(limits: Limits) -> None:
    replay = Replay(limits=limits)
    replay.forwards(udp6())
    replay.forwards(udp4(source="198.51.100.1:1"))
    reason, error = replay.drops(udp4(source="198.51.100.2:1"))
    assert reason in (DropReason.SESSION_LIMIT, DropReason.CLIENT_SESSION_LIMIT)
    assert error is None


@pytest.mark.conformance(99)
def test_more_sessions_of_a_binding_do_not_count_as_bindings() -> None:
    replay = Replay(limits=Limits(bindings=1, client_bindings=1))
    replay.forwards(udp6(to=SERVER))
    replay.forwards(udp6(to=OTHER))
    replay.wait(200)
    replay.forwards(udp6(to=OTHER))
    replay.wait(150)
    assert len(replay.sessions) == 1
    assert replay.drops(udp6(SIBLING))[0] is DropReason.BINDING_LIMIT


@pytest.mark.conformance(99)
def test_static_bindings_do_not_count() -> None:
    static = StaticEntry(Protocol.UDP, end6(SIBLING), end4("192.0.2.1:5000"))
    replay = Replay(limits=Limits(bindings=1, client_bindings=1), static=(static,))
    replay.forwards(udp6(SIBLING))
    replay.forwards(udp6(NODE))
