# SPDX-License-Identifier: Apache-2.0
"""Flows of services that are translated: how long they live, whom they stay with, what there is
room for."""

from dataclasses import replace
from ipaddress import IPv4Network, ip_address

import pytest

from sixlane.datapath.clock import jiffies_per_second
from sixlane.datapath.layout import BackendState, FlowState, SessionState
from sixlane.datapath.services import LIFETIMES
from tests import needs
from tests.index import slots_of
from tests.packets import tcp, udp
from tests.prog.translating import lb, raised
from tests.services import Balanced, raise_balanced
from tests.translated import (
    BACKEND_PORT,
    BACKENDS,
    CLIENTS,
    FAMILIES,
    IDS,
    NAT,
    OTHER_WEB,
    POOL,
    SECOND,
    TRANSLATOR,
    VIPS,
    WEB,
    call,
    changed,
    mapped,
    settle,
    to_vip,
    without_id,
)
from tests.world import Entry

__all__ = ["lb", "raised"]  # the fixtures

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
WAYS = pytest.mark.parametrize(("inside", "outside"), [(b, c) for c, b in FAMILIES])
TICK_S = 1024 / jiffies_per_second()
"""Lifetimes are rounded up to it, and a deadline may be a second old."""


def states(lb: Balanced) -> list[str]:
    return sorted(SessionState(one.word & 15).name.removeprefix("SESSION_") for one in lb.flows())


def reasons(lb: Balanced, packet: bytes, entry: Entry) -> set[str]:
    lb.world.counted()
    return set(lb.world.run(packet, entry).reasons)


# ---- ports ----


@ENTRIES
def test_a_port_that_another_flow_has(lb: Balanced, entry: Entry) -> None:
    """One client by one port to two frontends of one backend: one of the two gets another port, and
    each answer goes where it belongs."""
    lb.ring([IDS[6]])
    first = call(lb, to_vip(4, tcp()), entry)
    second = call(lb, to_vip(4, tcp(dport=OTHER_WEB)), entry)
    assert (first.source, first.source_port) == (second.source, 40000)
    assert second.source_port != 40000 and second.source_port >= 1024
    for flow, called in ((first, WEB), (second, OTHER_WEB)):
        answer = flow.answer(tcp(flags="SA"))
        wanted = changed(answer, VIPS[4], CLIENTS[4], called, 40000)
        assert without_id(lb.world.send(answer, entry).packet) == without_id(wanted)
    again = call(lb, to_vip(4, tcp(dport=OTHER_WEB, flags="A")), entry)
    assert again.source_port == second.source_port
    other = call(lb, to_vip(4, udp(sport=40000)), entry)
    assert other.source_port == 40000, "another protocol's"


@ENTRIES
def test_a_client_has_one_source(lb: Balanced, entry: Entry) -> None:
    """And all of them are used."""
    lb.ring([IDS[4]])
    by_client = {
        f"192.31.196.{n}": {
            call(lb, to_vip(4, tcp(sport=port), src=f"192.31.196.{n}"), entry).source
            for port in (1, 2, 3)
        }
        for n in range(1, 33)
    }
    assert {len(sources) for sources in by_client.values()} == {1}
    assert {ip_address(one.pop()) for one in by_client.values()} == set(POOL[4])


# ---- states and lifetimes ----


@ENTRIES
@WAYS
def test_a_connection(lb: Balanced, entry: Entry, inside: int, outside: int) -> None:
    """RFC 6146's state machine, with the client in the place of the node inside."""
    lb.ring([IDS[inside]])
    flow = call(lb, to_vip(outside, tcp()), entry)
    assert states(lb) == ["V6_INIT"]
    steps = (
        ("backend", "SA", "ESTABLISHED"),
        ("client", "A", "ESTABLISHED"),
        ("backend", "A", "ESTABLISHED"),
        ("client", "FA", "V6_FIN"),
        ("backend", "A", "V6_FIN"),
        ("backend", "FA", "BOTH_FIN"),
        ("client", "A", "BOTH_FIN"),
        ("client", "S", "V6_INIT"),  # the port is used once more
        ("backend", "SA", "ESTABLISHED"),
        ("backend", "RA", "TRANS"),
        ("client", "A", "ESTABLISHED"),
        ("client", "R", "TRANS"),
    )
    for who, flags, state in steps:
        packet = to_vip(outside, tcp(flags=flags)) if who == "client" else None
        seen = lb.world.send(packet or flow.answer(tcp(flags=flags)), entry)
        assert seen.verdict == "redirect"
        assert states(lb) == [state], (who, flags)


def test_lifetimes_of_connections(lb: Balanced) -> None:
    lb.ring([IDS[4]])
    new, open_, closing = (
        LIFETIMES[state]
        for state in (FlowState.FLOW_NEW, FlowState.FLOW_TCP, FlowState.FLOW_CLOSING)
    )
    syn, fin = to_vip(4, tcp()), to_vip(4, tcp(flags="FA"))
    flow = call(lb, syn)
    lb.later(new - 1)
    call(lb, syn)
    lb.later(new + TICK_S + 1)
    answer = flow.answer(tcp(flags="SA"))
    assert reasons(lb, answer, "xdp") == {"drop_no_flow"}, "a SYN that nobody has answered"
    call(lb, syn)
    assert lb.world.send(answer, "xdp").verdict == "redirect"
    lb.later(open_ - 1)
    assert lb.world.send(answer, "xdp").verdict == "redirect", "established"
    lb.later(open_ - 1)
    assert call(lb, to_vip(4, tcp(flags="A"))) and call(lb, fin)
    assert lb.world.send(flow.answer(tcp(flags="FA")), "xdp").verdict == "redirect"
    lb.later(closing - 1)
    assert lb.world.send(flow.answer(tcp(flags="A")), "xdp").verdict == "redirect", "closed"
    lb.later(TICK_S + 2)
    assert reasons(lb, flow.answer(tcp(flags="A")), "xdp") == {"drop_no_flow"}
    assert reasons(lb, to_vip(4, tcp(flags="A")), "xdp") == {"drop_no_flow"}


@ENTRIES
def test_lifetimes_of_datagrams(lb: Balanced, entry: Entry) -> None:
    """Of one alone it is shorter than of those that are answered."""
    lb.ring([IDS[6]])
    once, more = LIFETIMES[FlowState.FLOW_NEW], LIFETIMES[FlowState.FLOW_UDP]
    flow = call(lb, to_vip(4, udp()), entry)
    lb.later(once + TICK_S + 1)
    assert reasons(lb, flow.answer(udp()), entry) == {"drop_no_flow"}
    call(lb, to_vip(4, udp()), entry)
    assert lb.world.send(flow.answer(udp()), entry).verdict == "redirect"
    lb.later(more - 1)
    assert lb.world.send(flow.answer(udp()), entry).verdict == "redirect"
    lb.later(more + TICK_S + 1)
    assert reasons(lb, flow.answer(udp()), entry) == {"drop_no_flow"}


# ---- backends ----


@ENTRIES
@pytest.mark.parametrize("state", ["TERMINATING", "MAINTENANCE"])
def test_a_backend_that_takes_no_new_flows(lb: Balanced, entry: Entry, state: str) -> None:
    lb.ring([IDS[4]])
    flow = call(lb, to_vip(4, tcp()), entry)
    lb.world.send(flow.answer(tcp(flags="SA")), entry)
    lb.backend(
        IDS[4], ip_address(BACKENDS[4]), port=BACKEND_PORT, state=BackendState[f"BACKEND_{state}"]
    )
    lb.ring([IDS[4] + 2])
    assert call(lb, to_vip(4, tcp(flags="A")), entry).backend == BACKENDS[4]
    assert lb.world.send(flow.answer(tcp(flags="A")), entry).verdict == "redirect"
    assert call(lb, to_vip(4, tcp(flags="S")), entry).backend == SECOND[4], "a new connection"
    assert call(lb, to_vip(4, tcp(flags="A")), entry).backend == SECOND[4]
    assert len(lb.flows()) == 1
    assert reasons(lb, flow.answer(tcp(flags="A")), entry) == {"drop_no_flow"}


@ENTRIES
@pytest.mark.parametrize("state", ["QUARANTINED", "FREE"])
def test_a_backend_that_has_failed(lb: Balanced, entry: Entry, state: str) -> None:
    """Its flows end: datagrams go elsewhere, and so do connections that can go on anywhere."""
    lb.ring([IDS[6]])
    for service, upper, goes_on in (
        (NAT, tcp(flags="A"), False),
        (NAT, udp(), True),
        (mapped(lb), tcp(flags="A"), True),
    ):
        lb.forget()
        lb.commit(service)
        lb.backend(IDS[6], ip_address(BACKENDS[6]), port=BACKEND_PORT)
        lb.ring([IDS[6]])
        begins = to_vip(4, udp() if "UDP" in upper else tcp())
        flow = call(lb, begins, entry)
        lb.backend(
            IDS[6],
            ip_address(BACKENDS[6]),
            port=BACKEND_PORT,
            state=BackendState[f"BACKEND_{state}"],
        )
        lb.ring([IDS[6] + 2])
        if goes_on:
            assert call(lb, to_vip(4, upper), entry).backend == SECOND[6]
        else:
            assert reasons(lb, to_vip(4, upper), entry) == {"drop_no_flow"}
            assert call(lb, begins, entry).backend == SECOND[6]
        assert [bytes(one.backend)[-1] for one in lb.flows()] == [8], "2001:db8:64:1::8"
        answer = flow.answer(upper.copy())
        assert "forward_reply" not in reasons(lb, answer, entry)


@ENTRIES
def test_a_backend_whose_number_is_anothers_by_now(lb: Balanced, entry: Entry) -> None:
    lb.ring([IDS[4]])
    call(lb, to_vip(4, udp()), entry)
    lb.backend(IDS[4], ip_address("10.0.0.9"), port=BACKEND_PORT)
    assert call(lb, to_vip(4, udp()), entry).backend == "10.0.0.9"
    lb.backend(IDS[4], ip_address("10.0.0.9"), port=BACKEND_PORT, service=2)
    lb.ring([IDS[4] + 2])
    assert call(lb, to_vip(4, udp()), entry).backend == SECOND[4]


@ENTRIES
def test_nobody_answers(lb: Balanced, entry: Entry) -> None:
    before = lb.frontend_count(40)
    lb.world.counted()
    seen = lb.world.run(to_vip(4, tcp()), entry)
    assert seen.reasons == {"drop_no_backend": 1, "icmp_error_sent": 1}
    assert lb.frontend_count(40)[1] == before[1] + 1
    assert not lb.flows()


# ---- in the middle of a flow ----


@ENTRIES
def test_in_the_middle_of_a_connection(lb: Balanced, entry: Entry) -> None:
    """Of a pool, nobody knows its source here. As its pool6 address, a client is known anywhere."""
    lb.ring([IDS[6]])
    for flags in ("A", "PA", "FA", "R"):
        assert reasons(lb, to_vip(4, tcp(flags=flags)), entry) == {"drop_no_flow"}
    assert not lb.flows()
    lb.commit(mapped(lb))
    assert reasons(lb, to_vip(4, tcp(flags="R")), entry) == {"drop_no_flow"}
    for port, flags in ((1, "A"), (2, "PA"), (3, "FA")):
        flow = call(lb, to_vip(4, tcp(sport=port, flags=flags)), entry)
        assert flow.source_port == port
        assert lb.world.send(flow.answer(tcp(flags="A")), entry).verdict == "redirect"
    assert states(lb) == ["ESTABLISHED"] * 3


@ENTRIES
def test_affinity(lb: Balanced, entry: Entry) -> None:
    lb.commit(replace(NAT, affinity_seconds=3600))
    lb.ring([IDS[4], IDS[4] + 2] * 50)
    for n in range(1, 17):
        source = f"192.31.196.{n}"
        packets = [to_vip(4, tcp(sport=port), src=source) for port in range(40000, 40006)]
        packets += [to_vip(4, udp(sport=port), src=source) for port in range(40000, 40006)]
        assert len({call(lb, packet, entry).backend for packet in packets}) == 1
    assert len(lb.flows()) == 16 * 12


@ENTRIES
def test_who_is_let_in(lb: Balanced, entry: Entry) -> None:
    lb.commit(replace(NAT, source_ranges=(IPv4Network("192.31.196.0/25"),)))
    lb.ring([IDS[6]])
    flow = call(lb, to_vip(4, tcp()), entry)
    assert lb.world.send(flow.answer(tcp(flags="SA")), entry).verdict == "redirect"
    dropped = {"drop_source_not_allowed", "icmp_error_sent"}
    assert reasons(lb, to_vip(4, tcp(), src="192.31.196.128"), entry) == dropped
    assert reasons(lb, to_vip(6, tcp()), entry) == dropped
    assert len(lb.flows()) == 1


# ---- counters ----


@ENTRIES
def test_what_is_counted(lb: Balanced, entry: Entry) -> None:
    """Packets to backends and new flows, by frontend and by backend; answers under their reason."""
    lb.ring([IDS[6]])
    frontend, backend = lb.frontend_count(40), lb.backend_count(IDS[6])
    packets = [
        to_vip(4, tcp(sport=9)),
        to_vip(4, tcp(sport=9, flags="A")),
        to_vip(4, tcp(50, sport=10)),
    ]
    flows = [call(lb, packet, entry) for packet in packets]
    dropped = [
        to_vip(4, tcp(sport=9), ttl=1),
        to_vip(4, tcp(sport=11, flags="A")),
        to_vip(4, tcp(1441, sport=9, flags="A")),
    ]
    for packet in dropped:
        lb.world.send(packet, entry)
    lb.world.send(flows[0].answer(tcp(flags="SA")), entry)
    after, after_backend = lb.frontend_count(40), lb.backend_count(IDS[6])
    assert [new - old for new, old in zip(after, frontend, strict=True)] == [3, 3, 2]
    moved = [new - old for new, old in zip(after_backend, backend, strict=True)]
    assert moved == [3, sum(map(len, packets)), 2]


# ---- room ----


@ENTRIES
def test_a_full_table(entry: Entry) -> None:
    """What has ended makes room, in time; what lives is left alone."""
    with raise_balanced(TRANSLATOR, flows=8) as small:
        settle(small)
        small.ring([IDS[6]])
        kept = [call(small, to_vip(4, tcp(sport=port)), entry) for port in range(1, 9)]
        for flow in kept:
            assert small.world.send(flow.answer(tcp(flags="SA")), entry).verdict == "redirect"
        frontend = small.frontend_count(40)
        small.world.counted()
        for port in range(9, 13):
            seen = small.world.run(to_vip(4, tcp(sport=port)), entry)
            assert seen.reasons == {"drop_table_full": 1, "icmp_error_sent": 1}
        assert small.frontend_count(40)[1] == frontend[1] + 4
        for flow in kept:
            assert small.world.send(flow.answer(tcp(flags="A")), entry).verdict == "redirect"
        for port in (1, 2, 3):  # two of these end
            small.world.send(to_vip(4, tcp(sport=port, flags="R" if port < 3 else "A")), entry)
        small.later(LIFETIMES[FlowState.FLOW_CLOSING] + TICK_S + 1)
        assert {call(small, to_vip(4, tcp(sport=port)), entry).source_port for port in (9, 10)}
        small.world.counted()
        seen = small.world.run(to_vip(4, tcp(sport=11)), entry)
        assert seen.reasons == {"drop_table_full": 1, "icmp_error_sent": 1}
        assert sorted(one.client_port for one in small.flows()) == [3, 4, 5, 6, 7, 8, 9, 10]
        maps = small.world.datapath.maps()
        assert len(slots_of(maps["flows_in"])) == len(slots_of(maps["flows_back"])) == 8


def test_new_flows_take_out_old_ones(lb: Balanced) -> None:
    """Nobody else sweeps."""
    lb.ring([IDS[4]])
    for port in range(1, 101):
        call(lb, to_vip(4, udp(sport=port)))
    lb.later(LIFETIMES[FlowState.FLOW_UDP] + TICK_S + 1)
    for port in range(1001, 1101):
        call(lb, to_vip(4, udp(sport=port)))
    assert sorted(one.client_port for one in lb.flows()) == list(range(1001, 1101))
    maps = lb.world.datapath.maps()
    assert len(slots_of(maps["flows_in"])) == len(slots_of(maps["flows_back"])) == 100
