# SPDX-License-Identifier: Apache-2.0
"""`trace` of packets of a translated service: what would become of them, and nothing changed."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from sixlane.datapath.layout import BackendState
from tests import needs
from tests.packets import tcp, udp
from tests.prog.test_lb_nat_errors import arrives, error, unreachable
from tests.prog.test_trace import Tracer, begin
from tests.prog.translating import lb
from tests.services import Balanced, raise_balanced
from tests.translated import (
    BACKEND_PORT,
    BACKENDS,
    CLIENTS,
    IDS,
    SECOND,
    TRANSLATOR,
    VIPS,
    call,
    hop_of,
    parsed,
    to_vip,
)
from tests.world import Entry

__all__ = ["lb"]  # the fixture

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
TABLES = ("nat_flows", "flows_in", "flows_back", "flow_slots", "flow_sweeps", "flow_cache", "parts")
PER_CPU = ("counters", "frontend_stats", "backend_stats", "buckets")


@pytest.fixture(scope="module")
def raised() -> Iterator[Balanced]:
    with raise_balanced(TRANSLATOR) as balanced:
        begin(balanced.world.datapath)
        yield balanced


def content(lb: Balanced) -> dict[str, object]:
    maps = lb.world.datapath.maps()
    return {name: list(maps[name].items()) for name in TABLES} | {
        name: list(maps[name].items_per_cpu()) for name in PER_CPU
    }


def after(told: dict[str, Any]) -> bytes:
    return bytes.fromhex(told["after"]["hex"])[14:]


@ENTRIES
def test_nothing_is_changed(lb: Balanced, entry: Entry) -> None:
    lb.ring([IDS[6]])
    ask = Tracer(lb.world, entry)
    flow = call(lb, to_vip(4, tcp()), entry)
    lb.later(60)
    packets = [
        to_vip(4, tcp()),  # known
        to_vip(4, tcp(flags="FA")),
        flow.answer(tcp(flags="SA")),
        flow.answer(tcp(flags="R")),
        to_vip(4, tcp(sport=7)),  # new
        to_vip(6, udp()),
        to_vip(4, tcp(sport=8, flags="A")),  # of nobody
        to_vip(4, tcp(), ttl=1),
        error(unreachable(6), flow.packet, BACKENDS[6], flow.source),
    ]
    before = content(lb)
    told = ask.packets(*packets)
    assert [one["reasons"][0] for one in told] == [
        *["forward_service", "forward_service", "forward_reply", "forward_reply"],
        *["forward_service", "forward_service", "drop_no_flow", "drop_ttl_expired"],
        "forward_reply",
    ]
    assert content(lb) == before
    lb.later(3600)  # what has ended is found, and stays
    ask.packets(packets[0])
    assert content(lb) == before


@ENTRIES
def test_what_would_leave_is_what_leaves(lb: Balanced, entry: Entry) -> None:
    lb.ring([IDS[6]])
    ask = Tracer(lb.world, entry)
    packet = to_vip(4, tcp())
    [told] = ask.packets(packet)
    assert told["reasons"] == ["forward_service"]
    flow = call(lb, packet, entry)
    assert after(told) == flow.packet
    problem = error(unreachable(6), flow.packet, BACKENDS[6], flow.source)
    call_told, reply_told, error_told = ask.packets(packet, flow.answer(tcp(flags="SA")), problem)
    assert after(call_told) == flow.packet, "now that it is known"
    assert (parsed(after(reply_told)).src, parsed(after(reply_told)).dst) == (VIPS[4], CLIENTS[4])
    got, hop = after(error_told), hop_of(flow.packet)
    assert got == arrives(got, problem, unreachable(4), packet, hop, VIPS[4], CLIENTS[4])


@ENTRIES
def test_a_flow_that_would_go_elsewhere(lb: Balanced, entry: Entry) -> None:
    lb.ring([IDS[6]])
    ask = Tracer(lb.world, entry)
    call(lb, to_vip(4, udp()), entry)
    failed = BackendState.BACKEND_QUARANTINED
    lb.backend(IDS[6], ip_address(BACKENDS[6]), port=BACKEND_PORT, state=failed)
    lb.ring([IDS[6] + 2])
    assert parsed(after(ask.packets(to_vip(4, udp()))[0])).dst == SECOND[6]
    lb.later(3600)
    assert parsed(after(ask.packets(to_vip(4, udp()))[0])).dst == SECOND[6]
    assert len(lb.flows()) == 1
