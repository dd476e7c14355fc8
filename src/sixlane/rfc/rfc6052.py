# SPDX-License-Identifier: Apache-2.0
"""RFC 6052: IPv4 addresses embedded in IPv6 addresses."""

from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from sixlane.rfc.longest_match import LongestMatch

WELL_KNOWN: Final = IPv6Network("64:ff9b::/96")
PREFIX_LENGTHS: Final = (32, 40, 48, 56, 64, 96)

U_OCTET: Final = 8
"""The octet of bits 64 to 71, which is zero and carries no part of the address (section 2.2)."""

NOT_GLOBAL: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared address space
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation (TEST-NET-1)
        "192.88.99.0/24",  # deprecated 6to4 relay anycast
        "192.168.0.0/16",  # private use
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation (TEST-NET-2)
        "203.0.113.0/24",  # documentation (TEST-NET-3)
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the limited broadcast address
    )
)
"""IANA IPv4 Special-Purpose Address Registry (RFC 6890): rows that are not globally reachable."""

GLOBAL_EXCEPTIONS: Final = frozenset(
    {
        IPv4Address("192.0.0.9"),  # Port Control Protocol anycast (RFC 7723)
        IPv4Address("192.0.0.10"),  # TURN anycast (RFC 8155)
    }
)
"""Globally reachable addresses inside a row that is not."""


_NOT_GLOBAL: Final = LongestMatch((network, network) for network in NOT_GLOBAL)


def is_global(address: IPv4Address) -> bool:
    """Tell whether the well-known prefix may represent `address` (section 3.1)."""
    if address in GLOBAL_EXCEPTIONS:
        return True
    return _NOT_GLOBAL.find(address) is None


def is_valid_prefix(network: IPv6Network) -> bool:
    """Tell whether `network` has a length of section 2.2 and leaves the u octet zero."""
    return network.prefixlen in PREFIX_LENGTHS and network.network_address.packed[U_OCTET] == 0


@cache
def _address_octets(prefix_length: int) -> tuple[int, ...]:
    """Return which 4 octets of an IPv6 address hold the IPv4 address (section 2.2, figure 1)."""
    after_prefix = range(prefix_length // 8, 16)
    return tuple(octet for octet in after_prefix if octet != U_OCTET)[:4]


def embed(prefix: IPv6Network, address: IPv4Address) -> IPv6Address:
    """Return the IPv4-embedded IPv6 address; u octet and suffix are zero (section 2.3).

    `prefix` satisfies `is_valid_prefix`.
    """
    octets = bytearray(prefix.network_address.packed)
    for octet, value in zip(_address_octets(prefix.prefixlen), address.packed, strict=True):
        octets[octet] = value
    return IPv6Address(bytes(octets))


def extract(prefix: IPv6Network, address: IPv6Address) -> IPv4Address:
    """Return the IPv4 address in `address`, whose u octet and suffix are ignored (section 2.3).

    `prefix` satisfies `is_valid_prefix` and contains `address`.
    """
    octets = address.packed
    return IPv4Address(bytes(octets[octet] for octet in _address_octets(prefix.prefixlen)))


def embed_network(prefix: IPv6Network, network: IPv4Network) -> IPv6Network:
    """Return what stands for a whole IPv4 network, without the addresses' suffixes."""
    first = embed(prefix, network.network_address)
    return IPv6Network((first, length(prefix, network)))


def length(prefix: IPv6Network, network: IPv4Network) -> int:
    """Return how long the IPv6 prefix of a whole IPv4 network is, embedded in `prefix`.

    From bit 64 on the u octet, which never differs, counts as part of it.
    """
    bits = prefix.prefixlen + network.prefixlen
    return bits + 8 if prefix.prefixlen <= U_OCTET * 8 <= bits else bits
