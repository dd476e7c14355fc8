# SPDX-License-Identifier: Apache-2.0
"""RFC 7757: explicit address mappings (EAM) and the table of them (EAMT)."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sixlane.rfc.longest_match import LongestMatch


@dataclass(frozen=True)
class Eam:
    """One mapping between an IPv4 and an IPv6 prefix (section 3.1).

    `remote`: the IPv4 side names nodes outside, so its IPv6 side is routed to the translator.
    ValueError when the IPv4 suffix is longer than the IPv6 suffix (section 3.2 forbids it).
    """

    ipv4: IPv4Network
    ipv6: IPv6Network
    remote: bool = False

    def __post_init__(self) -> None:
        if self._padding_bits < 0:
            raise ValueError(f"the suffix of {self.ipv4} is longer than that of {self.ipv6}")

    @property
    def _padding_bits(self) -> int:
        """Zero bits to the right of a suffix copied from IPv4 to IPv6."""
        return (128 - self.ipv6.prefixlen) - (32 - self.ipv4.prefixlen)

    def to_ipv6(self, address: IPv4Address) -> IPv6Address:
        """Swap the prefix, copy the suffix, pad on the right with zeros (section 3.3.1)."""
        suffix = int(address) & int(self.ipv4.hostmask)
        return IPv6Address(int(self.ipv6.network_address) | suffix << self._padding_bits)

    def to_ipv4(self, address: IPv6Address) -> IPv4Address:
        """Swap the prefix, copy the leading bits of the suffix, cut the rest (section 3.3.2)."""
        suffix = int(address) & int(self.ipv6.hostmask)
        return IPv4Address(int(self.ipv4.network_address) | suffix >> self._padding_bits)


class Eamt:
    """Explicit mappings, looked up by the longest matching prefix on either side (section 3.3)."""

    def __init__(self, entries: Iterable[Eam]) -> None:
        entries = tuple(entries)
        self._by_ipv4 = LongestMatch((eam.ipv4, eam) for eam in entries)
        self._by_ipv6 = LongestMatch((eam.ipv6, eam) for eam in entries)

    def match_ipv4(self, address: IPv4Address) -> Eam | None:
        """Return the mapping with the longest IPv4 prefix that contains `address`."""
        return self._by_ipv4.find(address)

    def match_ipv6(self, address: IPv6Address) -> Eam | None:
        """Return the mapping with the longest IPv6 prefix that contains `address`."""
        return self._by_ipv6.find(address)

    def to_ipv6(self, address: IPv4Address) -> IPv6Address | None:
        """Translate `address`; None when no mapping contains it."""
        eam = self.match_ipv4(address)
        return eam.to_ipv6(address) if eam else None

    def to_ipv4(self, address: IPv6Address) -> IPv4Address | None:
        """Translate `address`; None when no mapping contains it."""
        eam = self.match_ipv6(address)
        return eam.to_ipv4(address) if eam else None
