# SPDX-License-Identifier: Apache-2.0
"""What the views tell of sessions, bindings and clients that packets have made."""

import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest

from sixlane.agent.gateway import GatewayPart
from sixlane.agent.sweeper import STEP_S, Sweep, Sweeper
from sixlane.datapath.sessions import (
    ANY,
    Binding,
    Client,
    Session,
    SessionRecords,
    Use,
    Wanted,
)
from tests import needs
from tests.index import INDICES, slots_of
from tests.packets import tcp, udp
from tests.prog.test_sessions import (
    EVERY,
    LATE_S,
    OTHER_NODE,
    OTHER_POD,
    POD,
    POOL,
    ROOM,
    back,
    configure,
    fragments6,
    out,
    sent4,
    wait,
)
from tests.unit.rfc.vectors import OUTSIDE4
from tests.world import World, raise_world

pytestmark = [pytest.mark.prog, needs.root]


@pytest.fixture
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        configure(raised, EVERY)
        yield raised


def records(world: World) -> SessionRecords:
    found = world.datapath.session_records({EVERY.id: EVERY.name}, clients=True, pools=True)
    assert found is not None
    return found


def sessions(world: World, wanted: Wanted = ANY, limit: int | None = None) -> list[Session]:
    return [one for block in records(world).sessions(wanted, limit) for one in block]


def bindings(world: World, wanted: Wanted = ANY) -> list[Binding]:
    return [one for block in records(world).bindings(wanted) for one in block]


def clients(world: World, wanted: Wanted = ANY) -> list[Client]:
    return [one for block in records(world).clients(wanted) for one in block]


def sweep(world: World) -> int:
    return world.datapath.sweep_sessions(0, world.datapath.session_slots()).ended


def no_send(packet: bytes) -> None:
    raise AssertionError(f"sent {packet.hex()}")


def swept_at(world: World) -> int:
    """When the agent last swept, in jiffies; 0: never."""
    return int.from_bytes(
        (world.datapath.maps()["sweepings"].lookup(bytes(4)) or b"")[:8], "little"
    )


def test_they_tell_what_packets_made(world: World) -> None:
    assert sessions(world) == [] and bindings(world) == [] and clients(world) == []
    made = [
        sent4(out(world, "tc", udp(sport=5001, dport=53))),
        sent4(out(world, "tc", udp(sport=5001, dport=123))),
        sent4(out(world, "tc", tcp(sport=5002, dport=443, flags="S"), OTHER_POD)),
        sent4(out(world, "tc", ICMPv6EchoRequest(id=77), OTHER_NODE)),
    ]
    ports = [made[0][UDP].sport, made[1][UDP].sport, made[2][TCP].sport, made[3][ICMP].id]
    pool = [packet.src for packet in made]
    assert [one._replace(remaining_s=0) for one in sessions(world)] == [
        Session("udp", POD, 5001, pool[0], ports[0], OUTSIDE4, 53, "edge", "OPEN", 0),
        Session("udp", POD, 5001, pool[1], ports[0], OUTSIDE4, 123, "edge", "OPEN", 0),
        Session("tcp", OTHER_POD, 5002, pool[2], ports[2], OUTSIDE4, 443, "edge", "V6 INIT", 0),
        Session("icmp", OTHER_NODE, 77, pool[3], ports[3], OUTSIDE4, 0, "edge", "OPEN", 0),
    ]
    assert [one.remaining_s for one in sessions(world)] == pytest.approx([302, 302, 242, 62], abs=1)
    assert bindings(world) == [
        Binding("udp", POD, 5001, pool[0], ports[0], 2, False),
        Binding("tcp", OTHER_POD, 5002, pool[2], ports[2], 1, False),
        Binding("icmp", OTHER_NODE, 77, pool[3], ports[3], 1, False),
    ]


def test_clients_and_their_blocks(world: World) -> None:
    ports = set()
    for n in range(70):  # more than a block of 64
        ports.add(sent4(out(world, "xdp", udp(sport=2000 + n))).sport)
    other = sent4(out(world, "xdp", udp(sport=5001), OTHER_NODE))
    first, second = sorted(clients(world), key=lambda one: -one.sessions)
    assert (first.prefix, first.pool, first.bindings, first.sessions) == (
        "2001:db8:64:1::/64",
        "default",
        70,
        70,
    )
    assert [last - low for low, last in first.blocks] == [63, 63]
    held = {port for low, last in first.blocks for port in range(low, last + 1)}
    assert ports < held
    assert second.prefix == "2001:db8:64:2::/64"
    assert second.address == other.src
    ((low, last),) = second.blocks
    assert low <= other.sport <= last
    use = {str(one.address): one for one in records(world).pool_use()}
    assert list(use) == [str(POOL[n]) for n in range(4)]
    total = {name: sum(one.ports[name].used for one in use.values()) for name in ("udp", "tcp")}
    assert total == {"udp": 71, "tcp": 0}
    assert sum(one.blocks.used for one in use.values()) == 3
    assert use[second.address].ports["udp"].room == 65535 - 1024 + 1
    assert use[second.address].blocks.room == 1024, "ICMP identifiers begin at 0"
    assert records(world).fill() == {
        "sessions": Use(71, 4096),
        "bindings": Use(71, 4096),
        "clients": Use(2, 256),
        "syns": Use(0, 1024),
        "filters4": Use(0, 4096),
        "fragments": Use(0, 4096),
    }


def test_peers_and_fragments_fill_tables(world: World) -> None:
    configure(world, EVERY, slow=world.lan.ifindex, filter_address=True)
    for number in range(3):
        sent4(out(world, "tc", udp(sport=2000 + number, dport=53)))
    fill = records(world).fill()
    assert (fill["filters4"], fill["fragments"]) == (Use(3, 4096), Use(0, 4096))
    first, _ = fragments6(udp(1600, sport=2000))
    world.run(first, "tc")
    fill = records(world).fill()
    assert (fill["filters4"], fill["fragments"]) == (Use(3, 4096), Use(1, 4096))


def test_states_by_their_names(world: World) -> None:
    """All that TCP goes through (RFC 6146 3.5.2.2), and what is counted of it."""

    def state() -> str:
        (one,) = sessions(world)
        assert records(world).count() == {("tcp", one.state): 1}
        return one.state

    sent = sent4(out(world, "tc", tcp(sport=5000, dport=80, flags="S")))
    assert state() == "V6 INIT"
    back(world, "tc", tcp(sport=80, dport=sent.sport, flags="SA"), sent.src)
    assert state() == "ESTABLISHED"
    assert sessions(world)[0].remaining_s == pytest.approx(7442, abs=1)
    out(world, "tc", tcp(sport=5000, dport=80, flags="FA"))
    assert state() == "V6 FIN RCV"
    back(world, "tc", tcp(sport=80, dport=sent.sport, flags="FA"), sent.src)
    assert state() == "V4 FIN + V6 FIN RCV"
    wait(world, 240 + LATE_S)
    sent = sent4(out(world, "tc", tcp(sport=5000, dport=80, flags="S")))
    back(world, "tc", tcp(sport=80, dport=sent.sport, flags="SA"), sent.src)
    back(world, "tc", tcp(sport=80, dport=sent.sport, flags="FA"), sent.src)
    assert state() == "V4 FIN RCV"
    out(world, "tc", tcp(sport=5000, dport=80, flags="FA"))
    wait(world, 240 + LATE_S)
    sent = sent4(out(world, "tc", tcp(sport=5000, dport=80, flags="S")))
    back(world, "tc", tcp(sport=80, dport=sent.sport, flags="SA"), sent.src)
    out(world, "tc", tcp(sport=5000, dport=80, flags="R"))
    assert state() == "TRANS"
    wait(world, 240 + LATE_S)
    sent4(out(world, "tc", udp(sport=5002)))  # holds the client's address
    sent = sent4(out(world, "tc", tcp(sport=5000, dport=80, flags="S")))
    back(world, "tc", tcp(sport=81, dport=sent.sport, flags="S"), sent.src)
    assert sorted(one.state for one in sessions(world)) == ["OPEN", "V4 INIT", "V6 INIT"]


def test_what_has_ended_is_not_told(world: World) -> None:
    sent4(out(world, "tc", ICMPv6EchoRequest(id=77)))
    sent4(out(world, "tc", udp(sport=5001)))
    wait(world, 55)
    assert [round(one.remaining_s) for one in sessions(world)] == [7, 247]
    wait(world, 5 + LATE_S)
    assert [one.protocol for one in sessions(world)] == ["udp"]
    assert [one.protocol for one in bindings(world)] == ["udp"]
    assert records(world).count() == {("udp", "OPEN"): 1}
    assert records(world).fill()["sessions"].used == 2, "until it is swept"


def test_a_sweep_gives_all_back(world: World) -> None:
    for n in range(100):
        sent4(out(world, "tc", udp(sport=2000 + n)))
        sent4(out(world, "tc", tcp(sport=2000 + n, dport=80, flags="S"), OTHER_NODE))
    assert sweep(world) == 0 and len(sessions(world)) == 200
    wait(world, 240 + LATE_S)
    assert sweep(world) == 100
    assert {one.protocol for one in sessions(world)} == {"udp"}
    assert [one.prefix for one in clients(world)] == ["2001:db8:64:1::/64"]
    wait(world, 60)
    assert sweep(world) == 100 and sweep(world) == 0
    assert sessions(world) == [] and bindings(world) == [] and clients(world) == []
    assert {use.used for use in records(world).fill().values()} == {0}
    for one in records(world).pool_use():
        assert one.blocks.used == 0 and {use.used for use in one.ports.values()} == {0}
    maps = world.datapath.maps()
    for name in INDICES:
        assert slots_of(maps[name]) == [], name
    assert list(maps["clients"].items()) == []
    for name in ("ports4", "used4", "blocks4"):
        assert not any(any(values) for _, values in maps[name].rows()), name
    for n in range(100):  # and all of it can be had again, from the same slots
        sent4(out(world, "tc", udp(sport=2000 + n)))
    assert world.datapath.session_slots() == 200


def test_slots_are_swept_by_number(world: World) -> None:
    for n in range(10):
        sent4(out(world, "tc", udp(sport=2000 + n)))
    wait(world, 300 + LATE_S)
    assert world.datapath.sweep_sessions(2, 3).ended == 3
    assert world.datapath.sweep_sessions(0, 3).ended == 2
    assert world.datapath.sweep_sessions(5, 4096).ended == 5


def test_a_sweep_tells_that_the_agent_is_there(world: World) -> None:
    """Until then, whoever makes a session sweeps a few slots; then nobody does but the agent."""
    for n in range(4):
        sent4(out(world, "tc", udp(sport=2000 + n)))
    wait(world, 300 + LATE_S)
    sent4(out(world, "tc", udp(sport=3000)))
    assert records(world).fill()["sessions"].used == 1
    assert swept_at(world) == 0, "to look is not to sweep"
    assert world.datapath.sweep_sessions(4095, 1).ended == 0
    assert swept_at(world) > 0
    wait(world, 300 + LATE_S)
    sent4(out(world, "tc", udp(sport=3001)))
    assert records(world).fill()["sessions"].used == 2


def test_the_agents_round(world: World) -> None:
    for n in range(100):
        sent4(out(world, "tc", udp(sport=2000 + n)))
    wait(world, 300 + LATE_S)
    seconds = [0.0]
    round_ = Sweep(world.datapath, no_send, lambda: seconds[0])
    for _ in range(20):
        assert round_.step()
        seconds[0] += STEP_S
    assert records(world).fill()["sessions"].used == 40, "half of the round"
    for _ in range(20):
        round_.step()
        seconds[0] += STEP_S
    assert records(world).fill()["sessions"].used == 0


def test_the_agent_sweeps_and_looks(world: World) -> None:
    nothing: Any = None  # is remembered of devices, as none is attached to
    part = GatewayPart(world.datapath.root, nothing)
    assert part.session_records() is None and part.session_slots() == 0
    assert part.sweep_sessions(0, 1).ended == 0, "there is no data path yet"
    part._datapath = world.datapath
    for n in range(3):
        sent4(out(world, "tc", udp(sport=2000 + n)))
    found = part.session_records(clients=True)
    assert found is not None and found.count() == {("udp", "OPEN"): 3}
    wait(world, 300 + LATE_S)
    sweeper = Sweeper(part)
    try:
        until = time.monotonic() + 20
        while found.fill()["sessions"].used and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        sweeper.close()
    assert found.fill()["sessions"].used == 0
    assert swept_at(world) > 0


def test_filters(world: World) -> None:
    sent = sent4(out(world, "tc", udp(sport=5001, dport=53)))
    sent4(out(world, "tc", tcp(sport=5002, dport=443, flags="S"), OTHER_POD))
    other = sent4(out(world, "tc", udp(sport=5003, dport=53), OTHER_NODE))

    def ports(wanted: Wanted) -> list[int]:
        found = [one.inside_port for one in sessions(world, wanted)]
        assert sum(records(world).count(wanted).values()) == len(found)
        return found

    assert ports(Wanted(protocol="udp")) == [5001, 5003]
    assert ports(Wanted(inside=IPv6Network(POD))) == [5001]
    assert ports(Wanted(inside=IPv6Network("2001:db8:64:1::/64"))) == [5001, 5002]
    assert ports(Wanted(inside=IPv6Network("2001:db8:64::/47"))) == [5001, 5002, 5003]
    assert ports(Wanted(pool=IPv4Address(other.src), inside=IPv6Network(OTHER_NODE))) == [5003]
    assert ports(Wanted(pool=IPv4Address("192.31.197.12"))) == []
    assert ports(Wanted(remote=IPv4Network(OUTSIDE4))) == [5001, 5002, 5003]
    assert ports(Wanted(remote=IPv4Network("192.31.197.0/24"))) == []
    assert ports(Wanted(port=443)) == [5002]
    assert 5001 in ports(Wanted(port=sent.sport)), "another address may lend the same port"
    assert ports(Wanted(port=5003)) == [5003]
    assert ports(Wanted(state="V6 INIT")) == [5002]
    assert ports(Wanted(state="OPEN", port=53, protocol="tcp")) == []
    assert [one.inside_port for one in sessions(world, limit=2)] == [5001, 5002]
    assert 5001 in [one.inside_port for one in bindings(world, Wanted(port=sent.sport))]
    assert bindings(world, Wanted(port=443)) == []
    found = clients(world, Wanted(inside=IPv6Network(POD)))
    assert [one.prefix for one in found] == ["2001:db8:64:1::/64"]
    assert len(clients(world, Wanted(inside=IPv6Network("2001:db8:64::/47")))) == 2
    found = clients(world, Wanted(pool=IPv4Address(other.src)))
    assert "2001:db8:64:2::/64" in [one.prefix for one in found]


def test_clients_with_the_most_first(world: World) -> None:
    for n in range(3):
        sent4(out(world, "tc", udp(sport=5001, dport=53 + n)))
    for n in range(2):
        sent4(out(world, "tc", udp(sport=6000 + n), OTHER_NODE))
    (by_sessions,) = records(world).clients(order="sessions")
    assert [(one.bindings, one.sessions) for one in by_sessions] == [(1, 3), (2, 2)]
    (by_bindings,) = records(world).clients(order="bindings", limit=1)
    assert [(one.bindings, one.sessions) for one in by_bindings] == [(2, 2)]


def test_without_pool4_there_is_nothing() -> None:
    from tests.unit.rfc.vectors import TRANSLATOR

    with raise_world() as world:
        assert world.datapath.session_records() is None
        world.configure(TRANSLATOR)
        assert world.datapath.session_records() is None
        assert world.datapath.session_slots() == 0


def test_they_outlive_the_data_path(world: World) -> None:
    sent4(out(world, "tc", udp(sport=5001)))
    kept = records(world)
    world.datapath.close()
    assert [one.inside_port for block in kept.sessions() for one in block] == [5001]


def test_what_was_established_is_in_trans_when_its_time_is_over(world: World) -> None:
    """Whether or not somebody has swept."""
    sent = sent4(out(world, "tc", tcp(sport=5002, dport=443, flags="S")))
    assert back(world, "tc", tcp(sport=443, dport=sent[TCP].sport, flags="SA"), sent.src)
    assert [one.state for one in sessions(world)] == ["ESTABLISHED"]
    wait(world, 7440 + LATE_S)
    for _ in range(2):
        (one,) = sessions(world, Wanted(state="TRANS"))
        assert one.remaining_s == pytest.approx(240, abs=3)
        assert records(world).count() == {("tcp", "TRANS"): 1}
        assert [one.sessions for one in bindings(world)] == [1]
        sweep(world)
    wait(world, 240)
    assert sessions(world) == []


def test_syns_that_wait_are_counted(world: World) -> None:
    for number in range(3):
        back(world, "xdp", tcp(sport=80, dport=40001 + number, flags="S"), str(POOL[0]))
    assert records(world).fill()["syns"] == Use(3, 1024)
    assert sessions(world) == [], "they have no inside end"
    wait(world, 6.1)
    assert records(world).fill()["syns"] == Use(0, 1024)
