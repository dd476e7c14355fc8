# SPDX-License-Identifier: Apache-2.0
"""How many flows backends have, and what is counted of them, by what packets have left."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest
from scapy.packet import Packet

from sixlane.datapath.clock import flow_tick_shift
from sixlane.datapath.counters import Counter
from sixlane.datapath.layout import BackendState
from sixlane.datapath.service_counters import clear_drops
from sixlane.datapath.services import FrontendEntry, ServiceEntry, ticks_of
from tests import needs, translated
from tests.packets import ip4, tcp, udp
from tests.services import Balanced, raise_balanced

pytestmark = [pytest.mark.prog, needs.root]

VIP = "192.175.48.200"
WEB, DNS = FrontendEntry(IPv4Address(VIP), 80, 6, 1), FrontendEntry(IPv4Address(VIP), 53, 17, 2)
SERVICE = ServiceEntry("web", 1, (WEB, DNS))
HOUR = 3600


@pytest.fixture(scope="module")
def raised() -> Iterator[Balanced]:
    with raise_balanced(translated.TRANSLATOR) as balanced:
        yield balanced


@pytest.fixture
def lb(raised: Balanced) -> Balanced:
    """A service whose ring names backend 1 alone, and another one beside it."""
    raised.forget()
    for id in (1, 2):
        raised.backend(id, IPv4Address(f"10.0.0.{id}"))
    raised.backend(3, IPv4Address("10.0.0.3"), service=2)
    raised.ring([1])
    raised.commit(SERVICE)
    return raised


@contextmanager
def later(lb: Balanced, seconds: int) -> Iterator[None]:
    """In whole ticks, and one more."""
    clock = lb.world.datapath.maps()["clock_offset"]
    ticks = ticks_of(seconds) + 1
    clock.update(bytes(4), (ticks << flow_tick_shift()).to_bytes(8, "little"))
    try:
        yield
    finally:
        clock.update(bytes(4), bytes(8))


def send(lb: Balanced, upper: Packet, **fields: object) -> None:
    assert lb.world.send(bytes(ip4(**({"dst": VIP} | fields)) / upper), "xdp").verdict == "redirect"


def flows(lb: Balanced, affinity: int = 0) -> list[int]:
    """Of backends 1, 2 and 3."""
    by_service = {1: ticks_of(affinity)} if affinity else {}
    return [int(one) for one in lb.world.datapath.flows_by_backend(by_service)[1:4]]


def test_a_flow_from_its_first_packet_to_its_last(lb: Balanced) -> None:
    assert flows(lb) == [0, 0, 0]
    send(lb, tcp(flags="S"))
    assert flows(lb) == [1, 0, 0]
    with later(lb, 30):
        assert flows(lb) == [0, 0, 0], "a SYN that nothing followed, though it is remembered"
    send(lb, tcp(flags="A"))
    with later(lb, 30):
        assert flows(lb) == [1, 0, 0]
    with later(lb, 3 * HOUR):
        assert flows(lb) == [0, 0, 0]
    send(lb, tcp(flags="FA"))
    assert flows(lb) == [1, 0, 0], "the other end may go on"
    with later(lb, 30):
        assert flows(lb) == [0, 0, 0]


def test_each_backend_has_its_own(lb: Balanced) -> None:
    for port in range(40000, 40005):
        send(lb, udp(sport=port))
    lb.ring([2])
    for port in range(41000, 41003):
        for flags in ("S", "A"):
            send(lb, tcp(sport=port, flags=flags))
    assert flows(lb) == [5, 3, 0]


@pytest.mark.parametrize(
    ("state", "number"),
    [
        (BackendState.BACKEND_ACTIVE, 1),
        (BackendState.BACKEND_TERMINATING, 1),
        (BackendState.BACKEND_MAINTENANCE, 1),
        (BackendState.BACKEND_QUARANTINED, 0),
        (BackendState.BACKEND_FREE, 0),
    ],
)
def test_who_keeps_flows(lb: Balanced, state: BackendState, number: int) -> None:
    send(lb, tcp())
    lb.backend(1, IPv4Address("10.0.0.1"), state=state)
    assert flows(lb) == [number, 0, 0]


def test_clients_of_a_service_with_affinity(lb: Balanced) -> None:
    lb.commit(ServiceEntry("web", 1, (WEB, DNS), affinity_seconds=HOUR))
    for client in (1, 2):
        for port in range(40000, 40003):
            send(lb, tcp(sport=port), src=f"192.31.196.{client}")
    assert flows(lb, affinity=HOUR) == [2, 0, 0]
    with later(lb, HOUR // 2):
        assert flows(lb, affinity=HOUR) == [2, 0, 0]
        assert flows(lb, affinity=60) == [0, 0, 0], "each service has a time of its own"
    assert flows(lb) == [0, 0, 0], "of one whose flows are kept elsewhere"


def test_translated_flows(lb: Balanced) -> None:
    translated.settle(lb)
    id = translated.IDS[4]
    lb.ring([id])
    already = flows(lb)

    def more() -> int:
        return flows(lb)[id - 1] - already[id - 1]

    first = [tcp(sport=port, dport=translated.WEB, flags="S") for port in (42001, 42002, 42003)]
    opened = [lb.world.send(translated.to_vip(4, one), "xdp") for one in first]
    assert more() == 3
    answer = translated.flow_of(opened[0]).answer(tcp(flags="SA"))
    assert lb.world.send(answer, "xdp").verdict == "redirect"
    with later(lb, HOUR):
        assert more() == 1, "one was answered"
    send(lb, tcp(sport=42001, dport=translated.WEB, flags="R"), src=translated.CLIENTS[4])
    assert more() == 2, "it was reset, and is remembered"
    lb.backend(id, IPv4Address("10.0.0.99"))
    assert flows(lb)[id - 1] == 0, "they were another's"


def test_what_is_counted(lb: Balanced) -> None:
    drops = lb.world.datapath.maps()["frontend_drops"]
    clear_drops(drops)
    before = lb.world.datapath.service_counters()
    packet = ip4(dst=VIP) / tcp(flags="S")
    size = len(bytes(packet))
    for flags in ("S", "A", "A"):
        send(lb, tcp(flags=flags))
    lb.ring([])
    for port in (1, 2):
        lb.world.send(bytes(ip4(dst=VIP) / tcp(sport=port, flags="S")), "xdp")
    lb.world.send(bytes(ip4(dst=VIP, ttl=1) / tcp(flags="A")), "tc")
    after = lb.world.datapath.service_counters()

    then, now = before.frontend(1), after.frontend(1)
    assert now.forwarded.packets - then.forwarded.packets == 3
    assert now.forwarded.bytes - then.forwarded.bytes == 3 * size
    assert now.flows - then.flows == 1
    assert now.dropped.packets - then.dropped.packets == 3
    assert now.drops == {
        "drop_no_backend": Counter(2, 2 * size),
        "drop_ttl_expired": Counter(1, size),
    }
    assert after.backend(1).forwarded.packets - before.backend(1).forwarded.packets == 3
    assert after.backend(1).flows - before.backend(1).flows == 1
    assert after.frontend(2) == before.frontend(2)
    assert after.backend(2) == before.backend(2)

    clear_drops(drops, {2})
    assert lb.world.datapath.service_counters().frontend(1).drops == now.drops
    clear_drops(drops, {1, 2})
    assert lb.world.datapath.service_counters().frontend(1).drops == {}
