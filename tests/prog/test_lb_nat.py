# SPDX-License-Identifier: Apache-2.0
"""Services that are translated: the bytes of what goes to a backend and of what comes back."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from tests import needs
from tests.packets import ping4, ping6, tcp, udp
from tests.prog.translating import lb, raised
from tests.services import Balanced
from tests.translated import (
    BACKEND_PORT,
    BACKENDS,
    CLIENTS,
    DNS,
    FAMILIES,
    IDS,
    MAPPED_CLIENT,
    NAT,
    OTHER_WEB,
    POOL,
    VIPS,
    WEB,
    call,
    changed,
    flow_of,
    headed,
    mapped,
    parsed,
    to_vip,
    upper_of,
    without_id,
)
from tests.world import FAR_MAC, NEAR_MAC, Entry

__all__ = ["lb", "raised"]  # the fixtures

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
WAYS = pytest.mark.parametrize(("inside", "outside"), [(b, c) for c, b in FAMILIES])


def uppers() -> list[Packet]:
    return [tcp(64), udp(33), tcp(0, flags="S", options=[("MSS", 1460)])]


# ---- bytes ----


@ENTRIES
@WAYS
def test_there_and_back(lb: Balanced, entry: Entry, inside: int, outside: int) -> None:
    lb.ring([IDS[inside]])
    for upper in uppers():
        packet = to_vip(outside, upper)
        seen = lb.world.run(packet, entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_service": 1})
        flow = flow_of(seen)
        assert ip_address(flow.source) in POOL[inside]
        assert (flow.backend, flow.backend_port) == (BACKENDS[inside], BACKEND_PORT)
        assert flow.source_port == 40000, "the client's, which nobody else has"
        wanted = changed(packet, flow.source, BACKENDS[inside], 40000, BACKEND_PORT)
        if inside == outside == 4:
            assert seen.packet == wanted
        assert without_id(seen.packet) == without_id(wanted)
        assert seen.frame[12:14] == (b"\x08\x00" if inside == 4 else b"\x86\xdd")

        answer = flow.answer(upper.copy())
        seen = lb.world.run(answer, entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_reply": 1})
        called = DNS if UDP in upper else WEB
        wanted = changed(answer, VIPS[outside], CLIENTS[outside], called, 40000)
        assert without_id(seen.packet) == without_id(wanted)


@ENTRIES
def test_a_client_that_is_seen_as_its_pool6_address(lb: Balanced, entry: Entry) -> None:
    lb.commit(mapped(lb))
    lb.ring([IDS[6]])
    for upper in uppers():
        packet = to_vip(4, upper)
        seen = lb.world.run(packet, entry)
        assert seen.reasons == {"forward_service": 1}
        assert seen.packet == changed(packet, MAPPED_CLIENT, BACKENDS[6], 40000, BACKEND_PORT)
        answer = flow_of(seen).answer(upper.copy())
        seen = lb.world.run(answer, entry)
        assert seen.reasons == {"forward_reply": 1}
        wanted = changed(answer, VIPS[4], CLIENTS[4], DNS if UDP in upper else WEB, 40000)
        assert without_id(seen.packet) == without_id(wanted)


@ENTRIES
def test_who_has_no_such_address(lb: Balanced, entry: Entry) -> None:
    """A client of IPv6 has no pool6 address, a backend of IPv4 could not answer to one, and without
    a pool of the backend's family there is nothing."""
    lb.commit(mapped(lb))
    for backend, client in ((6, 6), (4, 4), (4, 6)):
        lb.ring([IDS[backend]])
        seen = lb.world.run(to_vip(client, tcp()), entry)
        assert seen.reasons == {"drop_source_not_mappable": 1, "icmp_error_sent": 1}
    lb.commit(replace(NAT, pool4=None))
    lb.ring([IDS[4]])
    seen = lb.world.run(to_vip(4, tcp()), entry)
    assert seen.reasons == {"drop_source_not_mappable": 1, "icmp_error_sent": 1}
    assert not lb.flows()


@ENTRIES
def test_the_port_that_was_called_is_kept(lb: Balanced, entry: Entry) -> None:
    lb.backend(IDS[6], ip_address(BACKENDS[6]))
    lb.ring([IDS[6]])
    for upper, port in ((tcp(), WEB), (tcp(dport=OTHER_WEB), OTHER_WEB), (udp(), DNS)):
        assert call(lb, to_vip(6, upper), entry).backend_port == port


@ENTRIES
def test_extension_headers_and_options(lb: Balanced, entry: Entry) -> None:
    """Within a family they stay, the other one does not have them."""
    options = b"\x01\x01\x01\x00"
    packet = to_vip(4, tcp(8), options=options)
    lb.ring([IDS[4]])
    flow = call(lb, packet, entry)
    assert flow.packet[20:24] == options
    assert IP(flow.packet).ihl == 6
    whole = IP(flow.packet[:24])
    whole.chksum = None
    assert bytes(whole) == flow.packet[:24]
    lb.forget()
    lb.ring([IDS[6]])
    flow = call(lb, packet, entry)
    plain = to_vip(4, tcp(8))
    assert flow.packet == changed(plain, flow.source, BACKENDS[6], 40000, BACKEND_PORT)


# ---- checksums ----


@ENTRIES
def test_a_udp_checksum_of_zero(lb: Balanced, entry: Entry) -> None:
    """Within IPv4 it stays; IPv6 has none (RFC 8200 8.1), and nobody sums up for us here."""
    packet = to_vip(4, udp(chksum=0))
    lb.ring([IDS[4]])
    flow = call(lb, packet, entry)
    assert flow.packet == changed(packet, flow.source, BACKENDS[4], 40000, BACKEND_PORT)
    assert UDP(flow.packet[20:]).chksum == 0
    answer = flow.answer(udp(chksum=0))
    assert lb.world.send(answer, entry).packet == changed(answer, VIPS[4], CLIENTS[4], DNS, 40000)
    lb.forget()
    lb.ring([IDS[6]])
    lb.world.counted()
    seen = lb.world.run(packet, entry)
    assert seen.reasons == {"drop_udp_zero_checksum": 1, "icmp_error_sent": 1}
    assert parsed(seen.packet).src == VIPS[4]
    assert not lb.flows(), "what is dropped is no flow"


@ENTRIES
@WAYS
def test_a_udp_checksum_that_comes_out_as_zero(
    lb: Balanced, entry: Entry, inside: int, outside: int
) -> None:
    """It is sent as 0xffff (RFC 768). The data is chosen: its last two bytes are what was left."""
    lb.ring([IDS[inside]])
    probe = to_vip(outside, UDP(sport=40000, dport=DNS) / (b"\0" * 8))
    left = UDP(call(lb, probe, entry).packet[40 if inside == 6 else 20 :]).chksum
    data = b"\0" * 6 + left.to_bytes(2)
    flow = call(lb, to_vip(outside, UDP(sport=40000, dport=DNS) / data), entry)
    assert UDP(flow.packet[40 if inside == 6 else 20 :]).chksum == 0xFFFF


@pytest.mark.parametrize("outside", [4, 6])
@pytest.mark.parametrize("inside", [4, 6])
def test_a_gso_packet(lb: Balanced, inside: int, outside: int) -> None:
    """It is as large as its segments: header, 20 bytes of TCP and 1,500 in all."""
    lb.ring([IDS[inside]])
    room = 1500 - 20 - (40 if inside == 6 else 20)
    flow = call(lb, to_vip(outside, tcp()), "tc")
    lb.world.counted()
    fits = to_vip(outside, tcp(2 * room, flags="A"))
    seen = lb.world.run(fits, "tc", gso_bytes=room)
    assert seen.reasons == {"forward_service": 1}
    wanted = changed(fits, flow.source, BACKENDS[inside], 40000, BACKEND_PORT)
    assert without_id(seen.packet) == without_id(wanted)
    seen = lb.world.run(to_vip(outside, tcp(2 * room + 2, flags="A")), "tc", gso_bytes=room + 1)
    assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}


# ---- sizes ----


@ENTRIES
@WAYS
def test_what_does_not_fit(lb: Balanced, entry: Entry, inside: int, outside: int) -> None:
    """Links of 1,500 bytes; what IPv6 adds to IPv4 is 20."""
    lb.ring([IDS[inside]])
    flow = call(lb, to_vip(outside, tcp()), entry)
    lb.world.counted()
    told = 1500 + {(4, 6): 20, (6, 4): -20}.get((inside, outside), 0)
    header = len(to_vip(outside, tcp()))
    fits = to_vip(outside, tcp(told - header, flags="A"))
    assert lb.world.run(fits, entry).reasons == {"forward_service": 1}
    seen = lb.world.run(to_vip(outside, tcp(told - header + 1, flags="A")), entry)
    assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
    assert_too_big(seen.packet, VIPS[outside], CLIENTS[outside], told)

    told = 1500 + {(6, 4): 20, (4, 6): -20}.get((inside, outside), 0)
    header = len(flow.answer(tcp()))
    fits = flow.answer(tcp(told - header, flags="A"))
    assert lb.world.run(fits, entry).reasons == {"forward_reply": 1}
    seen = lb.world.run(flow.answer(tcp(told - header + 1, flags="A")), entry)
    assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
    assert_too_big(seen.packet, flow.source, BACKENDS[inside], told)


def assert_too_big(packet: bytes, src: str, dst: str, mtu: int) -> None:
    error = parsed(packet)
    assert (error.src, error.dst) == (src, dst)
    if error.version == 4:
        assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, mtu)
    else:
        assert (error.payload.type, error.payload.code, error.payload.mtu) == (2, 0, mtu)


@ENTRIES
@pytest.mark.parametrize("inside", [4, 6])
def test_what_may_be_cut_is_cut(lb: Balanced, entry: Entry, inside: int) -> None:
    """By the kernel behind the slow path; then all are fragments. The hop it takes is lent."""
    lb.ring([IDS[inside]])
    size = 1501 if inside == 4 else 1261
    for fits in (True, False):
        packet = to_vip(4, udp(size - 28 - fits), flags=0)
        seen = lb.world.run(packet, entry)
        if fits:
            assert seen.reasons == {"forward_service": 1}
            continue
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_slow_path": 1})
        assert seen.frame[:12] == FAR_MAC + NEAR_MAC
        assert seen.packet == to_vip(4, udp(size - 28), flags=0, ttl=62)


# ---- MSS ----


@ENTRIES
@WAYS
@pytest.mark.parametrize("before", [[], ["NOP"], ["NOP"] * 2], ids=len)
def test_segments_offered(
    lb: Balanced, entry: Entry, inside: int, outside: int, before: list[str]
) -> None:
    lb.commit(replace(NAT, max_segment_bytes=1300))
    lb.ring([IDS[inside]])
    for offered, left in ((1299, 1299), (1300, 1300), (1460, 1300)):
        options = [*((kind, None) for kind in before), ("MSS", offered), ("WScale", 7)]
        wanted = [*((kind, None) for kind in before), ("MSS", left), ("WScale", 7)]
        flow = call(lb, to_vip(outside, tcp(flags="S", options=options)), entry)
        asked = to_vip(outside, tcp(flags="S", options=wanted))
        left_as = changed(asked, flow.source, BACKENDS[inside], 40000, BACKEND_PORT)
        assert without_id(flow.packet) == without_id(left_as)
        seen = lb.world.send(flow.answer(tcp(flags="SA", options=options)), entry)
        asked = flow.answer(tcp(flags="SA", options=wanted))
        left_as = changed(asked, VIPS[outside], CLIENTS[outside], WEB, 40000)
        assert without_id(seen.packet) == without_id(left_as)
    late = to_vip(outside, tcp(flags="A", options=[("MSS", 1460)]))
    assert dict(upper_of(call(lb, late, entry).packet).options)["MSS"] == 1460


# ---- what goes nowhere ----


@ENTRIES
@WAYS
def test_the_last_hop(lb: Balanced, entry: Entry, inside: int, outside: int) -> None:
    lb.ring([IDS[inside]])
    last = "ttl" if outside == 4 else "hlim"
    seen = lb.world.run(to_vip(outside, tcp(), **{last: 1}), entry)
    assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
    assert (parsed(seen.packet).src, parsed(seen.packet).dst) == (VIPS[outside], CLIENTS[outside])
    assert not lb.flows()
    flow = call(lb, to_vip(outside, tcp()), entry)
    before = [bytes(one) for one in lb.flows()]
    lb.world.counted()
    last = "ttl" if inside == 4 else "hlim"
    seen = lb.world.run(flow.answer(tcp(flags="SA"), **{last: 1}), entry)
    assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
    assert parsed(seen.packet).dst == BACKENDS[inside]
    assert [bytes(one) for one in lb.flows()] == before, "it has not come by"


@ENTRIES
@pytest.mark.parametrize("inside", [4, 6])
def test_to_what_clients_are_seen_as(lb: Balanced, entry: Entry, inside: int) -> None:
    """There is no flow, whatever comes; nothing of it reaches the host, and nobody is told."""
    lb.ring([IDS[inside]])
    flow = call(lb, to_vip(inside, tcp()), entry)
    lb.world.counted()
    for upper in (tcp(flags="A"), udp(), ping4() if inside == 4 else ping6()):
        packet = headed(inside, upper, src=BACKENDS[inside], dst=str(POOL[inside][3]))
        seen = lb.world.run(packet, entry)
        assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_flow": 1})
    stranger = headed(
        inside,
        tcp(sport=BACKEND_PORT, dport=40000, flags="SA"),
        src="10.9.9.9" if inside == 4 else "2001:db8:9::9",
        dst=flow.source,
    )
    assert lb.world.run(stranger, entry).reasons == {"drop_no_flow": 1}
    for sport, dport in ((BACKEND_PORT + 1, 40000), (BACKEND_PORT, 40001)):
        upper = tcp(sport=sport, dport=dport, flags="SA")
        other = headed(inside, upper, src=BACKENDS[inside], dst=flow.source)
        assert lb.world.run(other, entry).reasons == {"drop_no_flow": 1}
    wrong = udp(sport=BACKEND_PORT, dport=40000)
    other = headed(inside, wrong, src=BACKENDS[inside], dst=flow.source)
    assert lb.world.run(other, entry).reasons == {"drop_no_flow": 1}


@ENTRIES
def test_what_else_a_backend_sends(lb: Balanced, entry: Entry) -> None:
    """It goes where it would without services."""
    lb.ring([IDS[6]])
    call(lb, to_vip(6, tcp()), entry)
    lb.world.counted()
    for packet in (
        headed(6, tcp(sport=BACKEND_PORT, dport=40000), src=BACKENDS[6], dst="2001:db8:7::7"),
        headed(4, udp(), src=BACKENDS[4], dst="198.41.0.4"),
        headed(6, ping6(), src=BACKENDS[6], dst="2001:db8:7::7"),
    ):
        seen = lb.world.run(packet, entry)
        assert (seen.verdict, seen.reasons) == ("pass", {"pass_not_ours": 1})
        assert seen.packet == packet


@ENTRIES
def test_a_backend_calls_its_own_service(lb: Balanced, entry: Entry) -> None:
    """And is chosen itself: it hears of itself by a source of ours, and so its answer comes by."""
    for family in (4, 6):
        lb.ring([IDS[family]])
        packet = to_vip(family, tcp(), src=BACKENDS[family])
        flow = call(lb, packet, entry)
        assert ip_address(flow.source) in POOL[family]
        wanted = changed(packet, flow.source, BACKENDS[family], 40000, BACKEND_PORT)
        assert without_id(flow.packet) == without_id(wanted)
        answer = flow.answer(tcp(flags="SA"))
        seen = lb.world.send(answer, entry)
        wanted = changed(answer, VIPS[family], BACKENDS[family], WEB, 40000)
        assert without_id(seen.packet) == without_id(wanted)


@ENTRIES
@WAYS
def test_a_frontend_calls_nobody(lb: Balanced, entry: Entry, inside: int, outside: int) -> None:
    """Whoever takes a frontend's address and port for his own: the answer would be a call, and its
    answer another one. To another port of that address the answer is no call."""
    lb.ring([IDS[inside]])
    loops = (
        udp(sport=DNS, dport=DNS),
        tcp(sport=WEB, dport=WEB),
        tcp(sport=OTHER_WEB, dport=WEB),
    )
    for upper in loops:
        seen = lb.world.run(to_vip(outside, upper, src=VIPS[outside]), entry)
        assert (seen.verdict, seen.reasons) == ("drop", {"drop_illegal_source": 1})
    assert not lb.flows()
    for upper in (udp(sport=WEB), tcp(sport=DNS), tcp(sport=40000)):
        flow = call(lb, to_vip(outside, upper, src=VIPS[outside]), entry)
        lb.world.counted()
        seen = lb.world.run(flow.answer(upper), entry)
        assert seen.reasons == {"forward_reply": 1}
        assert "forward_service" not in lb.world.run(seen.packet, entry).reasons


@ENTRIES
def test_vlan_tags_stay(lb: Balanced, entry: Entry) -> None:
    if entry == "tc":  # the kernel keeps the tag in the skb
        return
    lb.ring([IDS[6]])
    tag = bytes.fromhex("81000007")
    header = lb.world.wan.mac + bytes.fromhex("02bb00000001") + tag + b"\x08\x00"
    seen = lb.world.run(to_vip(4, tcp()), entry, link_header=header)
    assert seen.reasons == {"forward_service": 1}
    assert seen.frame[12:18] == tag + b"\x86\xdd"
    flow = IPv6(seen.frame[18:])
    packet = to_vip(4, tcp())
    assert seen.frame[18:] == changed(packet, flow.src, BACKENDS[6], 40000, BACKEND_PORT)
    assert flow[TCP].dport == BACKEND_PORT
