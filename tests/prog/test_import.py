# SPDX-License-Identifier: Apache-2.0
"""Sessions of another gateway: made as if packets had made them here, with the same ports."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.packet import Packet

from sixlane.datapath.imports import ImportName
from sixlane.datapath.sessions import Binding, Client, Session, StaticBinding
from tests import needs
from tests.packets import ip4, ip6, tcp, udp
from tests.prog.test_session_races import (
    EVERY as FOR_RACES,
)
from tests.prog.test_session_races import (
    REDIRECT,
    ROUNDS,
    assert_all_is_given_back,
    flows,
    race,
    sender,
)
from tests.prog.test_session_races import ROOM as ROOM_FOR_RACES
from tests.prog.test_session_views import bindings, clients, records, sessions, sweep
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
from tests.unit.rfc.vectors import OUTSIDE4, OUTSIDE6, ROUTER4, ROUTER6
from tests.world import Entry, Seen, World, raise_world

pytestmark = [pytest.mark.prog, needs.root]

PREFIX = "2001:db8:46::/96"
ONE = Session(
    "udp", POD, 5000, str(POOL[1]), 2001, OUTSIDE4, 53, PREFIX, "OPEN", 100.0
)  # of an odd port for an even one, as no packet would get it first


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, EVERY)
        yield raised


def exported(world: World) -> list[Session]:
    return [one for block in records(world).exported() for one in block]


def carry(world: World, *wanted: Session) -> list[ImportName]:
    results = world.datapath.import_sessions(wanted)
    assert results is not None
    return results


def one(world: World, **changed: Any) -> ImportName:
    (result,) = carry(world, ONE._replace(**changed))
    return result


Tables = tuple[list[Session], list[Binding], list[Client], bytes, bytes]


def tables(world: World) -> Tables:
    """All that is known of sessions, but for slots and times."""
    maps = world.datapath.maps()
    return (
        sorted(one._replace(remaining_s=0) for one in sessions(world)),
        sorted(bindings(world)),
        sorted(clients(world)),
        b"".join(values for _, values in maps["used4"].rows()),
        b"".join(values for _, values in maps["blocks4"].rows()),
    )


def made_by_packets(world: World) -> None:
    """Of each protocol and state, with blocks that are full, and bindings of several sessions."""
    for source in (POD, OTHER_POD, OTHER_NODE):
        for number in range(40):
            sent4(out(world, "tc", udp(sport=2000 + number), source))
        sent4(out(world, "tc", ICMPv6EchoRequest(id=77, data=b"there"), source))
    sent4(world.run(bytes(ip6(src=POD, dst=ROUTER6) / udp(sport=2000, dport=53)), "tc"))
    for number, flags in enumerate(("", "S", "S F", "S F<", "S F F<", "S R")):
        sent = sent4(out(world, "tc", tcp(sport=5000 + number, dport=80, flags="S")))
        for each in flags.split():
            if each.endswith("<"):
                sent4(out(world, "tc", tcp(sport=5000 + number, dport=80, flags=each[0] + "A")))
            else:
                answer = tcp(sport=80, dport=sent[TCP].sport, flags=each + "A")
                sent6(back(world, "tc", answer, sent.src))
    sent6(from_router(world, tcp(sport=80, dport=sent[TCP].sport, flags="S"), sent.src))


def from_router(world: World, upper: Packet, to: str) -> Seen:
    """From somebody whom the node has not talked to."""
    return world.run(bytes(ip4(src=ROUTER4, dst=to) / upper), "tc")


def test_all_is_as_packets_have_made_it() -> None:
    with raise_world(ROOM) as old:
        configure(old, replace(EVERY, blocks=4))
        made_by_packets(old)
        wanted, before = exported(old), tables(old)
        assert {one.prefix for one in wanted} == {PREFIX}
        assert len({(one.protocol, one.state) for one in wanted}) >= 8
    with raise_world(ROOM) as new:
        configure(new, replace(EVERY, blocks=4))
        assert set(carry(new, *wanted)) == {"made"}
        assert tables(new) == before
        for was, now in zip(sorted(wanted), sorted(exported(new)), strict=True):
            assert was.remaining_s - 5 < now.remaining_s <= was.remaining_s, was
        assert set(carry(new, *wanted)) == {"present"}
        assert tables(new) == before
        wait(new, 7440 + 240 + LATE_S)
        assert sweep(new) + sweep(new) >= len(wanted)
        assert_all_is_given_back(new)


@both
def test_packets_go_on(world: World, entry: Entry) -> None:
    """From either side first, with the ports that there were."""
    pool = str(POOL[1])
    wanted = [
        ONE,
        ONE._replace(protocol="tcp", inside_port=5001, state="ESTABLISHED", remaining_s=7000),
        ONE._replace(protocol="icmp", inside_port=77, pool_port=78, remote_port=0),
    ]
    assert carry(world, *wanted) == ["made"] * 3
    answer = sent6(back(world, entry, udp(sport=53, dport=2001), pool))
    assert (answer.dst, answer[UDP].sport, answer[UDP].dport) == (POD, 53, 5000)
    sent = sent4(out(world, entry, tcp(100, sport=5001, dport=53, flags="PA")))
    assert (sent.src, sent.dst, sent[TCP].sport) == (pool, OUTSIDE4, 2001)
    answer = sent6(back(world, entry, tcp(100, sport=53, dport=2001, flags="A"), pool))
    assert (answer.dst, answer[TCP].dport) == (POD, 5001)
    asked = sent4(out(world, entry, ICMPv6EchoRequest(id=77, data=b"there")))
    assert (asked.src, asked[ICMP].id) == (pool, 78)
    answer = sent6(back(world, entry, ICMP(type=0, id=78) / b"there", pool))
    assert answer[ICMPv6EchoReply].id == 77
    another = sent4(out(world, entry, udp(sport=5002)))
    assert (another.src, another[UDP].sport // 64) == (pool, 2001 // 64)
    assert len(sessions(world)) == 4


def test_filtering_knows_whom_it_talks_to(world: World) -> None:
    configure(world, EVERY, filter_address=True)
    assert one(world) == "made"
    asked = udp(sport=54, dport=2001)
    sent6(back(world, "tc", asked, str(POOL[1])))
    seen = from_router(world, asked, str(POOL[1]))
    assert "drop_filtered" in seen.reasons
    assert_all_is_given_back(world)


@pytest.mark.parametrize(
    ("protocol", "state", "left_s", "lives_s"),
    [
        ("udp", "OPEN", 100, 100),
        ("udp", "OPEN", 1e9, 300),
        ("icmp", "OPEN", 1e9, 60),
        ("tcp", "ESTABLISHED", 7000, 7000),
        ("tcp", "ESTABLISHED", 1e9, 7440),
        ("tcp", "V4 FIN RCV", 1e9, 7440),
        ("tcp", "V6 FIN RCV", 1e9, 7440),
        ("tcp", "V6 INIT", 1e9, 240),
        ("tcp", "V4 INIT", 1e9, 240),
        ("tcp", "V4 FIN + V6 FIN RCV", 1e9, 240),
        ("tcp", "TRANS", 1e9, 240),
        ("tcp", "TRANS", 10.5, 10.5),
    ],
)
def test_it_lives_as_long(
    world: World, protocol: Any, state: Any, left_s: float, lives_s: float
) -> None:
    remote_port = 0 if protocol == "icmp" else 53
    wanted = ONE._replace(protocol=protocol, state=state, remote_port=remote_port)
    assert carry(world, wanted._replace(remaining_s=left_s)) == ["made"]
    (found,) = sessions(world)
    assert (found.protocol, found.state) == (protocol, state)
    assert lives_s - 1 <= found.remaining_s <= lives_s + LATE_S


def test_what_has_no_time_left_ends(world: World) -> None:
    assert one(world, remaining_s=0) == "made"
    wait(world, 1)
    assert (sweep(world), sessions(world), clients(world)) == (1, [], [])


def test_what_is_not_pool4(world: World) -> None:
    """Nor a port that clients get."""
    configure(world, replace(EVERY, ports=dict.fromkeys(EVERY.ports, (1024, 60000))))
    assert one(world, pool="192.31.197.12") == "notPool4"
    assert one(world, pool_port=1023) == "notPool4"
    assert one(world, pool_port=0) == "notPool4"
    assert one(world, pool_port=60001) == "notPool4"
    assert one(world, prefix="64:ff9b::/96") == "notPool6"
    assert (sessions(world), bindings(world), clients(world)) == ([], [], [])
    assert carry(world, ONE._replace(prefix="64:ff9b::/96"), ONE) == ["notPool6", "made"]
    assert_all_is_given_back(world)


def test_clients_of_another_entry(world: World) -> None:
    """Nor of none."""
    (all_four,) = EVERY.ranges
    mine = replace(
        EVERY, clients=IPv6Network("2001:db8:64:1::/64"), ranges=[replace(all_four, count=2)]
    )
    theirs = replace(
        EVERY,
        id=1,
        name="theirs",
        clients=IPv6Network("2001:db8:64:2::/64"),
        ranges=[replace(all_four, first=POOL[2], count=2, index=2)],
    )
    configure(world, mine, others=[theirs])
    assert one(world, inside=OTHER_NODE) == "notPool4"
    assert one(world, inside="2001:db8:64:3::7") == "notPool4"
    assert one(world, pool=str(POOL[2])) == "notPool4"
    assert one(world, inside=OTHER_NODE, pool=str(POOL[2])) == "made"
    assert one(world) == "made"


def test_what_is_in_the_way_stays(world: World) -> None:
    assert one(world) == "made"
    before = tables(world)
    assert one(world, inside_port=5001) == "conflict"  # the port is taken
    assert one(world, pool_port=2003) == "conflict"  # the session has another one
    assert one(world, pool_port=2003, remote_port=54) == "conflict"  # and so has the binding
    for port in (2001, 4001):  # the client's address
        assert one(world, pool=str(POOL[2]), inside_port=5001, pool_port=port) == "conflict"
    assert one(world, inside=OTHER_NODE, pool_port=2003) == "conflict"  # it is a client's block
    assert tables(world) == before
    assert one(world, remote_port=54) == "made"
    assert one(world, inside=OTHER_NODE, pool_port=2048) == "made"
    assert_all_is_given_back(world)


def test_one_endpoint_called_under_two_prefixes(world: World) -> None:
    """Of two sessions that look the same from outside, the first stays."""
    assert one(world) == "made"
    maps = world.datapath.maps()
    raw = bytearray(maps["sessions"].lookup(bytes(4)) or b"")
    raw[39] += 1  # as if it were another one's; what follows finds it from outside alone
    maps["sessions"].update(bytes(4), bytes(raw))
    assert one(world) == "conflict"


def test_limits_hold(world: World) -> None:
    configure(world, replace(EVERY, blocks=2, max_sessions=4))
    ports = (2001, 2100, 2200)
    wanted = [ONE._replace(inside_port=port, pool_port=port) for port in ports]
    assert carry(world, *wanted) == ["made", "made", "limited"]
    more = [wanted[0]._replace(remote_port=port) for port in range(3)]
    assert carry(world, *more) == ["made", "made", "limited"]
    assert (len(sessions(world)), len(bindings(world))) == (4, 2)
    assert one(world, inside=OTHER_NODE, pool_port=2200) == "made"
    assert_all_is_given_back(world)


def test_the_last_session_takes_the_binding_along(world: World) -> None:
    """Those that were imported on one binding hold it, each of them."""
    assert one(world) == "made"
    assert one(world, remote_port=54, remaining_s=10) == "made"
    wait(world, 10 + LATE_S)
    assert sweep(world) == 1
    answer = sent6(back(world, "tc", udp(sport=53, dport=2001), str(POOL[1])))
    assert answer[UDP].dport == 5000
    assert [(one.sessions, one.pool_port) for one in bindings(world)] == [(1, 2001)]
    assert one(world, inside_port=5001, pool_port=2001, remote_port=55) == "conflict"
    assert_all_is_given_back(world)


def test_no_room() -> None:
    with raise_world(replace(ROOM, sessions=2, bindings=4, clients=4)) as world:
        configure(world, EVERY)
        wanted = [ONE._replace(remote_port=port) for port in range(3)]
        assert carry(world, *wanted) == ["made", "made", "noRoom"]
        assert [(one.sessions, one.bindings) for one in clients(world)] == [(2, 1)]
        assert_all_is_given_back(world)
        bound = [ONE._replace(inside_port=port, pool_port=port) for port in range(2000, 2005)]
        assert "noRoom" in carry(world, *bound)
        assert_all_is_given_back(world)


BOUND = StaticBinding("tcp", IPv6Address(POD), 8443, POOL[1], 443, 0)


def on_static(**changed: Any) -> Session:
    kept = ONE._replace(protocol="tcp", inside_port=8443, pool_port=443, state="ESTABLISHED")
    return kept._replace(**changed)


def test_static_bindings(world: World) -> None:
    """Sessions on them are carried, and outlive none of them."""
    assert carry(world, on_static()) == ["notPool4"]
    world.datapath.bind_static(BOUND)
    assert carry(world, on_static(), on_static(remote_port=54)) == ["made", "made"]
    answer = sent6(back(world, "tc", tcp(sport=53, dport=443, flags="A"), str(POOL[1])))
    assert (answer.dst, answer[TCP].dport) == (POD, 8443)
    assert [(one.sessions, one.static) for one in bindings(world)] == [(2, True)]
    assert carry(world, on_static(inside_port=1, remote_port=55)) == ["notPool4"]
    world.datapath.bind_static(BOUND, wanted=False)
    assert_all_is_given_back(world)


def test_a_static_binding_keeps_its_port(world: World) -> None:
    world.datapath.bind_static(BOUND._replace(pool_port=2001))
    before = tables(world)
    assert carry(world, on_static(inside_port=1, pool_port=2001)) == ["conflict"]
    assert carry(world, on_static(pool_port=2003)) == ["conflict"]
    assert tables(world) == before


def test_a_first_block_without_ports_is_in_nobodys_way(world: World) -> None:
    """Who is only called has a block, any one: whoever had that before gets it."""
    configure(world, replace(EVERY, blocks=1))
    other_bound = BOUND._replace(inside=IPv6Address(OTHER_NODE), pool_port=444)
    for bound in (BOUND, other_bound):
        world.datapath.bind_static(bound)
    held = {one.prefix: one.blocks[0][0] for one in clients(world)}
    mine, other = held["2001:db8:64:1::/64"], held["2001:db8:64:2::/64"]
    assert mine != other
    assert one(world, pool_port=other) == "made"  # the client's own first one goes, the other's too
    assert {one.prefix: one.blocks for one in clients(world)} == {
        "2001:db8:64:1::/64": ((other, other + 63),),
        "2001:db8:64:2::/64": (),
    }
    assert one(world, inside=OTHER_NODE, pool_port=other + 1) == "conflict"
    assert one(world, inside=OTHER_NODE, pool_port=mine) == "made"
    nobodys = next(port for port in (2048, 2112, 2176) if port not in (mine, other))
    assert one(world, inside_port=5001, pool_port=nobodys) == "limited"
    for bound in (BOUND, other_bound):
        world.datapath.bind_static(bound, wanted=False)
    assert_all_is_given_back(world)


def test_without_tables() -> None:
    with raise_world(ROOM) as world:
        assert world.datapath.import_sessions([ONE]) is None


def test_more_than_fit_at_once(world: World) -> None:
    """The program takes some thousands at a time."""
    wanted = [ONE._replace(remote_port=port) for port in range(4096)] + [ONE]
    assert carry(world, *wanted) == ["made"] * 4096 + ["present"]


needs_two = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU alone")


def importer(world: World, wanted: Sequence[Session]) -> Any:
    def carry_one(turn: int) -> tuple[int, bytes]:
        (result,) = carry(world, wanted[turn])
        return CODES.index(result), b""

    return carry_one


CODES: list[ImportName] = ["made", "present", "conflict", "noRoom", "limited", "notPool4"]


@needs_two
def test_packets_of_the_same_flows_meanwhile() -> None:
    """Whoever is first: a session and a binding each, and the packet is sent. Its port may be
    another one then."""
    with raise_world(ROOM_FOR_RACES) as world:
        configure(world, FOR_RACES)
        packets = flows()
        wanted = [
            ONE._replace(
                inside=packet.src,
                inside_port=2000 + turn % 256,
                pool="192.31.197.8",
                pool_port=1024 + turn // 256 * 512 + turn % 256,
                remote_port=packet[UDP].dport,
            )
            for turn, packet in enumerate(packets)
        ]
        sent, carried = race(ROUNDS, sender(world, packets), importer(world, wanted))
        assert {one.verdict for one in sent} == {REDIRECT}
        told = {CODES[one.verdict] for one in carried}
        assert "made" in told and told <= {"made", "present", "conflict", "noRoom"}, told
        ends = {(one.inside, one.inside_port) for one in sessions(world)}
        assert len(sessions(world)) == len(bindings(world)) == len(ends) == ROUNDS
        kept = {(one.inside, one.inside_port): one.pool_port for one in sessions(world)}
        for session, result in zip(wanted, carried, strict=True):
            if CODES[result.verdict] == "made":
                assert kept[session.inside, session.inside_port] == session.pool_port
        assert_all_is_given_back(world)


@needs_two
def test_packets_of_the_same_clients_meanwhile() -> None:
    """Ports and blocks that both want: no port has two owners, and no block."""
    with raise_world(ROOM_FOR_RACES) as world:
        few = dict.fromkeys(FOR_RACES.ports, (1024, 1024 + 64 * 64 - 1))
        configure(world, replace(FOR_RACES, ports=few))
        packets = [
            ip6(src=f"2001:db8:64:{turn // 64:x}::7", dst=OUTSIDE6) / udp(8, sport=2000 + turn % 16)
            for turn in range(ROUNDS)
        ]
        wanted = [
            ONE._replace(
                inside=packet.src,
                inside_port=9000 + turn % 64,
                pool="192.31.197.8",
                pool_port=1024 + turn,
            )
            for turn, packet in enumerate(packets)
        ]
        sent, carried = race(ROUNDS, sender(world, packets), importer(world, wanted))
        assert {one.verdict for one in sent} == {REDIRECT}
        assert {CODES[one.verdict] for one in carried} <= {"made", "conflict", "noRoom"}
        ports = [(one.pool_port) for one in bindings(world)]
        assert len(ports) == len(set(ports)) == len(sessions(world))
        owners: dict[int, str] = {}
        for client in clients(world):
            for first, _ in client.blocks:
                assert owners.setdefault(first, client.prefix) == client.prefix
        for session in sessions(world):
            block = session.pool_port // 64 * 64
            assert owners[block].startswith(session.inside.removesuffix("7").removesuffix(":"))
        assert_all_is_given_back(world)
