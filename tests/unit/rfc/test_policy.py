# SPDX-License-Identifier: Apache-2.0
"""Where the RFCs leave a choice: both sides of each."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Raw

from sixlane.rfc import rfc9293
from sixlane.rfc.outcome import DropReason
from sixlane.rfc.rfc7757 import Eam
from tests.unit.rfc.test_icmp_errors import error4, error6, quoted4, quoted6
from tests.unit.rfc.vectors import (
    EDGE,
    INSIDE4,
    TRANSLATOR,
    dropped,
    forwarded,
    ip4,
    ip6,
    raw,
    refused,
    udp,
)


@pytest.mark.conformance(3, 12)
def test_a_fixed_tos_and_class() -> None:
    """In the header of what is sent; what an error quotes shows what was received."""
    fixed = replace(TRANSLATOR, tos=0x28, traffic_class=0x50)
    assert forwarded(ip6(udp()), fixed)[1] == 0x28
    assert forwarded(ip4(udp()), fixed)[:2] == b"\x65\x00"
    error = forwarded(error6(quoted6(udp()), 3, 0, 0), fixed)
    assert (error[1], error[29]) == (0x28, 0xB9)
    error = forwarded(error4(quoted4(udp()), 11, 0, 0), fixed)
    assert (error[:2], error[48:50]) == (b"\x65\x00", b"\x6b\x90")


@pytest.mark.conformance(62)
@pytest.mark.parametrize("data", [b"", b"1", b"23", bytes(1200)])
def test_a_missing_udp_checksum_is_computed(data: bytes) -> None:
    compute = replace(TRANSLATOR, udp_compute=True)
    bare = ip4(UDP(sport=5, dport=6, chksum=0) / Raw(data))
    assert forwarded(bare, compute) == forwarded(ip4(UDP(sport=5, dport=6) / Raw(data)), compute)
    assert refused(bare)[0] == DropReason.UDP_ZERO_CHECKSUM


@pytest.mark.conformance(63)
def test_of_a_first_fragment_it_cannot_be() -> None:
    compute = replace(TRANSLATOR, udp_compute=True)
    first = ip4(UDP(sport=5, dport=6, len=2000, chksum=0) / bytes(64), flags="MF")
    assert refused(first, compute)[0] == DropReason.UDP_ZERO_CHECKSUM


@pytest.mark.parametrize(("length", "right"), [(7, False), (8, True), (12, True), (13, False)])
def test_the_datagrams_own_length_counts(length: int, right: bool) -> None:
    compute = replace(TRANSLATOR, udp_compute=True)
    packet = ip4(UDP(sport=5, dport=6, len=length, chksum=0) / Raw(b"1234"))
    if right:
        datagram = forwarded(packet, compute)[40:]
        summed = IPv6(forwarded(packet, compute)[:40] + datagram[:length])
        del summed[UDP].chksum
        summed[UDP].len = length
        assert bytes(summed)[46:48] == datagram[6:8]
    else:
        assert dropped(packet, compute) == DropReason.MALFORMED


def test_the_first_mss_option_is_lowered() -> None:
    options = [("NOP", None), ("MSS", 1460), ("MSS", 1400)]
    syn = TCP(sport=1, dport=2, flags="S", options=options)
    clamped = replace(TRANSLATOR, prefixes=(replace(EDGE, max_segment=1300),))
    seen = IPv6(forwarded(ip4(syn), clamped))
    assert [value for kind, value in seen[TCP].options if kind == "MSS"] == [1300, 1400]
    checksum = seen[TCP].chksum
    del seen[TCP].chksum
    assert IPv6(bytes(seen))[TCP].chksum == checksum


@pytest.mark.parametrize(("flags", "most"), [("S", None), ("A", 1300), ("S", 1460)])
def test_otherwise_it_stays(flags: str, most: int | None) -> None:
    segment = bytes(TCP(flags=flags, options=[("MSS", 1460)]))
    assert rfc9293.clamp(segment, most) == segment


# ---- hairpins ----

MAPPED = replace(
    EDGE,
    eam=(
        Eam(IPv4Network("198.51.100.64/32"), IPv6Network("2001:db8:a::1/128")),
        Eam(IPv4Network("198.51.100.65/32"), IPv6Network("2001:db8:b::2/128")),
    ),
)
INSIDE = replace(TRANSLATOR, prefixes=(MAPPED,))
A6, A_IN_POOL6 = "2001:db8:a::1", "2001:db8:46::198.51.100.64"
B6, B_IN_POOL6 = "2001:db8:b::2", "2001:db8:46::198.51.100.65"


@pytest.mark.conformance(71)
@pytest.mark.parametrize("rules", ["simple", "intrinsic"])
def test_a_hairpin_changes_addresses_and_the_hop_limit(
    rules: Literal["simple", "intrinsic"],
) -> None:
    translator = replace(INSIDE, hairpin=rules)
    seen = forwarded(ip6(udp(), A6, B_IN_POOL6), translator)
    assert seen == ip6(udp(), A_IN_POOL6, B6, hlim=56)
    answer = forwarded(ip6(udp(), B6, A_IN_POOL6), translator)
    assert answer == ip6(udp(), B_IN_POOL6, A6, hlim=56)


@pytest.mark.conformance(70, 71)
def test_errors_about_a_hairpin_quote_what_was_sent() -> None:
    about = ip6(udp(), A_IN_POOL6, B6, hlim=3)
    error = ip6(ICMPv6TimeExceeded() / raw(about), B6, A_IN_POOL6)
    sent = ip6(udp(), A6, B_IN_POOL6, hlim=3)
    wanted = ip6(ICMPv6TimeExceeded() / raw(sent), B_IN_POOL6, A6, hlim=56)
    assert forwarded(error, INSIDE) == wanted


@pytest.mark.conformance(71)
def test_hairpins_may_be_switched_off() -> None:
    seen = forwarded(ip6(udp(), A6, B_IN_POOL6), replace(INSIDE, hairpin=None))
    assert seen[12:20] == bytes((198, 51, 100, 64, 198, 51, 100, 65))


@pytest.mark.conformance(71)
@pytest.mark.parametrize("rules", ["simple", "intrinsic"])
def test_by_the_simple_rules_a_mapped_source_is_never_called_so(
    rules: Literal["simple", "intrinsic"],
) -> None:
    """RFC 7757 4.2.1: an IPv4 router has sent back what came from inside."""
    translator = replace(INSIDE, hairpin=rules)
    seen = IPv6(forwarded(ip4(udp(), "198.51.100.64", INSIDE4), translator))
    assert seen.src == {"simple": "2001:db8:46::c633:6440", "intrinsic": A6}[rules]


@pytest.mark.conformance(69)
def test_a_longer_mapping_wins_in_each_family() -> None:
    """Overlapping mappings, and a suffix that is padded or cut (RFC 7757 section 3)."""
    eam = (
        Eam(IPv4Network("198.51.100.128/25"), IPv6Network("2001:db8:c::/64")),
        Eam(IPv4Network("198.51.100.192/26"), IPv6Network("2001:db8:d::/122")),
    )
    translator = replace(TRANSLATOR, prefixes=(replace(EDGE, eam=eam),))
    for ipv4, ipv6 in {
        "198.51.100.129": "2001:db8:c:0:200::",  # 7 bits behind /64, the rest zero
        "198.51.100.193": "2001:db8:d::1",
    }.items():
        assert IPv6(forwarded(ip4(udp(), dst=ipv4), translator)).dst == ipv6
        back = forwarded(ip6(udp(), src=ipv6), translator)
        assert back[12:16] == bytes(map(int, ipv4.split(".")))
