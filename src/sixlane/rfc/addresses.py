# SPDX-License-Identifier: Apache-2.0
"""Which addresses are translated, and into which (RFC 7915 section 6, RFC 6052, RFC 7757)."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sixlane.rfc import rfc6052
from sixlane.rfc.longest_match import LongestMatch
from sixlane.rfc.rfc7757 import Eam, Eamt


@dataclass(frozen=True)
class Prefix:
    """One entry: a translation prefix and the IPv4 addresses that stand for IPv6 nodes inside.

    `network`: a prefix of RFC 6052; entries may share it. `ipv4`: the IPv4 addresses served by
    embedding. `sources`: IPv4 sources that may come in, None for all. `eam`: explicit mappings.
    `max_segment`: what a TCP SYN may offer, in bytes; None: whatever it does.
    ValueError when `network` is no valid prefix.
    """

    name: str
    network: IPv6Network
    ipv4: tuple[IPv4Network, ...]
    sources: tuple[IPv4Network, ...] | None
    eam: tuple[Eam, ...]
    max_segment: int | None = None

    def __post_init__(self) -> None:
        if not rfc6052.is_valid_prefix(self.network):
            raise ValueError(f"{self.network} is no translation prefix of RFC 6052")

    def serves(self) -> tuple[IPv4Network, ...]:
        """Return the IPv4 destinations that this entry translates."""
        return self.ipv4 + tuple(eam.ipv4 for eam in self.eam if not eam.remote)

    def allows(self, source: IPv4Address) -> bool:
        """Tell whether packets from `source` may come in."""
        return self.sources is None or any(source in network for network in self.sources)


@dataclass(frozen=True)
class _Pool6:
    """A prefix, and the IPv4 addresses of the nodes inside that all its entries embed in it."""

    network: IPv6Network
    nodes: LongestMatch[Prefix]
    is_well_known: bool

    @classmethod
    def of(cls, network: IPv6Network, prefixes: tuple[Prefix, ...]) -> "_Pool6":
        of_network = [prefix for prefix in prefixes if prefix.network == network]
        nodes = LongestMatch((ipv4, prefix) for prefix in of_network for ipv4 in prefix.ipv4)
        return cls(network, nodes, network == rfc6052.WELL_KNOWN)


class AddressMap:
    """The address translation that all entries of a translator make together.

    `native`: networks that have a route of their own. Where one is longer than what would
    translate an address, packets to it are forwarded as they are (RFC 7915 sections 4.6 and 5.6).
    """

    def __init__(
        self,
        prefixes: tuple[Prefix, ...],
        *,
        simple_hairpin: bool = False,
        native: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        self._simple_hairpin = simple_hairpin
        self._eamt = Eamt(eam for prefix in prefixes for eam in prefix.eam)
        self._native4 = LongestMatch((one, one) for one in native if one.version == 4)
        self._native6 = LongestMatch((one, one) for one in native if one.version == 6)
        self._served = LongestMatch(
            (network, (network, prefix)) for prefix in prefixes for network in prefix.serves()
        )
        self._pool6 = LongestMatch(
            (prefix.network, _Pool6.of(prefix.network, prefixes)) for prefix in prefixes
        )

    def serving(self, address: IPv4Address) -> Prefix | None:
        """Return the entry that serves `address`: the one with the longest matching range."""
        network, prefix = self._served.find(address) or (None, None)
        route = self._native4.find(address)
        return None if network and route and route.prefixlen > network.prefixlen else prefix

    def is_ours(self, address: IPv6Address) -> bool:
        """Tell whether packets to `address` come to the translator."""
        if self._pool6.find(address) is not None:
            return True
        eam, route = self._eamt.match_ipv6(address), self._native6.find(address)
        if eam is None or not eam.remote:
            return False
        return route is None or route.prefixlen <= eam.ipv6.prefixlen

    def is_native(self, address: IPv6Address) -> bool:
        """Tell whether `address`, which is in pool6, is left to native routing (section 5.6).

        It is the IPv4-translatable address of a node inside, or what has a route of its own.
        """
        pool6 = self._pool6.find(address)
        if pool6 is None:
            return False
        ipv4 = rfc6052.extract(pool6.network, address)
        eam = self._eamt.match_ipv4(ipv4)
        if eam is None and pool6.nodes.find(ipv4) is not None and self.serving(ipv4) is not None:
            return True
        route = self._native6.find(rfc6052.embed(pool6.network, ipv4))
        translated = rfc6052.length(pool6.network, eam.ipv4) if eam else pool6.network.prefixlen
        return route is not None and route.prefixlen > translated

    def to_ipv6(self, address: IPv4Address, prefix: Prefix, *, peer: bool = False) -> IPv6Address:
        """Map by the longest EAM of all entries, else by embedding in `prefix`.

        `peer`: the other end of what may be a hairpin (RFC 7757 section 4.2.1).
        """
        eam = self._eam4(address, peer=peer)
        return eam.to_ipv6(address) if eam else rfc6052.embed(prefix.network, address)

    def to_ipv4(self, address: IPv6Address) -> IPv4Address | None:
        """Map by the longest EAM, else by extraction from the longest prefix; None: neither."""
        return self._eamt.to_ipv4(address) or self._extract(address)

    def breaks_well_known_46(
        self, address: IPv4Address, prefix: Prefix, *, peer: bool = False
    ) -> bool:
        """Tell whether a non-global address would go into 64:ff9b::/96 (RFC 6052 section 3.1)."""
        return cannot_embed(address, prefix) and self._eam4(address, peer=peer) is None

    def breaks_well_known_64(self, address: IPv6Address) -> bool:
        """Tell whether a non-global address would come out of 64:ff9b::/96."""
        pool6 = self._pool6.find(address)
        if pool6 is None or not pool6.is_well_known or self._eamt.match_ipv6(address):
            return False
        return not rfc6052.is_global(rfc6052.extract(rfc6052.WELL_KNOWN, address))

    def _eam4(self, address: IPv4Address, *, peer: bool) -> Eam | None:
        """The mapping to be used; nodes inside are called by pool6 where they are a peer."""
        eam = self._eamt.match_ipv4(address)
        return None if eam and not eam.remote and peer and self._simple_hairpin else eam

    def _extract(self, address: IPv6Address) -> IPv4Address | None:
        pool6 = self._pool6.find(address)
        return rfc6052.extract(pool6.network, address) if pool6 else None


def cannot_embed(address: IPv4Address, prefix: Prefix) -> bool:
    """Tell whether 64:ff9b::/96 would have to stand for a non-global address."""
    return prefix.network == rfc6052.WELL_KNOWN and not rfc6052.is_global(address)
