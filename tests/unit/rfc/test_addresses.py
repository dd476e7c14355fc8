# SPDX-License-Identifier: Apache-2.0
"""RFC 6052 and RFC 7757 in whole packets: addresses of headers and of quoted headers."""

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network

import pytest
from scapy.layers.inet import UDP
from scapy.packet import Raw

from sixlane.rfc.rfc6052 import WELL_KNOWN
from sixlane.rfc.rfc7757 import Eam
from sixlane.rfc.rfc7915 import DropReason, Prefix, Translator
from tests.unit.rfc.vectors import (
    TRANSLATOR,
    dropped,
    forwarded,
    icmp4,
    icmp6,
    ip4,
    ip6,
    refused,
    tcp,
    udp,
)


def serving(network: str, ipv4: str, *eam: Eam) -> Translator:
    entry = Prefix("p", IPv6Network(network), (IPv4Network(ipv4),), None, eam)
    return replace(TRANSLATOR, prefixes=(entry,))


# RFC 6052 section 2.4, tables 1 and 2; the second column of addresses is 198.51.100.7 = c6336407.
LENGTHS = [
    ("2001:db8::/32", "2001:db8:c000:221::", "2001:db8:c633:6407::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::", "2001:db8:1c6:3364:7::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::", "2001:db8:122:c633:64:700::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::", "2001:db8:122:3c6:33:6407::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344:c6:3364:700::"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::c000:221", "2001:db8:122:344::c633:6407"),
]
OUTSIDE4, INSIDE4 = "192.0.2.33", "198.51.100.7"


@pytest.mark.conformance(60, 65, 66)
@pytest.mark.parametrize(("network", "outside6", "inside6"), LENGTHS)
@pytest.mark.parametrize("upper", [tcp, udp])
def test_prefixes_of_all_lengths(network: str, outside6: str, inside6: str, upper: object) -> None:
    assert callable(upper)
    translator = serving(network, "198.51.100.0/24")
    as4, as6 = ip4(upper()), ip6(upper(), outside6, inside6, fl=0, hlim=56)
    assert forwarded(as4, translator) == as6
    back6 = ip6(upper(), inside6, outside6)
    back4 = ip4(upper(), INSIDE4, OUTSIDE4, ttl=56, flags="", id=0)
    assert forwarded(back6, translator) == back4


@pytest.mark.conformance(66)
@pytest.mark.parametrize(("network", "outside6", "inside6"), LENGTHS[:5])
def test_bits_that_stand_for_nothing(network: str, outside6: str, inside6: str) -> None:
    """The u octet and the suffix: bits 64 to 71 are the 9th octet, the last octet is suffix."""
    translator = serving(network, "198.51.100.0/24")
    odd = 0xFF << 56 | 0x5A
    source, destination = (str(IPv6Address(int(IPv6Address(a)) | odd)) for a in (inside6, outside6))
    seen = forwarded(ip6(udp(), source, destination), translator)
    assert seen == ip4(udp(), INSIDE4, OUTSIDE4, ttl=56, flags="", id=0)


@pytest.mark.conformance(65, 66)
@pytest.mark.parametrize("network", ["2001:db8::/33", "2001:db8::/72", "2001:db8:0:0:100::/96"])
def test_prefixes_that_are_none(network: str) -> None:
    with pytest.raises(ValueError, match="RFC 6052"):
        serving(network, "198.51.100.0/24")


PRIVATE = ["10.0.0.1", "100.64.0.1", "172.16.0.1", "192.168.0.1", "198.18.0.1", "203.0.113.1"]


@pytest.mark.conformance(67)
@pytest.mark.parametrize("private", PRIVATE)
def test_the_well_known_prefix_stands_for_global_addresses_only(private: str) -> None:
    """As a source and as a destination, in headers and in what errors quote, both ways."""
    translator = serving(str(WELL_KNOWN), "0.0.0.0/0")
    node4, node6 = "192.175.48.1", "64:ff9b::192.175.48.1"
    private6 = f"64:ff9b::{private}"
    for source, destination in ((private, node4), (node4, private)):
        assert refused(ip4(udp(), source, destination), translator)[0] == DropReason.NOT_GLOBAL
        error = icmp4(3, 1, 0, ip4(udp(), source, destination))
        assert dropped(ip4(error, node4, node4, proto=1), translator) == DropReason.NOT_GLOBAL

    outward = serving(str(WELL_KNOWN), "192.175.48.0/24")
    peer6 = "64:ff9b::192.31.196.1"
    for source, destination in ((private6, peer6), (node6, private6)):
        assert refused(ip6(udp(), source, destination), outward)[0] == DropReason.NOT_GLOBAL
        quote = ip6(udp(), destination, source)
        error = ip6(icmp6(3, 0, 0, quote, node6, peer6), node6, peer6, nh=58)
        assert dropped(error, outward) == DropReason.NOT_GLOBAL


@pytest.mark.conformance(68)
@pytest.mark.parametrize("private", PRIVATE)
@pytest.mark.parametrize(
    ("network", "spelled"),
    [
        ("64:ff9b:1::/48", lambda n: n >> 16 << 64 | (n & 0xFFFF) << 40),
        ("64:ff9b:1:abcd::/64", lambda n: 0xABCD << 64 | n << 24),
        ("64:ff9b:1::/96", lambda n: n),
    ],
)
def test_the_local_use_prefix_stands_for_all(private: str, network: str, spelled: object) -> None:
    """RFC 8215. At /48 the IPv4 address is 16 bits, the u octet, 16 bits; at /64 it follows u."""
    assert callable(spelled)
    base = 0x0064FF9B0001 << 80
    translator = serving(network, private + "/32")
    private6 = str(IPv6Address(base | spelled(int.from_bytes(bytes(map(int, private.split(".")))))))
    outside6 = str(IPv6Address(base | spelled(0x0A090807)))
    seen = forwarded(ip4(udp(), "10.9.8.7", private), translator)
    assert seen == ip6(udp(), outside6, private6, fl=0, hlim=56)
    back = forwarded(ip6(udp(), private6, outside6), translator)
    assert back == ip4(udp(), private, "10.9.8.7", ttl=56, flags="", id=0)


INSIDE = Eam(IPv4Network("198.51.100.64/26"), IPv6Network("2001:db8:a::/64"))
LONGER = Eam(IPv4Network("198.51.100.80/28"), IPv6Network("2001:db8:b::/124"))
HOST = Eam(IPv4Network("198.51.100.81/32"), IPv6Network("2001:db8:c::81/128"))
REMOTE = Eam(IPv4Network("192.0.2.32/29"), IPv6Network("2001:db8:d::/125"), remote=True)


@pytest.mark.conformance(69, 70)
@pytest.mark.parametrize(
    ("ipv4", "ipv6"),
    [
        ("198.51.100.65", "2001:db8:a:0:400::"),  # 1 in the 6 bits behind /64
        ("198.51.100.127", "2001:db8:a:0:fc00::"),
        ("198.51.100.80", "2001:db8:b::"),
        ("198.51.100.82", "2001:db8:b::2"),
        ("198.51.100.81", "2001:db8:c::81"),
        ("198.51.100.7", "2001:db8:46::c633:6407"),  # none: embedded
    ],
)
@pytest.mark.parametrize(
    ("peer4", "peer6"),
    [("192.0.2.33", "2001:db8:d::1"), ("192.0.2.41", "2001:db8:46::192.0.2.41")],
)
def test_mappings_are_for_each_address_by_itself(
    ipv4: str, ipv6: str, peer4: str, peer6: str
) -> None:
    translator = serving("2001:db8:46::/96", "198.51.100.0/24", INSIDE, LONGER, HOST, REMOTE)
    in4, in6 = ip4(udp(), peer4, ipv4), ip6(udp(), peer6, ipv6, fl=0, hlim=56)
    assert forwarded(in4, translator) == in6
    assert forwarded(ip6(udp(), ipv6, peer6), translator) == ip4(
        udp(), ipv4, peer4, ttl=56, flags="", id=0
    )

    quote4, quote6 = ip4(udp(), ipv4, peer4, ttl=1), ip6(udp(), ipv6, peer6, fl=0, hlim=1)
    error4 = ip4(icmp4(11, 0, 0, quote4), peer4, ipv4, proto=1)
    error6 = ip6(icmp6(3, 0, 0, quote6, peer6, ipv6), peer6, ipv6, nh=58, fl=0, hlim=56)
    assert forwarded(error4, translator) == error6

    quote6 = ip6(udp(), peer6, ipv6, hlim=1)
    quote4 = ip4(udp(), peer4, ipv4, ttl=1, flags="", id=0)
    error6 = ip6(icmp6(3, 0, 0, quote6, ipv6, peer6), ipv6, peer6, nh=58)
    error4 = ip4(icmp4(11, 0, 0, quote4), ipv4, peer4, proto=1, ttl=56, flags="", id=0)
    assert forwarded(error6, translator) == error4


@pytest.mark.conformance(69)
def test_bits_behind_a_suffix_are_cut() -> None:
    translator = serving("2001:db8:46::/96", "198.51.100.0/24", INSIDE)
    seen = forwarded(ip6(udp(), "2001:db8:a:0:7ff:ffff::1", "2001:db8:46::192.0.2.33"), translator)
    assert seen[12:16] == bytes((198, 51, 100, 65))  # 0x07ff begins with 000001


@pytest.mark.conformance(60)
@pytest.mark.parametrize("upper", [tcp, udp])
def test_a_neutral_prefix_leaves_checksums(upper: object) -> None:
    """64:ff9b: and 0x0064 + 0xff9b = 0xffff, which is zero."""
    assert callable(upper)
    translator = serving(str(WELL_KNOWN), "192.175.48.0/24")
    packet = ip4(upper(), "192.31.196.1", "192.175.48.1")
    assert forwarded(packet, translator)[40:] == packet[20:]


@pytest.mark.conformance(61)
@pytest.mark.parametrize("to", [4, 6])
def test_a_udp_checksum_never_becomes_zero(to: int) -> None:
    """With the sum of all else as data the result's would be 0: it is sent as 0xffff."""
    inside6, outside6 = "2001:db8:46::198.51.100.7", "2001:db8:46::192.0.2.33"

    def datagram(data: bytes) -> UDP:
        return UDP(sport=5, dport=6) / Raw(data)

    if to == 6:
        filler = ip6(datagram(b"\0\0"), outside6, inside6)[46:48]
        seen = forwarded(ip4(datagram(filler)))[46:48]
    else:
        filler = ip4(datagram(b"\0\0"), INSIDE4, OUTSIDE4)[26:28]
        seen = forwarded(ip6(datagram(filler)))[26:28]
    assert seen == b"\xff\xff"
