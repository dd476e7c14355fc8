# SPDX-License-Identifier: Apache-2.0
"""ICMP errors about what a service has translated: whom they reach, and what they quote."""

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)
from scapy.packet import Packet, Raw

from tests import needs
from tests.packets import CLIENT, tcp, udp
from tests.prog.translating import lb, raised
from tests.services import Balanced
from tests.translated import (
    BACKENDS,
    CLIENTS,
    FAMILIES,
    IDS,
    MAPPED_CLIENT,
    POOL,
    VIPS,
    Flow,
    call,
    headed,
    hop_of,
    mapped,
    parsed,
    to_vip,
)
from tests.world import Entry

__all__ = ["lb", "raised"]  # the fixtures

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
WAYS = pytest.mark.parametrize(("inside", "outside"), [(b, c) for c, b in FAMILIES])
ROUTERS = {4: "192.31.196.77", 6: "2001:db8:9::9"}


def unreachable(family: int) -> Packet:
    """Port unreachable, in either family."""
    return ICMP(type=3, code=3) if family == 4 else ICMPv6DestUnreach(code=4)


def too_big(family: int, mtu: int) -> Packet:
    return ICMP(type=3, code=4, nexthopmtu=mtu) if family == 4 else ICMPv6PacketTooBig(mtu=mtu)


def expired(family: int) -> Packet:
    return ICMP(type=11, code=0) if family == 4 else ICMPv6TimeExceeded()


def error(kind: Packet, quote: bytes, src: str, dst: str) -> bytes:
    return headed(6 if ":" in dst else 4, kind / Raw(quote), src=src, dst=dst)


def arrives(
    got: bytes, error: bytes, kind: Packet, quoted: bytes, hop: int, src: str, dst: str
) -> bytes:
    """The error as RFC 7915 has it, or as a router hands it on within a family. `quoted`: the
    packet in error as it was sent by whom the error is for; it had `hop` left. Ids of what becomes
    IPv4 are made up: they are those of `got`."""
    v6, to_v6 = error[0] >> 4 == 6, ":" in dst
    inner: IP | IPv6
    if to_v6:
        inner = IPv6(quoted[:40])
        inner.hlim, inner.fl = hop, inner.fl if v6 else 0
        flow = 0x54321 if v6 else 0
        return bytes(
            IPv6(src=src, dst=dst, tc=0x2E, hlim=60, fl=flow) / kind / bytes(inner) / quoted[40:]
        )
    inner = IP(quoted[:20])
    inner.ttl, inner.chksum = hop, None
    outer = IP(src=src, dst=dst, tos=0x2E, ttl=60, id=0x1234, flags="DF")
    if v6:
        inner.id, inner.flags = IP(got[28:]).id, "DF" if inner.len > 1260 else 0
        outer.id, outer.flags = IP(got).id, 0
    return bytes(outer / kind / bytes(inner) / quoted[20:])


def reply_of(lb: Balanced, flow: Flow, upper: Packet) -> tuple[bytes, bytes]:
    """A packet of the backend, and what its client gets."""
    answer = flow.answer(upper)
    sent = lb.world.send(answer, "xdp").packet
    lb.world.counted()
    return answer, sent


# ---- whom they reach ----


@ENTRIES
@WAYS
@pytest.mark.parametrize("upper", [tcp(100, flags="A"), udp(51)], ids=["tcp", "udp"])
@pytest.mark.parametrize("kept", [None, 8], ids=["whole", "eight"])
def test_about_a_reply(
    lb: Balanced, entry: Entry, inside: int, outside: int, upper: Packet, kept: int | None
) -> None:
    """It goes to the backend, from what the client is seen as there. Of what is quoted, at least
    eight bytes are behind the header: the ports, and no checksum of TCP."""
    lb.ring([IDS[inside]])
    flow = call(lb, to_vip(outside, udp() if "UDP" in upper else tcp()), entry)
    answer, sent = reply_of(lb, flow, upper.copy())
    before = [bytes(one) for one in lb.flows()]
    quote = sent[: kept + (40 if outside == 6 else 20)] if kept else sent
    told = error(expired(outside), quote, ROUTERS[outside], VIPS[outside])
    seen = lb.world.run(told, entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_service": 1})
    known = answer[: kept + (40 if inside == 6 else 20)] if kept else answer
    wanted = arrives(
        seen.packet, told, expired(inside), known, hop_of(sent), flow.source, BACKENDS[inside]
    )
    assert seen.packet == wanted
    assert [bytes(one) for one in lb.flows()] == before, "an error says nothing of a flow"


@ENTRIES
@WAYS
@pytest.mark.parametrize("upper", [tcp(100), udp(51)], ids=["tcp", "udp"])
@pytest.mark.parametrize("kept", [None, 8], ids=["whole", "eight"])
def test_about_a_call(
    lb: Balanced, entry: Entry, inside: int, outside: int, upper: Packet, kept: int | None
) -> None:
    """It goes to the client, from the frontend, whoever sent it: a backend or a router."""
    lb.ring([IDS[inside]])
    packet = to_vip(outside, upper)
    flow = call(lb, packet, entry)
    lb.world.counted()
    before = [bytes(one) for one in lb.flows()]
    quote = flow.packet[: kept + (40 if inside == 6 else 20)] if kept else flow.packet
    for sender in (BACKENDS[inside], ROUTERS[inside]):
        told = error(unreachable(inside), quote, sender, flow.source)
        seen = lb.world.run(told, entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_reply": 1})
        known = packet[: kept + (40 if outside == 6 else 20)] if kept else packet
        wanted = arrives(
            seen.packet,
            told,
            unreachable(outside),
            known,
            hop_of(flow.packet),
            VIPS[outside],
            CLIENTS[outside],
        )
        assert seen.packet == wanted
    assert [bytes(one) for one in lb.flows()] == before


@ENTRIES
def test_about_a_client_that_is_seen_as_its_pool6_address(lb: Balanced, entry: Entry) -> None:
    """Errors to that address are no matter of NAT64: the quote has a flow here."""
    lb.commit(mapped(lb))
    lb.ring([IDS[6]])
    packet = to_vip(4, tcp(100))
    flow = call(lb, packet, entry)
    assert flow.source == MAPPED_CLIENT
    lb.world.counted()
    for sender in (BACKENDS[6], ROUTERS[6]):
        told = error(unreachable(6), flow.packet, sender, MAPPED_CLIENT)
        seen = lb.world.run(told, entry)
        assert (seen.verdict, seen.reasons) == ("redirect", {"forward_reply": 1})
        hop = hop_of(flow.packet)
        wanted = arrives(seen.packet, told, unreachable(4), packet, hop, VIPS[4], CLIENT)
        assert seen.packet == wanted
    answer, sent = reply_of(lb, flow, tcp(8, flags="SA"))
    told = error(expired(4), sent, ROUTERS[4], VIPS[4])
    seen = lb.world.run(told, entry)
    assert seen.reasons == {"forward_service": 1}
    hop = hop_of(sent)
    wanted = arrives(seen.packet, told, expired(6), answer, hop, MAPPED_CLIENT, BACKENDS[6])
    assert seen.packet == wanted


@ENTRIES
def test_about_what_else_goes_to_a_pool6_address(lb: Balanced, entry: Entry) -> None:
    """Without a flow it is as if there was no service: the prefix translates it."""
    lb.commit(mapped(lb))
    quote = bytes(IPv6(src=MAPPED_CLIENT, dst="64:ff9b::192.175.48.10") / tcp())
    told = error(unreachable(6), quote, "64:ff9b::192.175.48.10", MAPPED_CLIENT)
    assert lb.world.run(told, entry).reasons == {"forward_64": 1}


@ENTRIES
def test_a_quoted_checksum_of_zero(lb: Balanced, entry: Entry) -> None:
    lb.ring([IDS[4]])
    packet = to_vip(4, udp(40, chksum=0))
    flow = call(lb, packet, entry)
    told = error(unreachable(4), flow.packet, BACKENDS[4], flow.source)
    seen = lb.world.send(told, entry)
    hop = hop_of(flow.packet)
    wanted = arrives(seen.packet, told, unreachable(4), packet, hop, VIPS[4], CLIENT)
    assert seen.packet == wanted


# ---- MTUs ----

MTUS = [
    # client, backend; told inside: about a call; what the client is to be told
    (4, 4, 1400, 1400),
    (4, 4, 576, 576),
    (6, 6, 1400, 1400),
    (4, 6, 1400, 1380),  # RFC 7915 5.2: less 20, as IPv6 takes 20 more
    (4, 6, 9000, 1480),  # our own link has 1,500
    (6, 4, 1400, 1420),  # RFC 7915 4.2
    (6, 4, 1200, 1280),  # IPv6 has no less
    (6, 4, 9000, 1500),
]


def mtu_in(packet: bytes) -> int:
    whole = parsed(packet)
    if whole.version == 4:
        assert (whole[ICMP].type, whole[ICMP].code) == (3, 4)
        return int(whole[ICMP].nexthopmtu)
    assert (whole.payload.type, whole.payload.code) == (2, 0)
    return int(whole.payload.mtu)


@ENTRIES
@pytest.mark.parametrize(("outside", "inside", "told", "left"), MTUS)
def test_mtus_about_calls(
    lb: Balanced, entry: Entry, outside: int, inside: int, told: int, left: int
) -> None:
    lb.ring([IDS[inside]])
    flow = call(lb, to_vip(outside, tcp()), entry)
    quote = call(lb, to_vip(outside, tcp(1300, flags="A")), entry).packet
    packet = error(too_big(inside, told), quote[:400], ROUTERS[inside], flow.source)
    assert mtu_in(lb.world.send(packet, entry).packet) == left


@ENTRIES
@pytest.mark.parametrize(("inside", "outside", "told", "left"), MTUS)
def test_mtus_about_replies(
    lb: Balanced, entry: Entry, outside: int, inside: int, told: int, left: int
) -> None:
    """The same numbers: here the backend is in the client's place."""
    lb.ring([IDS[inside]])
    flow = call(lb, to_vip(outside, tcp()), entry)
    _, sent = reply_of(lb, flow, tcp(1300, flags="A"))
    packet = error(too_big(outside, told), sent[:400], ROUTERS[outside], VIPS[outside])
    assert mtu_in(lb.world.send(packet, entry).packet) == left


# ---- whom they do not reach ----


@ENTRIES
@WAYS
def test_errors_about_nobodys_packet(lb: Balanced, entry: Entry, inside: int, outside: int) -> None:
    lb.ring([IDS[inside]])
    flow = call(lb, to_vip(outside, tcp()), entry)
    _, sent = reply_of(lb, flow, tcp(flags="SA"))
    header = 40 if outside == 6 else 20
    other_port = sent[:header] + b"\0\x51" + sent[header + 2 :]
    other_client = sent[:header] + sent[header : header + 2] + b"\0\1" + sent[header + 4 :]
    for quote in (other_port, other_client, sent[: header + 2], sent[: header - 1]):
        told = error(unreachable(outside), quote, ROUTERS[outside], VIPS[outside])
        seen = lb.world.run(told, entry)
        assert seen.verdict == "drop"
        assert set(seen.reasons) <= {"drop_no_flow", "drop_truncated"}
    elsewhere = str(next(one for one in POOL[inside] if str(one) != flow.source))
    told = error(unreachable(inside), flow.packet, BACKENDS[inside], elsewhere)
    seen = lb.world.run(told, entry)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_no_flow": 1}), "not whom it quotes"
    lb.later(4 * 3600)
    told = error(unreachable(outside), sent, ROUTERS[outside], VIPS[outside])
    assert lb.world.run(told, entry).reasons == {"drop_no_flow": 1}, "the flow is over"


@ENTRIES
def test_what_is_for_a_link_alone(lb: Balanced, entry: Entry) -> None:
    """A redirect, a source quench; and IPv6's errors that nobody knows yet."""
    lb.ring([IDS[4]])
    flow = call(lb, to_vip(4, tcp()), entry)
    _, sent = reply_of(lb, flow, tcp(flags="SA"))
    for type in (4, 5):
        told = error(ICMP(type=type), sent, ROUTERS[4], VIPS[4])
        seen = lb.world.run(told, entry)
        assert (seen.verdict, seen.reasons) == ("drop", {"drop_icmp_type": 1})
        told = error(ICMP(type=type), flow.packet, BACKENDS[4], flow.source)
        seen = lb.world.run(told, entry)
        assert (seen.verdict, seen.reasons) == ("drop", {"drop_icmp_type": 1})
    lb.ring([IDS[6]])
    lb.forget()
    flow = call(lb, to_vip(6, tcp()), entry)
    lb.world.counted()
    told = error(Raw(b"\x64\0\0\0\0\0\0\0"), flow.packet, BACKENDS[6], flow.source)
    told = told[:6] + b"\x3a" + told[7:]
    seen = lb.world.run(told, entry)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_icmp_type": 1})


@ENTRIES
def test_errors_are_not_answered(lb: Balanced, entry: Entry) -> None:
    lb.ring([IDS[6]])
    flow = call(lb, to_vip(4, tcp()), entry)
    lb.world.counted()
    told = headed(
        6,
        unreachable(6) / Raw(flow.packet),
        src=BACKENDS[6],
        dst=flow.source,
        hlim=1,
    )
    seen = lb.world.run(told, entry)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_ttl_expired": 1})
    piece = bytes(
        IP(src=ROUTERS[4], dst=VIPS[4], flags="MF") / ICMP(type=3, code=1) / Raw(b"x" * 24)
    )
    assert lb.world.run(piece, entry).reasons == {"forward_slow_path": 1}


# ---- counters ----


@ENTRIES
def test_what_is_counted(lb: Balanced, entry: Entry) -> None:
    """An error to a backend is a packet of the frontend and the backend, and no flow."""
    lb.ring([IDS[4]])
    flow = call(lb, to_vip(4, tcp()), entry)
    _, sent = reply_of(lb, flow, tcp(flags="SA"))
    frontend, backend = lb.frontend_count(40), lb.backend_count(IDS[4])
    told = error(unreachable(4), sent, ROUTERS[4], VIPS[4])
    lb.world.send(told, entry)
    after, after_backend = lb.frontend_count(40), lb.backend_count(IDS[4])
    assert [new - old for new, old in zip(after, frontend, strict=True)] == [1, 0, 0]
    moved = [new - old for new, old in zip(after_backend, backend, strict=True)]
    assert moved == [1, len(told), 0]
