# SPDX-License-Identifier: Apache-2.0
"""Health checks on their way out, one at a time: which backend's tunnel they get, and as what."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6

from sixlane.bpf import SkBuff
from sixlane.datapath.layout import BackendState, CheckMark
from sixlane.datapath.services import FrontendEntry, ServiceEntry
from tests import needs
from tests.packets import ip4, ip6, ping4, ping6, tcp
from tests.prog.translating import raised
from tests.services import Balanced

__all__ = ["raised"]  # the fixture

pytestmark = [pytest.mark.prog, needs.root]

VIP4, VIP6 = "192.175.48.200", "2001:db8:64::200"
OWN4, OWN6 = "193.0.14.1", "2001:db8::1"
BACKENDS = {1: "10.0.0.1", 2: "2001:db8:64:1::7"}
WEB = ServiceEntry("web", 1, (FrontendEntry(IPv4Address(VIP4), 80, 6, 1),))
TO = {
    "tcp4": bytes(ip4(src=OWN4, dst=VIP4) / tcp(size=64)),
    "tcp6": bytes(ip6(src=OWN6, dst=VIP6) / tcp(size=64)),
    "icmp4": bytes(ip4(src=OWN4, dst=VIP4) / ping4(64)),
    "icmp6": bytes(ip6(src=OWN6, dst=VIP6) / ping6(64)),
}


@pytest.fixture
def lb(raised: Balanced) -> Balanced:
    """Two backends, and flows go to the first one."""
    raised.forget()
    raised.backend(1, IPv4Address(BACKENDS[1]))
    raised.backend(2, IPv6Address(BACKENDS[2]))
    raised.ring([1])
    raised.commit(WEB)
    raised.world.counted()
    return raised


def sent(lb: Balanced, packet: bytes, mark: int) -> tuple[int, bytes, int]:
    """Verdict, layer 3 of what leaves, and its mark."""
    frame = bytes(12) + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet
    context = bytes(SkBuff(ifindex=lb.world.wan.ifindex, mark=mark))
    program = lb.world.datapath.program("check_out")
    ran = program.run(frame, ctx=context, data_out_size=len(frame) + 256)
    return ran.retval, bytes(ran.data)[14:], SkBuff.from_buffer_copy(ran.ctx).mark


@pytest.mark.parametrize("what", TO)
@pytest.mark.parametrize("id", BACKENDS)
def test_a_check_goes_to_the_backend_of_its_mark(lb: Balanced, id: int, what: str) -> None:
    verdict, packet, mark = sent(lb, TO[what], CheckMark.CHECK_MARK | id)
    assert (verdict, mark) == (7, 0), "redirect, and the tunnel has no mark"
    assert lb.world.counted() == {"forward_check": 1}
    outer = IPv6(packet) if id == 2 else IP(packet)
    inner = packet[40 if id == 2 else 20 :]
    assert outer.dst == BACKENDS[id]
    assert (outer.nh if id == 2 else outer.proto) == (41 if what.endswith("6") else 4)
    if id == 2:
        assert IPv6Address(outer.src) in IPv6Network("100::/64")
    else:
        assert IPv4Address(outer.src) in IPv4Network("198.18.0.0/15")
    # But for the hop that was taken (and IPv4's checksum), it is what was sent.
    at = 7 if what.endswith("6") else 8
    assert inner[at] == TO[what][at] - 1
    skipped = {7} if what.endswith("6") else {8, 10, 11}
    assert [(at, one) for at, one in enumerate(inner) if at not in skipped] == [
        (at, one) for at, one in enumerate(TO[what]) if at not in skipped
    ]


@pytest.mark.parametrize("what", ["tcp4", "tcp6"])
def test_a_check_comes_from_where_its_flow_would(lb: Balanced, what: str) -> None:
    """So it meets the same queue of the backend's NIC."""
    if what == "tcp6":
        lb.commit(ServiceEntry("web", 1, (FrontendEntry(IPv6Address(VIP6), 80, 6, 1),)))
    _, packet, _ = sent(lb, TO[what], CheckMark.CHECK_MARK | 1)
    assert packet[12:16] == lb.world.send(TO[what], "tc").packet[12:16]


@pytest.mark.parametrize(
    "state",
    [
        BackendState.BACKEND_QUARANTINED,
        BackendState.BACKEND_MAINTENANCE,
        BackendState.BACKEND_TERMINATING,
    ],
)
def test_who_gets_no_flows_is_checked_all_the_same(lb: Balanced, state: BackendState) -> None:
    lb.backend(1, IPv4Address(BACKENDS[1]), state=state)
    assert sent(lb, TO["tcp4"], CheckMark.CHECK_MARK | 1)[0] == 7


@pytest.mark.parametrize("id", [3, 63, 64, 0xFFFFF], ids=["free", "last", "behind", "largest"])
def test_nobody_is_checked_by_a_number_that_nobody_has(lb: Balanced, id: int) -> None:
    assert sent(lb, TO["tcp4"], CheckMark.CHECK_MARK | id)[:2] == (2, TO["tcp4"])
    assert lb.world.counted() == {"drop_no_backend": 1}


@pytest.mark.parametrize("mark", [0, 1, 0x51400001, 0x51600001])
def test_what_has_no_mark_of_ours_ends_there(lb: Balanced, mark: int) -> None:
    assert sent(lb, TO["tcp4"], mark)[0] == 2
    assert lb.world.counted() == {}


def test_what_is_no_ip_ends_there(lb: Balanced) -> None:
    frame = bytes(12) + b"\x08\x06" + bytes(46)
    context = bytes(SkBuff(ifindex=lb.world.wan.ifindex, mark=CheckMark.CHECK_MARK | 1))
    assert lb.world.datapath.program("check_out").run(frame, ctx=context).retval == 2
