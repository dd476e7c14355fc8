# SPDX-License-Identifier: Apache-2.0
"""RFC 6052."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network

import pytest

from sixlane.rfc.rfc6052 import embed, extract, is_global, is_valid_prefix

# Section 2.4, tables 1 and 2: prefix, IPv4 address, IPv4-embedded IPv6 address.
TABLES = [
    ("2001:db8::/32", "192.0.2.33", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "192.0.2.33", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "192.0.2.33", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "192.0.2.33", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "192.0.2.33", "2001:db8:122:344:c0:2:2100::"),
    ("2001:db8:122:344::/96", "192.0.2.33", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "192.0.2.33", "64:ff9b::192.0.2.33"),
]


@pytest.mark.conformance(65)
@pytest.mark.parametrize(("prefix", "ipv4", "ipv6"), TABLES)
def test_tables_of_section_2_4(prefix: str, ipv4: str, ipv6: str) -> None:
    network = IPv6Network(prefix)
    assert embed(network, IPv4Address(ipv4)) == IPv6Address(ipv6)
    assert extract(network, IPv6Address(ipv6)) == IPv4Address(ipv4)


@pytest.mark.conformance(66)
def test_u_octet_and_suffix_are_ignored() -> None:
    address = IPv6Address("2001:db8:1c0:2:ff21:1234:5678:9abc")
    assert extract(IPv6Network("2001:db8:100::/40"), address) == IPv4Address("192.0.2.33")


@pytest.mark.conformance(65, 66)
@pytest.mark.parametrize(
    ("prefix", "valid"),
    [
        *((prefix, True) for prefix, _, _ in TABLES),
        ("2001:db8::/31", False),
        ("2001:db8::/33", False),
        ("2001:db8::/72", False),
        ("2001:db8::/128", False),
        ("2001:db8:0:0:ff:1::/96", True),  # bits 64 to 71 are zero, 72 to 79 are not
        ("2001:db8:0:0:100::/96", False),
    ],
)
def test_prefixes_of_section_2_2(prefix: str, valid: bool) -> None:
    assert is_valid_prefix(IPv6Network(prefix)) is valid


# First and last address of each row of the registry, and their neighbours outside.
SPECIAL = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.8"),
    ("192.0.0.11", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "255.255.255.255"),
]


@pytest.mark.conformance(67)
@pytest.mark.parametrize(("first", "last"), SPECIAL)
def test_special_purpose_addresses_are_not_global(first: str, last: str) -> None:
    low, high = IPv4Address(first), IPv4Address(last)
    assert not is_global(low) and not is_global(high)
    assert low == IPv4Address(0) or is_global(low - 1)
    assert high == IPv4Address(2**32 - 1) or is_global(high + 1)


@pytest.mark.conformance(67)
@pytest.mark.parametrize("address", ["192.0.0.9", "192.0.0.10", "192.31.196.1", "192.52.193.1"])
def test_global_rows_of_the_registry(address: str) -> None:
    assert is_global(IPv4Address(address))
    assert is_global(IPv4Address("192.175.48.1"))
