# SPDX-License-Identifier: Apache-2.0
"""RFC 7757."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from sixlane.rfc.rfc7757 import Eam, Eamt


def eam(ipv4: str, ipv6: str) -> Eam:
    return Eam(IPv4Network(ipv4), IPv6Network(ipv6))


# The example table of section 3.2 and the addresses of its companion table.
EXAMPLE = Eamt(
    [
        eam("192.0.2.1", "2001:db8:aaaa::"),
        eam("192.0.2.2/32", "2001:db8:bbbb::b/128"),
        eam("192.0.2.16/28", "2001:db8:cccc::/124"),
        eam("192.0.2.128/26", "2001:db8:dddd::/64"),
        eam("192.0.2.192/29", "2001:db8:eeee:8::/62"),
        eam("192.0.2.224/31", "64:ff9b::/127"),
    ]
)
ADDRESSES = [
    ("192.0.2.1", "2001:db8:aaaa::"),
    ("192.0.2.2", "2001:db8:bbbb::b"),
    ("192.0.2.16", "2001:db8:cccc::"),
    ("192.0.2.24", "2001:db8:cccc::8"),
    ("192.0.2.31", "2001:db8:cccc::f"),
    ("192.0.2.128", "2001:db8:dddd::"),
    ("192.0.2.152", "2001:db8:dddd:0:6000::"),
    ("192.0.2.183", "2001:db8:dddd:0:dc00::"),
    ("192.0.2.191", "2001:db8:dddd:0:fc00::"),
    ("192.0.2.193", "2001:db8:eeee:8:8000::"),
    ("192.0.2.199", "2001:db8:eeee:b:8000::"),
    ("192.0.2.224", "64:ff9b::"),
    ("192.0.2.225", "64:ff9b::1"),
]


@pytest.mark.conformance(69)
@pytest.mark.parametrize(("ipv4", "ipv6"), ADDRESSES)
def test_example_addresses(ipv4: str, ipv6: str) -> None:
    assert EXAMPLE.to_ipv6(IPv4Address(ipv4)) == IPv6Address(ipv6)
    assert EXAMPLE.to_ipv4(IPv6Address(ipv6)) == IPv4Address(ipv4)


def test_no_mapping() -> None:
    assert EXAMPLE.to_ipv6(IPv4Address("192.0.2.3")) is None
    assert EXAMPLE.to_ipv4(IPv6Address("2001:db8:aaaa::1")) is None


@pytest.mark.conformance(69)
def test_longer_ipv6_suffix_is_cut() -> None:
    address = IPv6Address("2001:db8:dddd:0:63ff:ffff:ffff:ffff")
    assert EXAMPLE.to_ipv4(address) == IPv4Address("192.0.2.152")


@pytest.mark.conformance(69)
def test_longest_prefix_matches_on_either_side() -> None:
    table = Eamt(
        [eam("0.0.0.0/0", "2001:db8::/32"), eam("192.0.2.4/32", "2001:db8:c000:204::/128")]
    )
    assert table.to_ipv6(IPv4Address("192.0.2.4")) == IPv6Address("2001:db8:c000:204::")
    assert table.to_ipv6(IPv4Address("192.0.2.5")) == IPv6Address("2001:db8:c000:205::")
    assert table.to_ipv4(IPv6Address("2001:db8:c000:204::")) == IPv4Address("192.0.2.4")
    assert table.to_ipv4(IPv6Address("2001:db8:c000:205::")) == IPv4Address("192.0.2.5")


@pytest.mark.conformance(69)
def test_ipv4_suffix_longer_than_ipv6_suffix() -> None:
    with pytest.raises(ValueError, match="suffix"):
        eam("192.0.2.0/24", "2001:db8::/121")
