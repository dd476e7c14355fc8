# SPDX-License-Identifier: Apache-2.0
"""Fragments to and from a service: in order, the first one tells the others where they go."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, in6_chksum
from scapy.utils import checksum

from sixlane.datapath.layout import SlowMark
from sixlane.net import route
from tests import needs
from tests.packets import tcp, udp
from tests.prog.translating import raised
from tests.services import Balanced
from tests.translated import (
    BACKEND_PORT,
    BACKENDS,
    CLIENTS,
    DNS,
    FAMILIES,
    IDS,
    NAT,
    VIPS,
    call,
    flow_of,
    headed,
    hop_of,
    mapped,
    parsed,
    settle,
    to_vip,
)
from tests.world import FAR_MAC, Entry, Seen

__all__ = ["raised"]  # the fixture

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
WAYS = pytest.mark.parametrize(("inside", "outside"), [(b, c) for c, b in FAMILIES])
CALLED_MAC, IN_ORDER_MAC = (
    bytes.fromhex("06360064") + mark.to_bytes(2)
    for mark in (SlowMark.SLOW_CALLED, SlowMark.SLOW_IN_ORDER)
)
DSR = replace(NAT, nat=False, pool4=None, pool6=None, nat_backends=())


@pytest.fixture
def lb(raised: Balanced) -> Balanced:
    settle(raised)
    raised.later(3)  # nobody waits for fragments
    return raised


def pieces(packet: bytes, size: int = 800) -> list[bytes]:
    """Fragments of at most `size` bytes behind the header."""
    if packet[0] >> 4 == 4:
        return [bytes(one) for one in fragment(IP(packet), size)]
    head, data = IPv6(packet[:40]), packet[40:]
    proto = head.nh
    del head.nh, head.plen
    starts = range(0, len(data), size)
    return [
        bytes(
            head
            / IPv6ExtHdrFragment(nh=proto, offset=at // 8, m=at != starts[-1], id=77)
            / data[at : at + size]
        )
        for at in starts
    ]


def whole(packets: list[bytes]) -> tuple[str, str, bytes]:
    """What becomes of fragments that arrive: source, destination and data, if they fit together."""
    data = b""
    for number, packet in enumerate(packets):
        piece = parsed(packet)
        part = piece[IPv6ExtHdrFragment] if piece.version == 6 else piece
        offset = part.offset if piece.version == 6 else part.frag
        more = part.m if piece.version == 6 else int(part.flags.MF)
        assert offset * 8 == len(data)
        assert more == (number < len(packets) - 1)
        data += packet[48 if piece.version == 6 else 20 :]
    ends = {(parsed(one).src, parsed(one).dst) for one in packets}
    ids = {
        parsed(one)[IPv6ExtHdrFragment].id if one[0] >> 4 == 6 else parsed(one).id
        for one in packets
    }
    assert len(ends) == len(ids) == 1
    return *ends.pop(), data


def is_summed(src: str, dst: str, datagram: bytes) -> bool:
    """A datagram's checksum, with that in it: 0, or the other zero."""
    if ":" in src:
        return bool(in6_chksum(17, IPv6(src=src, dst=dst), datagram) == 0)
    pseudo = IP(src=src, dst=dst).build()[12:20] + b"\0\x11" + len(datagram).to_bytes(2)
    return bool(checksum(pseudo + datagram) == 0)


def through(lb: Balanced, packet: bytes, size: int = 800) -> list[Seen]:
    """Fragments as they come back by the slow path."""
    lb.world.counted()
    return [lb.world.run(one, "tc") for one in pieces(packet, size)]


@ENTRIES
@pytest.mark.parametrize("service", [NAT, DSR], ids=["nat", "dsr"])
def test_they_are_put_in_order_first(lb: Balanced, entry: Entry, service: object) -> None:
    """The kernel behind the slow path does, and takes the hop that they are lent."""
    assert isinstance(service, type(NAT))
    lb.commit(service)
    packets = [to_vip(4, udp(1600), flags=0), to_vip(6, udp(1600))]
    if service.nat:
        lb.ring([IDS[4]])
        packets.append(call(lb, to_vip(4, udp()), entry).answer(udp(1600), flags=0))
    for packet in packets:
        assert_in_order(lb, entry, packet, CALLED_MAC)


@ENTRIES
def test_answers_to_pool6_addresses_are_put_in_order_first(lb: Balanced, entry: Entry) -> None:
    lb.commit(mapped(lb))
    lb.ring([IDS[6]])
    answer = call(lb, to_vip(4, udp()), entry).answer(udp(1600))
    assert_in_order(lb, entry, answer, IN_ORDER_MAC)


def assert_in_order(lb: Balanced, entry: Entry, packet: bytes, mac: bytes) -> None:
    lb.world.counted()
    for piece in pieces(packet):
        seen = lb.world.run(piece, entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_slow_path": 1})
        assert seen.frame[:12] == FAR_MAC + mac
        assert hop_of(seen.packet) == 62
        assert parsed(seen.packet).dst == parsed(packet).dst


@WAYS
def test_translated(lb: Balanced, inside: int, outside: int) -> None:
    lb.ring([IDS[inside]])
    lb.commit(NAT, slow=lb.world.wan.ifindex if outside == 4 else lb.world.lan.ifindex)
    data = udp(1601)
    packet = to_vip(outside, data, **({"flags": 0} if outside == 4 else {}))
    others = pieces(packet)[1:]
    lb.world.counted()
    for piece in others:
        assert lb.world.run(piece, "tc").reasons == {"drop_no_flow": 1}, "before the first one"
    seen = through(lb, packet)
    assert [one.reasons for one in seen] == [{"forward_service": 1}] * 3
    src, dst, datagram = whole([one.packet for one in seen])
    assert dst == BACKENDS[inside]
    assert UDP(datagram).dport == BACKEND_PORT and datagram[8:] == bytes(data.payload)
    assert is_summed(src, dst, datagram)
    assert {hop_of(one.packet) for one in seen} == {60}
    [flow] = lb.flows()
    assert (flow.client_port, flow.source_port) == (40000, UDP(datagram).sport)

    lb.commit(NAT, slow=lb.world.wan.ifindex if inside == 4 else lb.world.lan.ifindex)
    upper = udp(1601, sport=BACKEND_PORT, dport=UDP(datagram).sport)
    answer = headed(inside, upper, src=dst, dst=src, **({"flags": 0} if inside == 4 else {}))
    seen = through(lb, answer)
    assert [one.reasons for one in seen] == [{"forward_reply": 1}] * 3
    src, dst, datagram = whole([one.packet for one in seen])
    assert (src, dst) == (VIPS[outside], CLIENTS[outside])
    assert (UDP(datagram).sport, UDP(datagram).dport) == (DNS, 40000)
    assert is_summed(src, dst, datagram)
    lb.later(3)
    others = pieces(answer)[1:]
    for piece in others:
        assert "forward_reply" not in lb.world.run(piece, "tc").reasons, "too late"


@pytest.mark.parametrize("outside", [4, 6])
@pytest.mark.parametrize("inside", [4, 6])
def test_by_tunnel(lb: Balanced, inside: int, outside: int) -> None:
    """All of a packet to the backend of the first one, by one source."""
    lb.commit(DSR, slow=lb.world.wan.ifindex if outside == 4 else lb.world.lan.ifindex)
    for port in range(40000, 40008):
        lb.ring([IDS[inside], IDS[inside] + 2])
        packet = to_vip(outside, udp(1600, sport=port), **({"flags": 0} if outside == 4 else {}))
        first, *others = pieces(packet)
        lb.later(3)  # what was known of that id
        lb.world.counted()
        assert lb.world.run(others[0], "tc").reasons == {"drop_no_flow": 1}
        sent = [lb.world.run(first, "tc")]
        lb.ring([])
        sent += [lb.world.run(piece, "tc") for piece in others]
        assert [one.reasons for one in sent] == [{"forward_service": 1}] * 3
        outer = 20 if inside == 4 else 40
        assert len({(parsed(one.packet).src, parsed(one.packet).dst) for one in sent}) == 1
        inner = [one.packet[outer:] for one in sent]
        src, dst, datagram = whole(inner)
        assert (src, dst) == (CLIENTS[outside], VIPS[outside])
        assert datagram == packet[40 if outside == 6 else 20 :]


def test_without_a_checksum(lb: Balanced) -> None:
    """Within IPv4 it need not have one; to IPv6 the first one does not go, and so none does."""
    packet = to_vip(4, udp(1600, chksum=0), flags=0)
    lb.commit(NAT, slow=lb.world.wan.ifindex)
    lb.ring([IDS[4]])
    seen = through(lb, packet)
    assert UDP(whole([one.packet for one in seen])[2]).chksum == 0
    lb.forget()
    lb.ring([IDS[6]])
    packet = to_vip(4, udp(1600, chksum=0), flags=0, id=0x777)
    seen = through(lb, packet)
    assert seen[0].reasons.keys() == {"drop_udp_zero_checksum", "icmp_error_sent"}
    assert [one.reasons for one in seen[1:]] == [{"drop_no_flow": 1}] * 2


@ENTRIES
def test_what_else_a_backend_sends_in_pieces(lb: Balanced, entry: Entry) -> None:
    """It goes by the slow path, too, and on as it is."""
    upper = udp(1600)
    packet = headed(4, upper, src=BACKENDS[4], dst="198.41.0.4", flags=0)
    for piece in pieces(packet):
        assert lb.world.run(piece, entry).reasons == {"forward_slow_path": 1}
    lb.commit(NAT, slow=lb.world.wan.ifindex)
    assert [one.reasons for one in through(lb, packet)] == [{"forward_native": 1}] * 3


# ---- what no longer fits ----


@ENTRIES
@pytest.mark.parametrize("inside", [4, 6])
def test_a_packet_that_may_be_cut_and_does_not_fit_into_its_tunnel(
    lb: Balanced, entry: Entry, inside: int
) -> None:
    """It is cut in the slow path, into pieces of at most 1,240 bytes, which do."""
    lb.commit(DSR)
    lb.ring([IDS[inside]])
    room = 1500 - (20 if inside == 4 else 40)
    assert reasons(lb, to_vip(4, udp(room - 28), flags=0), entry) == {"forward_service"}
    packet = to_vip(4, udp(room - 27), flags=0)
    lb.world.counted()
    seen = lb.world.run(packet, entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_slow_path": 1})
    assert seen.frame[:12] == FAR_MAC + CALLED_MAC
    lb.commit(DSR, slow=lb.world.wan.ifindex)
    sent = through(lb, packet, 1216)
    assert [one.reasons for one in sent] == [{"forward_service": 1}] * 2
    sent = through(lb, to_vip(4, udp(4000), flags=0), 1480)
    assert sent[0].reasons == {"drop_too_big": 1, "icmp_error_sent": 1}, "cut by nobody"
    assert [one.reasons for one in sent[1:-1]] == [{"drop_too_big": 1}] * (len(sent) - 2)


@ENTRIES
def test_fragments_of_ipv6_that_do_not_fit(lb: Balanced, entry: Entry) -> None:
    """Who has cut them is told: nobody else may (RFC 8200 4.5)."""
    lb.commit(DSR, slow=lb.world.lan.ifindex)
    lb.ring([IDS[6]])
    sent = through(lb, to_vip(6, udp(3000)), 1448)
    assert sent[0].reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
    error = parsed(sent[0].packet)
    assert (error.payload.type, error.payload.mtu) == (2, 1460)
    assert sent[1].reasons == {"drop_too_big": 1}


@ENTRIES
def test_an_ipv4_link_that_is_too_small_for_ipv6(lb: Balanced, entry: Entry) -> None:
    """What IPv6 may always send is cut for it (RFC 7915 5.1), by a route of the slow path that has
    the next plateau below."""
    lb.ring([IDS[4]])
    call(lb, to_vip(6, tcp()), entry)
    with _small_link(lb, 1100):
        lb.world.counted()
        packet = to_vip(6, tcp(1220, flags="A"))
        seen = lb.world.run(packet, entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_slow_path": 1})
        assert seen.frame[6:12] == bytes.fromhex("06360064") + (1006).to_bytes(2)
        flow = flow_of(seen)
        sent = IP(flow.packet)
        assert (flow.backend, sent.len, sent.ttl, str(sent.flags)) == (BACKENDS[4], 1260, 61, "")
        packet = to_vip(6, tcp(1221, flags="A"))
        seen = lb.world.run(packet, entry)
        assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
        assert parsed(seen.packet).payload.mtu == 1280


@contextmanager
def _small_link(lb: Balanced, mtu: int) -> Iterator[None]:
    backend, device = IPv4Network(f"{BACKENDS[4]}/32"), lb.world.wan.ifindex
    via = IPv4Address("193.0.14.2")
    route.add(backend, via=via, dev=device, mtu=mtu, mtu_lock=True, onlink=True)
    lb.world.datapath.forget_next_hops()
    try:
        yield
    finally:
        route.remove(backend, dev=device)
        lb.world.datapath.forget_next_hops()


def reasons(lb: Balanced, packet: bytes, entry: Entry) -> set[str]:
    lb.world.counted()
    return set(lb.world.run(packet, entry).reasons)
