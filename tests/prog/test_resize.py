# SPDX-License-Identifier: Apache-2.0
"""The kernel refuses to make a packet longer: it is dropped and counted as that, and told of.

By tc, as of a packet of segments the kernel knows of no kind (as it does of fraglist GRO); by XDP,
as metadata takes all the room in front of the frame.
"""

from dataclasses import replace

import pytest
from scapy.layers.inet import IPOption_NOP

from sixlane.datapath.layout import Reason
from tests import needs
from tests.packets import ip4, tcp
from tests.prog.test_pipeline import EDGE
from tests.prog.translating import lb, raised
from tests.services import Balanced
from tests.translated import IDS, NAT, to_vip
from tests.world import Entry, Seen, World

__all__ = ["lb", "raised"]  # the fixtures

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["tc", pytest.param("xdp", marks=needs.xdp_metadata)])
MANY = 10_000_000
SEGMENT = 100
LONG = tcp(2 * SEGMENT, flags="A")
OPTIONS = [IPOption_NOP()] * 4
"""Of IPv4: beyond the bare header, the kernel changes no length of segments it does not know."""


def refused(world: World, packet: bytes, entry: Entry) -> Seen:
    if entry == "tc":
        return world.run(packet, entry, gso_bytes=SEGMENT)
    return world.run(packet, entry, meta_bytes=needs.NO_HEADROOM)


FAILED = ("drop", {"drop_resize_failed": 1})


@ENTRIES
def test_translation(world: World, entry: Entry) -> None:
    world.configure(EDGE)
    packet = bytes(ip4(options=OPTIONS) / LONG)
    with world.datapath.events(MANY) as reader:
        seen = refused(world, packet, entry)
        assert (seen.verdict, seen.reasons) == FAILED
        (event,) = reader.read(10)
    assert (event.reason, event.entry) == (Reason.DROP_RESIZE_FAILED, entry)
    assert world.run(packet, entry).reasons == {"forward_46": 1}, "it is the kernel that refuses"


@ENTRIES
@pytest.mark.parametrize("inside", [4, 6])
@pytest.mark.parametrize("outside", [4, 6])
def test_tunnel(lb: Balanced, entry: Entry, inside: int, outside: int) -> None:
    """Of a new flow, and of one that goes on: the frontend dropped it, no backend had it."""
    lb.commit(replace(NAT, nat=False, pool4=None, pool6=None, nat_backends=()))
    lb.ring([IDS[inside]])
    packet = to_vip(outside, LONG)
    for had in (0, 1):
        frontend, backend = lb.frontend_count(outside * 10), lb.backend_count(IDS[inside])
        seen = refused(lb.world, packet, entry)
        assert (seen.verdict, seen.reasons) == FAILED
        after, after_backend = lb.frontend_count(outside * 10), lb.backend_count(IDS[inside])
        assert (after[0] - frontend[0], after[1] - frontend[1]) == (0, 1), had
        assert after_backend[:2] == backend[:2]
        assert lb.world.run(packet, entry).reasons == {"forward_service": 1}


@ENTRIES
def test_translated_service(lb: Balanced, entry: Entry) -> None:
    lb.ring([IDS[6]])
    packet = to_vip(4, tcp(2 * SEGMENT, flags="S"), options=OPTIONS)
    for _ in ("new", "goes on"):
        seen = refused(lb.world, packet, entry)
        assert (seen.verdict, seen.reasons) == FAILED
        assert lb.world.run(packet, entry).reasons == {"forward_service": 1}
