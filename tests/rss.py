# SPDX-License-Identifier: Apache-2.0
"""Which queue a NIC puts a packet in (receive side scaling): by Toeplitz' hash of its addresses."""

from ipaddress import IPv4Address, IPv6Address

_KEY = bytes.fromhex(
    "6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa"
)
"""Which drivers have by default, and for which results are published."""

Address = IPv4Address | IPv6Address


def toeplitz(source: Address, destination: Address) -> int:
    """Of 32 bits, of both addresses alone: of what has no ports, as a tunnel."""
    data = source.packed + destination.packed
    key, key_bits = int.from_bytes(_KEY, "big"), 8 * len(_KEY)
    found = 0
    for at in range(8 * len(data)):
        if data[at // 8] >> (7 - at % 8) & 1:
            found ^= key >> (key_bits - 32 - at) & 0xFFFFFFFF
    return found


def queue(source: Address, destination: Address, queues: int) -> int:
    """By a table of 128 entries, which names the queues in turn."""
    return toeplitz(source, destination) % 128 % queues
