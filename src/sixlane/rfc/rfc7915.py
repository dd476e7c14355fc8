# SPDX-License-Identifier: Apache-2.0
"""RFC 7915: the stateless IP/ICMP translation algorithm, one packet at a time.

`translate46` and `translate64` hold the rules of sections 4 and 5 in the order in which they
are asked; this module puts them behind one function and answers the senders of bad packets.
"""

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from sixlane.rfc.addresses import AddressMap, Prefix
from sixlane.rfc.icmp_errors import icmpv4_error, icmpv6_error
from sixlane.rfc.outcome import (
    Drop,
    DropReason,
    Forward,
    Outcome,
    Pass,
    PassReason,
    Refused,
    SlowPath,
)
from sixlane.rfc.path import Path
from sixlane.rfc.policy import Policy
from sixlane.rfc.rfc7757 import Eam
from sixlane.rfc.translate46 import translate46
from sixlane.rfc.translate64 import translate64

__all__ = [
    "Drop",
    "DropReason",
    "Eam",
    "Forward",
    "Outcome",
    "Pass",
    "PassReason",
    "Prefix",
    "SlowPath",
    "Translator",
]


@dataclass(frozen=True)
class Translator:
    """A translator's configuration.

    `icmp_source4` and `icmp_source6`: sources of the ICMP errors that it sends itself.
    `lowest_ipv6_mtu`: bytes, 1280 or more; IPv4 packets that may be fragmented are made to fit.
    `native`: see `AddressMap`. The others: see `Policy`.
    """

    prefixes: tuple[Prefix, ...]
    icmp_source4: IPv4Address
    icmp_source6: IPv6Address
    lowest_ipv6_mtu: int = 1280
    tos: int | None = None
    traffic_class: int | None = None
    udp_compute: bool = False
    hairpin: Literal["simple", "intrinsic"] | None = "simple"
    icmp_pool: tuple[IPv4Network, ...] = ()
    icmp_origin: bool = True
    native: tuple[IPv4Network | IPv6Network, ...] = ()

    def translate(
        self,
        packet: bytes,
        *,
        mtu4: int = 1500,
        mtu6: int = 1500,
        identification: int = 0,
        segment_bytes: int | None = None,
        pool_pick: int = 0,
    ) -> Outcome:
        """Translate one layer-3 packet; any bytes are good, and none raise.

        `mtu4`, `mtu6`: bytes that fit through the next hop of either family.
        `identification`: 16 bits for IPv4 headers of packets that bring none.
        `segment_bytes`: for a super-packet (GSO) the data in each segment; what is said of
        sizes then holds for one segment, while the result is the whole super-packet.
        `pool_pick`: which address of `icmp_pool` is drawn, counted through its ranges.
        Bytes after the packet's own length (Ethernet padding) are ignored and not returned.
        """
        path = Path(mtu4, mtu6, self.lowest_ipv6_mtu, identification, segment_bytes, pool_pick)
        is_ipv6 = packet[:1] != b"" and packet[0] >> 4 == 6
        try:
            if is_ipv6:
                return translate64(packet, self.addresses, path, self._policy)
            return translate46(packet, self.addresses, path, self._policy)
        except Refused as refused:
            if refused.answer is None:
                return Drop(refused.reason, None)
            if is_ipv6:
                error = icmpv6_error(refused.answer, packet, self.icmp_source6)
            else:
                error = icmpv4_error(refused.answer, packet, self.icmp_source4)
            return Drop(refused.reason, error)

    @cached_property
    def addresses(self) -> AddressMap:
        """Return the mapping of addresses that all prefixes make together."""
        return AddressMap(
            self.prefixes, simple_hairpin=self.hairpin == "simple", native=self.native
        )

    @cached_property
    def _policy(self) -> Policy:
        return Policy(
            self.tos,
            self.traffic_class,
            self.udp_compute,
            self.hairpin,
            self.icmp_pool,
            self.icmp_origin,
        )
