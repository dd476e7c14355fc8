# SPDX-License-Identifier: Apache-2.0
"""Clocks that jump: deadlines are jiffies, which no setting of the time of day moves; and whatever
they did, no session hides another one."""

import pytest
from scapy.layers.inet import UDP

from tests import needs
from tests.packets import udp
from tests.prog.test_sessions import LATE_S, back, both, out, sent4, sent6, wait
from tests.prog.test_sessions import world as world
from tests.world import Entry, World

pytestmark = [pytest.mark.prog, needs.root]

_DAY_S = 86_400


@both
@pytest.mark.parametrize("days", [1, 365, 36_500])
def test_forwards(world: World, entry: Entry, days: int) -> None:
    """All has ended, is not let in any more, and all that it had is had again."""
    ports = {sent4(out(world, entry, udp(sport=2000 + n)))[UDP].sport for n in range(128)}
    assert len(ports) == 128  # all that a client may have
    pool = sent4(out(world, entry, udp(sport=2000))).src
    wait(world, days * _DAY_S)
    seen = back(world, entry, udp(sport=53, dport=min(ports)), pool)
    assert seen.reasons == {"drop_no_binding": 1}
    world.datapath.sweep_sessions(0, 256)
    assert not world.datapath.taken()
    again = {sent4(out(world, entry, udp(sport=3000 + n)))[UDP].sport for n in range(128)}
    assert len(again) == 128


@both
def test_backwards(world: World, entry: Entry) -> None:
    """What lives goes on; a packet is what decides until when."""
    wait(world, _DAY_S)
    sent = sent4(out(world, entry, udp(sport=5000)))
    wait(world, -_DAY_S / 2)
    sent6(back(world, entry, udp(sport=53, dport=sent[UDP].sport), sent.src))
    assert sent4(out(world, entry, udp(sport=5000)))[UDP].sport == sent[UDP].sport
    assert sent4(out(world, entry, udp(sport=5001)))[UDP].sport != sent[UDP].sport
    wait(world, 300 + LATE_S)
    seen = back(world, entry, udp(sport=53, dport=sent[UDP].sport), sent.src)
    assert seen.reasons == {"drop_no_binding": 1}
