# SPDX-License-Identifier: Apache-2.0
"""From inside to inside by IPv4 addresses (RFC 7757 section 4): what the wire shows."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
)
from scapy.packet import Raw

from sixlane.net import route
from sixlane.rfc.rfc7915 import Eam, Prefix, Translator
from tests import needs
from tests.packets import ip6, ping6, tcp, udp
from tests.world import Entry, World, tables_for

pytestmark = [pytest.mark.prog, needs.root, pytest.mark.conformance(71)]

ENTRIES = pytest.mark.parametrize("entry", ["xdp", "tc"])

A4, A6 = "192.175.48.1", "2001:db8:a::1"
B4, B6 = "192.175.48.2", "2001:db8:b::2"
NATIVE4 = "192.175.48.77"


def _pool6(ipv4: str) -> str:
    return f"64:ff9b::{ipv4}"


INSIDE = Translator(
    (
        Prefix(
            "nodes",
            IPv6Network("64:ff9b::/96"),
            (IPv4Network("192.175.48.64/26"),),
            (IPv4Network("192.175.48.0/24"),),
            (
                Eam(IPv4Network(f"{A4}/32"), IPv6Network(f"{A6}/128"), False),
                Eam(IPv4Network(f"{B4}/32"), IPv6Network(f"{B6}/128"), False),
            ),
        ),
        Prefix(
            "guests",
            IPv6Network("64:ff9b::/96"),
            (),
            None,
            (Eam(IPv4Network("192.175.50.3/32"), IPv6Network("2001:db8:c::3/128"), False),),
        ),
    ),
    IPv4Address("192.31.196.1"),
    IPv6Address("2001:db8::1"),
)


@pytest.fixture(autouse=True, params=["simple", "intrinsic"])
def inside(request: pytest.FixtureRequest, world: World) -> None:
    world.commit(replace(tables_for(INSIDE, world.wan, world.lan), hairpin=request.param))


@ENTRIES
@pytest.mark.parametrize("upper", [udp(33), tcp(40, flags="A"), ping6(21)], ids=["u", "t", "i"])
def test_only_addresses_and_what_follows_from_them_change(
    world: World, entry: Entry, upper: object
) -> None:
    """Even the flow label stays; B sees A by A's IPv4 address, so that its answer comes back."""
    extension = IPv6ExtHdrDestOpt()
    seen = world.run(bytes(ip6(src=A6, dst=_pool6(B4)) / extension / upper), entry)
    assert (seen.verdict, seen.reasons) == ("redirect", {"forward_hairpin": 1})
    sent = ip6(src=_pool6(A4), dst=B6, hlim=60) / extension / upper
    assert seen.packet == bytes(sent), "scapy makes the checksum anew"


@pytest.mark.parametrize(("segment", "fits"), [(1440, True), (1441, False)])
def test_the_header_of_big_tcp_is_on_no_wire(world: World, segment: int, fits: bool) -> None:
    """40 + 20 + 1,440 is the MTU of lan0; the kernel's header of 8 bytes is in no segment."""
    upper = bytes(tcp(2 * segment, flags="A"))
    jumbo = bytes((6, 0, 0xC2, 4)) + (8 + len(upper)).to_bytes(4)
    packet = bytes(ip6(src=A6, dst=_pool6(B4), nh=0, plen=0)) + jumbo + upper
    seen = world.run(packet, "tc", gso_bytes=segment)
    if fits:
        assert seen.reasons == {"forward_hairpin": 1}
        assert seen.packet[40:48] == jumbo
    else:
        assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}


@ENTRIES
def test_the_answer_finds_its_way_back(world: World, entry: Entry) -> None:
    seen = world.run(bytes(ip6(src=B6, dst=_pool6(A4)) / udp()), entry)
    assert seen.packet == bytes(ip6(src=_pool6(B4), dst=A6, hlim=60) / udp())


@ENTRIES
def test_a_node_by_its_prefix_is_called_by_it(world: World, entry: Entry) -> None:
    seen = world.run(bytes(ip6(src=_pool6(NATIVE4), dst=_pool6(B4)) / udp()), entry)
    assert seen.packet == bytes(ip6(src=_pool6(NATIVE4), dst=B6, hlim=60) / udp())


@ENTRIES
def test_errors_go_back_to_whom_they_are_about(world: World, entry: Entry) -> None:
    """B's answer to what A sent it: A must read of the packet as A has sent it."""
    about = ip6(src=_pool6(A4), dst=B6, hlim=9) / udp(40)
    seen = world.run(bytes(ip6(src=B6, dst=_pool6(A4)) / ICMPv6TimeExceeded() / about), entry)
    assert seen.reasons == {"forward_hairpin": 1}
    original = ip6(src=A6, dst=_pool6(B4), hlim=9) / udp(40)
    wanted = ip6(src=_pool6(B4), dst=A6, hlim=60) / ICMPv6TimeExceeded() / original
    assert seen.packet == bytes(wanted)


@ENTRIES
def test_routers_inside_keep_their_address(world: World, entry: Entry) -> None:
    about = ip6(src=_pool6(A4), dst=B6) / udp(40)
    error = ip6(src="2001:db8:fe::9", dst=_pool6(A4)) / ICMPv6TimeExceeded() / about
    seen = world.run(bytes(error), entry)
    assert IPv6(seen.packet).src == "2001:db8:fe::9"
    assert IPv6(seen.packet).dst == A6


@ENTRIES
def test_a_packet_too_big_says_no_more_than_our_link_carries(world: World, entry: Entry) -> None:
    about = ip6(src=_pool6(A4), dst=B6) / udp(1300)
    error = ip6(src=B6, dst=_pool6(A4)) / ICMPv6PacketTooBig(mtu=9000) / Raw(bytes(about)[:1000])
    seen = world.run(bytes(error), entry)
    assert IPv6(seen.packet)[ICMPv6PacketTooBig].mtu == 1500


@ENTRIES
def test_the_list_of_the_destination_is_asked(world: World, entry: Entry) -> None:
    """The guest is outside of the nodes' list, and the guests have none."""
    guest6, guest4 = "2001:db8:c::3", "192.175.50.3"
    refused = world.run(bytes(ip6(src=guest6, dst=_pool6(B4)) / udp()), entry)
    assert refused.reasons == {"drop_source_not_allowed": 1, "icmp_error_sent": 1}
    error = IPv6(refused.packet)[ICMPv6DestUnreach]
    assert (IPv6(refused.packet).dst, error.code) == (guest6, 1)
    served = world.run(bytes(ip6(src=A6, dst=_pool6(guest4)) / udp()), entry)
    assert served.reasons == {"forward_hairpin": 1}


@ENTRIES
@pytest.mark.parametrize(("payload", "fits"), [(1452, True), (1453, False)])
def test_too_big_is_told_in_ipv6(world: World, entry: Entry, payload: int, fits: bool) -> None:
    seen = world.run(bytes(ip6(src=A6, dst=_pool6(B4)) / udp(payload)), entry)
    if fits:
        assert seen.reasons == {"forward_hairpin": 1}
    else:
        assert seen.reasons == {"drop_too_big": 1, "icmp_error_sent": 1}
        assert IPv6(seen.packet)[ICMPv6PacketTooBig].mtu == 1500


@ENTRIES
def test_counts_for_the_prefix_of_the_destination(world: World, entry: Entry) -> None:
    before = world.datapath.counters().prefixes
    world.run(bytes(ip6(src=A6, dst=_pool6("192.175.50.3")) / udp(60)), entry)
    after = world.datapath.counters().prefixes
    assert after["guests"][46].packets - before["guests"][46].packets == 1
    assert after["nodes"] == before["nodes"]


@ENTRIES
def test_switched_off_it_goes_out(world: World, entry: Entry) -> None:
    world.commit(replace(tables_for(INSIDE, world.wan, world.lan), hairpin=None))
    seen = world.run(bytes(ip6(src=A6, dst=_pool6(B4)) / udp()), entry)
    assert seen.reasons == {"forward_64": 1}
    assert (IP(seen.packet).src, IP(seen.packet).dst) == (A4, B4)


@ENTRIES
def test_what_comes_back_from_an_ipv4_router(
    world: World, entry: Entry, request: pytest.FixtureRequest
) -> None:
    """RFC 7757 4.2.1: by the simple rules a node inside is never called by its mapping."""
    rules = request.node.callspec.params["inside"]
    packet = IP(src=A4, dst=B4, tos=0x2E, ttl=61, id=7, flags="DF") / udp()
    seen = world.run(bytes(packet), entry)
    assert IPv6(seen.packet).src == {"simple": "64:ff9b::c0af:3001", "intrinsic": A6}[rules]
    about = IP(src=B4, dst=A4, tos=0x2E, ttl=9, id=7, flags="DF") / udp(8)
    error = world.run(bytes(IP(src=A4, dst=B4, ttl=61, id=8) / ICMP(type=11) / about), entry)
    inner = IPv6(error.packet)[ICMPv6TimeExceeded].payload
    assert IPv6(error.packet).src == A6, "of the error itself the mapping may be used"
    assert inner.dst == {"simple": "64:ff9b::c0af:3001", "intrinsic": A6}[rules]


@ENTRIES
def test_what_nobody_serves_is_no_hairpin(world: World, entry: Entry) -> None:
    seen = world.run(bytes(ip6(src=A6, dst=_pool6("192.31.196.9")) / udp()), entry)
    assert seen.reasons == {"forward_64": 1}


@ENTRIES
def test_ttl_is_taken_once(world: World, entry: Entry) -> None:
    expired = world.run(bytes(ip6(src=A6, dst=_pool6(B4), hlim=1) / udp()), entry)
    assert expired.reasons == {"drop_ttl_expired": 1, "icmp_error_sent": 1}
    assert (
        IPv6(world.run(bytes(ip6(src=A6, dst=_pool6(B4), hlim=2) / udp()), entry).packet).hlim == 1
    )


@ENTRIES
def test_the_simplest_error_of_ipv6_udp(world: World, entry: Entry) -> None:
    """IPv6 has no datagram without a checksum."""
    packet = bytes(ip6(src=A6, dst=_pool6(B4)) / UDP(sport=1, dport=2, chksum=0) / Raw(b"x"))
    assert world.run(packet, entry).reasons == {"drop_udp_zero_checksum": 1, "icmp_error_sent": 1}


@ENTRIES
def test_a_clamped_syn(world: World, entry: Entry) -> None:
    tables = tables_for(INSIDE, world.wan, world.lan)
    prefixes = [replace(prefix, max_segment_bytes=1300) for prefix in tables.prefixes]
    world.commit(replace(tables, hairpin="simple", prefixes=prefixes))
    seen = world.run(bytes(ip6(src=A6, dst=_pool6(B4)) / tcp(options=[("MSS", 1440)])), entry)
    wanted = ip6(src=_pool6(A4), dst=B6, hlim=60) / tcp(options=[("MSS", 1300)])
    assert seen.packet == bytes(wanted)


@ENTRIES
def test_an_unreachable_node_is_told_of(world: World, entry: Entry) -> None:
    route.add(IPv6Network(f"{B6}/128"), kind=route.UNREACHABLE)
    try:
        world.datapath.forget_next_hops()
        seen = world.run(bytes(ip6(src=A6, dst=_pool6(B4)) / udp()), entry)
        assert seen.reasons == {"drop_no_route": 1, "icmp_error_sent": 1}
    finally:
        route.remove(IPv6Network(f"{B6}/128"))
        world.datapath.forget_next_hops()
