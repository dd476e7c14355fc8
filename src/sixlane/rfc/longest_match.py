# SPDX-License-Identifier: Apache-2.0
"""The longest prefix that contains an address, found without a look at all of them."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LongestMatch(Generic[Value]):
    """Values by network, all of one family; of equal networks the first counts."""

    def __init__(self, entries: Iterable[tuple[IPv4Network | IPv6Network, Value]]) -> None:
        by_suffix: dict[int, dict[int, Value]] = {}
        for network, value in entries:
            suffix_bits = network.max_prefixlen - network.prefixlen
            prefix = int(network.network_address) >> suffix_bits
            by_suffix.setdefault(suffix_bits, {}).setdefault(prefix, value)
        self._by_suffix = sorted(by_suffix.items())

    def find(self, address: IPv4Address | IPv6Address) -> Value | None:
        """Return the value of the longest network that contains `address`."""
        number = int(address)
        for suffix_bits, values in self._by_suffix:
            if (value := values.get(number >> suffix_bits)) is not None:
                return value
        return None
