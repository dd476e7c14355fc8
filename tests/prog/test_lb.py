# SPDX-License-Identifier: Apache-2.0
"""Packets to a frontend, one at a time: where they go, as what, and what of them is remembered."""

from collections import Counter
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6ND_NS, ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet, Raw

from sixlane.datapath.layout import BackendState, FlowCell, FlowState
from sixlane.datapath.services import FrontendEntry, ServiceEntry
from tests import needs, rss
from tests.packets import CLIENT, ip4, ip6, ping4, ping6, tcp, udp
from tests.prog.translating import raised
from tests.services import Balanced
from tests.world import Entry, Seen

__all__ = ["raised"]  # the fixture

pytestmark = [pytest.mark.prog, needs.root]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])
VIP4, VIP6 = "192.175.48.200", "2001:db8:64::200"
CLIENT6 = "2001:db8:1::5"
BACKEND4, BACKEND6 = "10.0.0.1", "2001:db8:64:1::7"
WEB = ServiceEntry(
    "web",
    1,
    (
        FrontendEntry(IPv4Address(VIP4), 80, 6, 1),
        FrontendEntry(IPv6Address(VIP6), 80, 6, 2),
        FrontendEntry(IPv4Address(VIP4), 53, 17, 3),
    ),
)
OUTER4, OUTER6 = 20, 40
ILLEGAL = ("0.255.255.255", "127.0.0.1", "127.255.255.255", "224.0.0.1", "255.255.255.255")
BESIDE_ILLEGAL = ("1.0.0.0", "126.255.255.255", "128.0.0.1", "223.255.255.255")


@pytest.fixture
def lb(raised: Balanced) -> Balanced:
    """One service with two backends, which nothing has been sent to yet."""
    raised.forget()
    for id, address in ((1, BACKEND4), (2, BACKEND6)):
        raised.backend(id, IPv4Address(address) if "." in address else IPv6Address(address))
    raised.ring([1, 2])
    raised.commit(WEB)
    return raised


def to4(upper: Packet, **fields: object) -> bytes:
    return bytes(ip4(**({"dst": VIP4} | fields)) / upper)


def to6(upper: Packet, **fields: object) -> bytes:
    return bytes(ip6(**({"src": CLIENT6, "dst": VIP6} | fields)) / upper)


def with_a_hop_less(packet: bytes) -> bytes:
    """As a router makes it."""
    hop = 7 if packet[0] >> 4 == 6 else 8
    changed = packet[:hop] + bytes([packet[hop] - 1]) + packet[hop + 1 :]
    return changed if hop == 7 else summed(changed)


def summed(packet: bytes) -> bytes:
    """With the checksum of its IPv4 header."""
    header = IP(packet[:20])
    header.chksum = None
    return bytes(header) + packet[20:]


def sent_to(lb: Balanced, packet: bytes, entry: Entry = "xdp") -> str:
    """The address of the backend that gets it."""
    return str(tunnel(lb, packet, entry).dst)


def tunnel(lb: Balanced, packet: bytes, entry: Entry = "xdp") -> Packet:
    """The outer header of what leaves."""
    seen = lb.world.send(packet, entry)
    assert seen.verdict == "redirect"
    return IPv6(seen.packet) if seen.packet[0] >> 4 == 6 else IP(seen.packet)


# ---- tunnels ----


@ENTRIES
@pytest.mark.parametrize("inside", [4, 6])
def test_a_tunnel_of_ipv4(lb: Balanced, entry: Entry, inside: int) -> None:
    lb.ring([1])
    packet = to4(tcp(size=64)) if inside == 4 else to6(tcp(size=64))
    seen = lb.world.run(packet, entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_service": 1})
    outer = IP(seen.packet)
    assert seen.packet[OUTER4:] == with_a_hop_less(packet)
    assert (outer.version, outer.ihl, outer.len) == (4, 5, OUTER4 + len(packet))
    assert (outer.tos, outer.ttl, outer.flags, outer.frag, outer.id) == (0x2E, 64, "DF", 0, 0)
    assert outer.proto == {4: 4, 6: 41}[inside]
    assert outer.dst == BACKEND4
    assert IPv4Address(outer.src) in IPv4Network("198.18.0.0/15")
    assert summed(seen.packet) == seen.packet
    assert seen.frame[12:14] == b"\x08\x00"


@ENTRIES
@pytest.mark.parametrize("inside", [4, 6])
def test_a_tunnel_of_ipv6(lb: Balanced, entry: Entry, inside: int) -> None:
    lb.ring([2])
    packet = to4(tcp(size=64)) if inside == 4 else to6(tcp(size=64))
    seen = lb.world.run(packet, entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_service": 1})
    outer = IPv6(seen.packet)
    assert seen.packet[OUTER6:] == with_a_hop_less(packet)
    assert (outer.version, outer.tc, outer.plen, outer.hlim) == (6, 0x2E, len(packet), 64)
    assert outer.nh == {4: 4, 6: 41}[inside]
    assert outer.dst == BACKEND6
    assert IPv6Address(outer.src) in IPv6Network("100::/64")
    assert outer.fl != 0
    assert seen.frame[12:14] == b"\x86\xdd"


def test_flows_come_from_many_sources_and_each_from_one(lb: Balanced) -> None:
    lb.ring([2])
    packets = [to4(tcp(sport=port)) for port in range(40000, 40256)]
    sources = [IPv6(lb.world.send(packet, "xdp").packet).src for packet in packets]
    assert len(set(sources)) > 250, "of 2^64"
    again = [IPv6(lb.world.send(packet, "tc").packet).src for packet in packets]
    assert again == sources


@pytest.mark.parametrize("backend", [BACKEND4, BACKEND6])
def test_a_nic_spreads_them_over_its_queues(lb: Balanced, backend: str) -> None:
    """As if each flow drew one at random: within six standard deviations."""
    lb.ring([1 if backend == BACKEND4 else 2])
    flows, queues = 1024, 8
    taken: Counter[int] = Counter()
    for number in range(flows):
        packet = to4(tcp(sport=1024 + number % 32), src=str(IPv4Address(CLIENT) + number // 32))
        outer = tunnel(lb, packet)
        taken[rss.queue(ip_address(outer.src), ip_address(outer.dst), queues)] += 1
    print(f"{flows} flows to {backend}: {sorted(taken.values())} by queue")
    mean = flows / queues
    assert len(taken) == queues
    assert all(abs(count - mean) < 6 * mean**0.5 for count in taken.values()), taken


@ENTRIES
def test_vlan_tags_stay(lb: Balanced, entry: Entry) -> None:
    if entry == "tc":  # the kernel keeps the tag in the skb
        return
    lb.ring([1])
    device = lb.world.wan
    header = device.mac + bytes.fromhex("02bb00000001") + bytes.fromhex("810000070800")
    seen = lb.world.run(to4(tcp()), entry, link_header=header)
    assert seen.reasons == {"forward_service": 1}
    assert seen.frame[12:18] == bytes.fromhex("810000070800")
    assert seen.frame[18 + OUTER4 :] == with_a_hop_less(to4(tcp()))


# ---- who is chosen ----


@ENTRIES
def test_a_flow_stays_where_it_went(lb: Balanced, entry: Entry) -> None:
    packets = [to4(tcp(sport=port)) for port in range(40000, 40064)]
    first = [sent_to(lb, packet, entry) for packet in packets]
    assert Counter(first).keys() == {BACKEND4, BACKEND6}
    goes_on = [to4(tcp(sport=port, flags="A")) for port in range(40000, 40064)]
    lb.ring([2])
    assert [sent_to(lb, packet, entry) for packet in goes_on] == first
    others = [to4(tcp(sport=port, flags="A")) for port in range(41000, 41064)]
    assert {sent_to(lb, packet, entry) for packet in others} == {BACKEND6}


def test_both_entries_choose_alike(lb: Balanced) -> None:
    lb.backend(3, IPv4Address("10.0.0.3"))
    lb.ring([1, 2, 3] * 33)
    packets = [to4(udp(sport=port)) for port in range(40000, 40064)]
    by_xdp = [sent_to(lb, packet) for packet in packets]
    lb.forget()
    assert [sent_to(lb, packet, "tc") for packet in packets] == by_xdp


@pytest.mark.parametrize(
    ("state", "keeps"),
    [
        (BackendState.BACKEND_ACTIVE, True),
        (BackendState.BACKEND_TERMINATING, True),
        (BackendState.BACKEND_MAINTENANCE, True),
        (BackendState.BACKEND_QUARANTINED, False),
        (BackendState.BACKEND_FREE, False),
    ],
)
def test_old_flows_of_a_backend(lb: Balanced, state: BackendState, keeps: bool) -> None:
    lb.ring([1])
    assert sent_to(lb, to4(tcp())) == BACKEND4
    lb.backend(1, IPv4Address(BACKEND4), state=state)
    lb.ring([2])
    assert sent_to(lb, to4(tcp(flags="A"))) == (BACKEND4 if keeps else BACKEND6)


@pytest.mark.parametrize(
    "state", [BackendState.BACKEND_TERMINATING, BackendState.BACKEND_MAINTENANCE]
)
def test_a_backend_that_takes_no_new_flows(lb: Balanced, state: BackendState) -> None:
    lb.ring([1])
    assert sent_to(lb, to4(tcp())) == BACKEND4
    lb.backend(1, IPv4Address(BACKEND4), state=state)
    lb.ring([2])
    assert sent_to(lb, to4(tcp(flags="S"))) == BACKEND6, "the same ends, a new connection"
    assert sent_to(lb, to4(tcp(flags="A"))) == BACKEND6


def test_a_backend_of_another_service_counts_for_nothing(lb: Balanced) -> None:
    lb.ring([1])
    assert sent_to(lb, to4(tcp())) == BACKEND4
    lb.backend(1, IPv4Address(BACKEND4), service=2)
    lb.ring([2])
    assert sent_to(lb, to4(tcp(flags="A"))) == BACKEND6
    lb.ring([1])
    lb.world.counted()
    seen = lb.world.run(to4(tcp(sport=5)), "xdp")
    assert seen.reasons == {"drop_no_backend": 1, "icmp_error_sent": 1}


@ENTRIES
def test_nobody_answers(lb: Balanced, entry: Entry) -> None:
    lb.ring([])
    for packet, error in ((to4(tcp()), (3, 3)), (to6(tcp()), (1, 4))):
        seen = lb.world.run(packet, entry)
        assert seen.reasons == {"drop_no_backend": 1, "icmp_error_sent": 1}
        assert_error_of_frontend(seen, error)


def assert_error_of_frontend(seen: Seen, error: tuple[int, int]) -> None:
    assert seen.verdict == "redirect"
    v4 = seen.packet[0] >> 4 == 4
    answer = IP(seen.packet) if v4 else IPv6(seen.packet)
    assert (answer.src, answer.dst) == ((VIP4, CLIENT) if v4 else (VIP6, CLIENT6))
    assert (answer.payload.type, answer.payload.code) == error


# ---- what is remembered ----


def states(lb: Balanced) -> Counter[FlowState]:
    return Counter(FlowState(cell & FlowCell.FLOW_STATE_MASK) for cell in lb.cells())


@ENTRIES
def test_what_is_known_of_a_flow(lb: Balanced, entry: Entry) -> None:
    steps = (("S", "FLOW_NEW"), ("S", "FLOW_NEW"), ("A", "FLOW_TCP"), ("FA", "FLOW_CLOSING"))
    for flags, state in (*steps, ("A", "FLOW_CLOSING"), ("S", "FLOW_NEW"), ("R", "FLOW_CLOSING")):
        lb.world.send(to4(tcp(flags=flags)), entry)
        assert states(lb) == {FlowState[state]: 1}, flags
    lb.forget()
    for state in ("FLOW_NEW", "FLOW_UDP"):
        lb.world.send(to4(udp()), entry)
        assert states(lb) == {FlowState[state]: 1}


def test_a_flood_of_first_packets_takes_no_place_of_others(lb: Balanced) -> None:
    """1,024 cells: 256 flows that are known, and sixteen times as many that are not."""
    known = [to4(tcp(sport=port, flags="A")) for port in range(10000, 10256)]
    for packet in known * 2:
        lb.world.send(packet, "xdp")
    kept = states(lb)[FlowState.FLOW_TCP]
    assert kept > 200
    first = [sent_to(lb, packet) for packet in known]
    for port in range(20000, 20000 + 4096):
        lb.world.send(to4(tcp(sport=port)), "xdp")
    assert states(lb)[FlowState.FLOW_TCP] == kept
    cells = lb.cells()
    assert len(cells) > 900, "the flood has the rest"
    lb.ring([2])
    moved = sum(was != sent_to(lb, packet) for was, packet in zip(first, known, strict=True))
    assert moved <= 256 - kept


def test_what_is_over_gives_way(lb: Balanced) -> None:
    """A cell's age is 12 bits of ticks; 64 s are 16 ticks at 250 jiffies a second."""
    lb.ring([1])
    assert sent_to(lb, to4(tcp())) == BACKEND4
    lb.ring([2])
    clock = lb.world.datapath.maps()["clock_offset"]
    clock.update(bytes(4), (40 * 1024).to_bytes(8, "little"))
    try:
        assert sent_to(lb, to4(tcp(flags="A"))) == BACKEND6
    finally:
        clock.update(bytes(4), bytes(8))


# ---- affinity, ranges ----


def test_a_client_has_one_backend(lb: Balanced) -> None:
    lb.commit(
        ServiceEntry("web", 1, WEB.frontends, affinity_seconds=3600),
    )
    lb.ring([1, 2] * 50)
    for client in range(1, 33):
        source = f"192.31.196.{client}"
        packets = [to4(tcp(sport=port), src=source) for port in range(40000, 40008)]
        packets += [to4(udp(sport=port), src=source) for port in range(40000, 40008)]
        assert len({sent_to(lb, packet) for packet in packets}) == 1
    assert states(lb) == {FlowState.FLOW_CLIENT: 32}
    sources = {lb.world.send(to4(tcp(sport=port)), "xdp").packet[:40] for port in (1, 2, 3)}
    assert len(sources) == 3, "tunnels are spread by flow all the same"


def test_a_client_has_the_same_backend_by_each_gateway(lb: Balanced) -> None:
    """On another one the service has another number: it was made behind others there."""
    chosen = []
    for number in (1, 2):
        lb.forget()
        lb.backend(1, IPv4Address(BACKEND4), service=number)
        lb.backend(2, IPv6Address(BACKEND6), service=number)
        lb.ring([1, 2] * 50, service=number)
        lb.commit(ServiceEntry("web", number, WEB.frontends, affinity_seconds=3600))
        clients = (f"192.31.196.{client}" for client in range(1, 33))
        chosen.append([sent_to(lb, to4(tcp(), src=client)) for client in clients])
    assert chosen[0] == chosen[1]
    assert set(chosen[0]) == {BACKEND4, BACKEND6}


@ENTRIES
def test_who_is_let_in(lb: Balanced, entry: Entry) -> None:
    ranges = (IPv4Network("192.31.196.0/25"), IPv6Network("2001:db8:1::/48"))
    lb.commit(ServiceEntry("web", 1, WEB.frontends, source_ranges=ranges))
    for packet, let_in in (
        (to4(tcp()), True),
        (to4(tcp(), src="192.31.196.127"), True),
        (to4(tcp(), src="192.31.196.128"), False),
        (to6(tcp()), True),
        (to6(tcp(), src="2001:db8:2::5"), False),
    ):
        seen = lb.world.run(packet, entry)
        dropped = {"drop_source_not_allowed": 1, "icmp_error_sent": 1}
        assert seen.reasons == ({"forward_service": 1} if let_in else dropped)
    lb.commit(ServiceEntry("web", 1, WEB.frontends, source_ranges=()))
    assert "drop_source_not_allowed" in lb.world.run(to4(tcp()), entry).reasons


# ---- what is not for a backend ----


@ENTRIES
def test_a_port_that_no_service_has(lb: Balanced, entry: Entry) -> None:
    for packet, error in (
        (to4(tcp(dport=81)), (3, 3)),
        (to4(udp(dport=80)), (3, 3)),
        (to6(udp(dport=80)), (1, 4)),
    ):
        seen = lb.world.run(packet, entry)
        assert seen.reasons == {"drop_no_frontend": 1, "icmp_error_sent": 1}
        assert_error_of_frontend(seen, error)


@ENTRIES
def test_an_address_of_the_host(lb: Balanced, entry: Entry) -> None:
    lb.commit(WEB, local=frozenset({IPv4Address(VIP4)}))
    assert lb.world.run(to4(tcp()), entry).reasons == {"forward_service": 1}
    for packet in (to4(tcp(dport=81)), to4(ping4())):
        seen = lb.world.run(packet, entry)
        assert (seen.verdict, seen.reasons) == ("pass", {"pass_not_ours": 1})
        assert seen.packet == packet


@ENTRIES
def test_an_echo_is_answered(lb: Balanced, entry: Entry) -> None:
    seen = lb.world.run(to4(ping4()), entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"echo_answered": 1})
    answer = IP(seen.packet)
    assert (answer.src, answer.dst) == (VIP4, CLIENT)
    whole = IP(src=VIP4, dst=CLIENT) / ICMP(type=0, id=7, seq=9) / Raw(b"p" * 32)
    assert seen.packet[20:] == bytes(whole)[20:]
    seen = lb.world.run(to6(ping6()), entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"echo_answered": 1})
    whole6 = IPv6(src=VIP6, dst=CLIENT6) / ICMPv6EchoReply(id=7, seq=9, data=b"p" * 32)
    assert seen.packet[40:] == bytes(whole6)[40:]
    assert seen.packet[8:40] == bytes(whole6)[8:40]


@ENTRIES
def test_a_neighbour_is_asked_for(lb: Balanced, entry: Entry) -> None:
    """By a host on the link, which thinks it knows where; nobody else can (RFC 4861 7.1.1)."""
    for source in (CLIENT6, "fe80::5"):
        packet = to6(ICMPv6ND_NS(tgt=VIP6), src=source, hlim=255)
        seen = lb.world.run(packet, entry)
        assert (seen.verdict, seen.reasons) == ("pass", {"pass_not_ours": 1})
        assert seen.packet == packet
    seen = lb.world.run(to6(ICMPv6ND_NS(tgt=VIP6), hlim=254), entry)
    assert (seen.verdict, seen.reasons) == ("drop", {"drop_icmp_type": 1})


@ENTRIES
def test_an_error_goes_to_the_backend_that_it_tells_of(lb: Balanced, entry: Entry) -> None:
    lb.ring([1, 2] * 50)
    for port in range(40000, 40016):
        owner = sent_to(lb, to4(tcp(sport=port)), entry)
        quote = IP(src=VIP4, dst=CLIENT) / TCP(sport=80, dport=port)
        error = bytes(
            ip4(src="192.31.196.77", dst=VIP4) / ICMP(type=3, code=4, nexthopmtu=1400) / quote
        )
        seen = lb.world.send(error, entry)
        assert seen.verdict == "redirect"
        outer = OUTER4 if owner == BACKEND4 else OUTER6
        assert seen.packet[outer:] == with_a_hop_less(error)
        quote6 = IPv6(src=VIP6, dst=CLIENT6) / TCP(sport=80, dport=port)
        owner = sent_to(lb, to6(tcp(sport=port)), entry)
        error = to6(ICMPv6PacketTooBig(mtu=1400) / quote6, src="2001:db8:9::9")
        assert sent_to(lb, error, entry) == owner
    before = lb.cells()
    lb.world.send(error, entry)
    assert lb.cells() == before, "an error says nothing of a flow"


@ENTRIES
def test_an_error_about_nobodys_packet(lb: Balanced, entry: Entry) -> None:
    for quote in (
        IP(src=VIP4, dst=CLIENT) / TCP(sport=81, dport=40000),
        IP(src="192.175.48.201", dst=CLIENT) / TCP(sport=80, dport=40000),
        IP(src=VIP4, dst=CLIENT, proto=132) / Raw(b"\0\x50\x9c\x40"),
        IP(src=VIP4, dst=CLIENT, frag=8) / TCP(sport=80, dport=40000),
    ):
        error = to4(ICMP(type=3, code=1) / quote)
        assert lb.world.run(error, entry).reasons == {"drop_no_flow": 1}


@ENTRIES
def test_what_does_not_fit(lb: Balanced, entry: Entry) -> None:
    for backend, outer in ((1, OUTER4), (2, OUTER6)):
        lb.ring([backend])
        room = 1500 - outer
        fits = to4(tcp(size=room - 40, sport=backend, flags="A"))
        assert lb.world.run(fits, entry).reasons == {"forward_service": 1}
        seen = lb.world.run(to4(tcp(size=room - 39, sport=backend, flags="A")), entry)
        assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
        assert_error_of_frontend(seen, (3, 4))
        assert IP(seen.packet)[ICMP].nexthopmtu == room
        seen = lb.world.run(to6(tcp(size=room - 59, sport=backend, flags="A")), entry)
        assert_error_of_frontend(seen, (2, 0))
        assert IPv6(seen.packet).payload.mtu == room


@ENTRIES
def test_the_last_hop(lb: Balanced, entry: Entry) -> None:
    for packet, error in ((to4(tcp(), ttl=1), (11, 0)), (to6(tcp(), hlim=1), (3, 0))):
        seen = lb.world.run(packet, entry)
        assert seen.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
        assert_error_of_frontend(seen, error)


@ENTRIES
def test_what_is_broken(lb: Balanced, entry: Entry) -> None:
    good = to4(tcp())
    for packet, reason in (
        (good[:10] + b"\x12\x34" + good[12:], "drop_bad_header_checksum"),
        (good[:-1], "drop_truncated"),
        (to4(TCP(sport=1, dport=80), len=30), "drop_truncated"),
        (to4(UDP(sport=1, dport=53), len=24), "drop_truncated"),
        *((to4(tcp(), src=src), "drop_illegal_source") for src in ILLEGAL),
        (to6(tcp(), src="ff02::1"), "drop_illegal_source"),
        (to6(tcp(), plen=15), "drop_truncated"),
    ):
        seen = lb.world.run(packet, entry)
        assert seen.reasons == {reason: 1}, reason
        assert seen.verdict == "drop"


@ENTRIES
def test_sources_beside_illegal_ones(lb: Balanced, entry: Entry) -> None:
    for src in BESIDE_ILLEGAL:
        assert lb.world.run(to4(tcp(), src=src), entry).reasons == {"forward_service": 1}, src


@ENTRIES
def test_a_source_route(lb: Balanced, entry: Entry) -> None:
    ended, goes_on = (
        to4(tcp(), options=[IPOption_LSRR(pointer=at, routers=["198.41.0.4"])]) for at in (8, 4)
    )
    assert lb.world.run(ended, entry).reasons == {"forward_service": 1}
    seen = lb.world.run(goes_on, entry)
    assert seen.reasons == {"drop_source_route": 1, "icmp_error_sent": 1}
    assert_error_of_frontend(seen, (3, 5))


@ENTRIES
def test_others_pass(lb: Balanced, entry: Entry) -> None:
    for packet in (
        bytes(ip4(dst="198.41.0.4") / tcp()),
        bytes(ip6(src=CLIENT6, dst="2001:db8:64::201") / tcp()),
    ):
        assert lb.world.run(packet, entry).reasons == {"pass_not_ours": 1}
    translated = bytes(ip4() / tcp())
    assert lb.world.run(translated, entry).reasons == {"forward_46": 1}


# ---- counters ----


@ENTRIES
def test_what_is_counted(lb: Balanced, entry: Entry) -> None:
    lb.ring([2])
    frontend, backend = lb.frontend_count(2), lb.backend_count(2)
    packets = [to6(tcp(sport=9)), to6(tcp(sport=9, flags="A")), to6(tcp(sport=10))]
    for packet in packets:
        lb.world.send(packet, entry)
    lb.world.send(to6(tcp(), hlim=1), entry)
    after, after_backend = lb.frontend_count(2), lb.backend_count(2)
    assert [new - old for new, old in zip(after, frontend, strict=True)] == [3, 1, 2]
    layer3 = sum(map(len, packets))
    assert [new - old for new, old in zip(after_backend, backend, strict=True)] == [3, layer3, 2]
