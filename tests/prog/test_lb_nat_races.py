# SPDX-License-Identifier: Apache-2.0
"""Two CPUs that make, find and take out the same translated flows at once."""

import os
from collections.abc import Iterator

import pytest

from sixlane.datapath import layout
from sixlane.datapath.layout import FlowState, SlotsIndex
from sixlane.datapath.services import LIFETIMES
from tests import needs
from tests.index import slots_of
from tests.packets import ip6, udp
from tests.prog.test_lb_nat_flows import TICK_S
from tests.prog.test_session_races import NOWHERE, REDIRECT, ROUNDS, Sent, race, sender, slots
from tests.services import Balanced, raise_balanced
from tests.translated import CLIENTS, DNS, IDS, NAT, TRANSLATOR, VIPS, call, settle, to_vip

pytestmark = [
    pytest.mark.prog,
    needs.root,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU alone"),
]


@pytest.fixture
def lb() -> Iterator[Balanced]:
    with raise_balanced(TRANSLATOR, flows=2 * ROUNDS + 64) as raised:
        settle(raised)
        raised.ring([IDS[4], IDS[4] + 2] * 50)
        yield raised


def both(lb: Balanced) -> tuple[list[Sent], list[Sent]]:
    """The first packet of a flow, at once, in each round."""
    packets = [
        ip6(src=CLIENTS[6], dst=VIPS[6]) / udp(8, sport=2000 + turn, dport=DNS)
        for turn in range(ROUNDS)
    ]
    one, other = race(ROUNDS, sender(lb.world, packets), sender(lb.world, packets))
    return one, other


def assert_slots(lb: Balanced, alive: int) -> None:
    """Each slot is a flow's or free, and free once."""
    maps = lb.world.datapath.maps()
    used, free = slots(lb.world, SlotsIndex.SLOTS_FLOWS, maps["nat_flows"], layout.NatFlow)
    assert len(free) == len(set(free))
    assert used - len(free) == alive == len(lb.flows())
    for name in ("flows_in", "flows_back"):
        assert len(slots_of(maps[name])) == alive, name


def test_one_flow(lb: Balanced) -> None:
    """Whoever comes second, or at the same time, gets the same source, port and backend; and it is
    counted as one."""
    frontends = [one.id for one in NAT.frontends]
    before = sum(lb.frontend_count(id)[2] for id in frontends)
    one, other = both(lb)
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    assert not differing, f"{len(differing)} of {ROUNDS}, {differing[0]}"
    assert {sent.verdict for sent in one} == {REDIRECT}
    assert NOWHERE not in {sent.end for sent in one}
    assert_slots(lb, ROUNDS)
    assert sum(lb.frontend_count(id)[2] for id in frontends) - before == ROUNDS


def test_flows_that_have_ended(lb: Balanced) -> None:
    """Both find what is over, and make one that is not."""
    both(lb)
    lb.later(LIFETIMES[FlowState.FLOW_UDP] + TICK_S + 1)
    one, other = both(lb)
    lost = [pair for pair in zip(one, other, strict=True) if pair[0].verdict != REDIRECT]
    assert not lost
    differing = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
    assert not differing, f"{len(differing)} of {ROUNDS}, {differing[0]}"
    assert_slots(lb, ROUNDS)
    lb.later(LIFETIMES[FlowState.FLOW_UDP] + TICK_S + 1)
    for port in range(ROUNDS + 32):  # two slots each: all of them, once
        call(lb, to_vip(4, udp(8, sport=1000 + port)))
    assert {one.client_port for one in lb.flows()} == set(range(1000, 1000 + ROUNDS + 32))
    assert_slots(lb, ROUNDS + 32)
