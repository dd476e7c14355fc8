# SPDX-License-Identifier: Apache-2.0
"""What is known of each IPv4 address: who serves it, what RFCs say of it, and under which pool6
prefixes its IPv6 form is left to routing. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from sixlane.datapath import Table, digest_of
from sixlane.datapath.layout import RangeWord
from sixlane.model import Prefix, RangeList, Spans
from sixlane.model.addresses import NEVER_A_SOURCE
from sixlane.model.eam import ROW
from sixlane.nat64.native import Network, embedded
from sixlane.rfc import rfc6052

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sixlane.datapath.tables import Rows

    _Numbers = NDArray[np.uint64]
    _Words = NDArray[np.uint32]
    _Lengths = NDArray[np.int8]

NOTHING = RangeList()


def ranges_table(
    prefixes: Sequence[Prefix],
    own: RangeList,
    native: Sequence[Network],
    pool4: RangeList = NOTHING,
) -> "Table[Rows]":
    """`prefixes` by falling length; `own`: this machine's addresses; `native`: routes to smaller
    networks than those that are translated around them; `pool4`: what sessions translate to."""

    def build() -> "Rows":
        from sixlane.datapath.ranges import build_trie

        return build_trie(*_known(prefixes, own, native, pool4))

    parts = [
        part
        for prefix in prefixes
        for part in (str(prefix.prefix).encode(), prefix.ipv4.digest, prefix.eam.digest)
    ]
    routes = " ".join(map(str, native)).encode()
    return Table(digest_of(b"ranges", own.digest, pool4.digest, routes, *parts), build)


class _Nets(NamedTuple):
    """IPv4 networks, which may overlap: each one's first address and length."""

    starts: "_Numbers"
    lengths: "_Lengths"

    @classmethod
    def of(cls, packed: bytes, lengths: bytes) -> "_Nets":
        """Four bytes an address, in network order, and one byte a length."""
        import numpy as np

        starts = np.frombuffer(packed, ">u4").astype(np.uint64)
        return cls(starts, np.frombuffer(lengths, np.int8))

    @property
    def ends(self) -> "_Numbers":
        import numpy as np

        return self.starts + (np.uint64(1) << (32 - self.lengths).astype(np.uint64))

    def longest(self, addresses: "_Numbers") -> "_Lengths":
        """For each address the length of the longest network that holds it; -1: none does."""
        import numpy as np

        found = np.full(len(addresses), -1, np.int8)
        for length in np.unique(self.lengths):
            suffix = np.uint64(32 - length)
            starts = np.unique(self.starts[self.lengths == length] >> suffix)
            found[np.isin(addresses >> suffix, starts)] = length
        return found


def _known(
    prefixes: Sequence[Prefix], own: RangeList, native: Sequence[Network], pool4: RangeList
) -> "tuple[_Numbers, _Words, _Numbers]":
    """Where what is known changes, rising; an enum range_word for what follows; sets of pool6
    prefixes by their number, a bit for each index."""
    import numpy as np

    ranges = _Nets.of(
        b"".join(prefix.ipv4.packed for prefix in prefixes),
        b"".join(prefix.ipv4.lengths for prefix in prefixes),
    )
    inside, mapped = _mapped(prefixes, remote=False), _mapped(prefixes)
    routes4 = _nets(one for one in native if isinstance(one, IPv4Network))
    routes6 = _routes_by_pool6(prefixes, native)
    layers = [
        # No address is served by two prefixes: the model refuses that.
        *(
            (prefix.ipv4.spans.joined(prefix.eam.served), index + 1)
            for index, prefix in enumerate(prefixes)
        ),
        (_spans_not_global(), RangeWord.RANGE_NOT_GLOBAL),
        (_spans_never_a_source(), RangeWord.RANGE_ILLEGAL_SOURCE),
        (pool4.spans, RangeWord.RANGE_POOL4),
    ]
    every: list[Spans | _Nets] = [
        *(spans for spans, _ in layers),
        own.spans,
        ranges,
        mapped,
        routes4,
        *routes6.values(),
    ]
    edges = np.unique(np.concatenate([side for one in every for side in (one.starts, one.ends)]))

    words = np.zeros(len(edges), np.uint32)
    for spans, adds in layers:
        words[spans.holds(edges)] |= np.uint32(adds)
    translated = np.maximum(ranges.longest(edges), inside.longest(edges))
    elsewhere = own.spans.holds(edges) | (routes4.longest(edges) > translated)
    words[elsewhere] &= ~np.uint32(RangeWord.RANGE_SERVED_MASK)

    by_eam = mapped.longest(edges)
    by_range = (words & RangeWord.RANGE_SERVED_MASK != 0) & (by_eam < 0)
    sets = np.zeros(len(edges), np.uint64)
    for pool6, routes in routes6.items():
        nodes = [prefix.ipv4.spans for prefix in prefixes if prefix.prefix == pool6]
        passes = (routes.longest(edges) > by_eam) | by_range & nodes[0].joined(*nodes).holds(edges)
        for index, prefix in enumerate(prefixes):
            if prefix.prefix == pool6:
                sets[passes] |= np.uint64(1 << index)
    distinct, numbers = np.unique(np.append(np.uint64(0), sets), return_inverse=True)
    words |= (numbers[1:] << RangeWord.RANGE_NATIVE_SHIFT).astype(np.uint32)
    return edges, words, distinct


def _mapped(prefixes: Sequence[Prefix], remote: bool | None = None) -> _Nets:
    """The IPv4 sides of explicit mappings: of all, or of those that are remote, or are not."""
    rows = [
        row
        for prefix in prefixes
        for row in ROW.iter_unpack(prefix.eam.packed)
        if remote in (None, row[4])
    ]
    return _Nets.of(b"".join(row[1] for row in rows), bytes(row[2] for row in rows))


def _routes_by_pool6(
    prefixes: Sequence[Prefix], native: Sequence[Network]
) -> dict[IPv6Network, _Nets]:
    """For each pool6 prefix the IPv4 networks that routes inside of it stand for."""
    routes = [one for one in native if isinstance(one, IPv6Network)]
    found = {}
    for pool6 in dict.fromkeys(prefix.prefix for prefix in prefixes):
        inside = [route for route in routes if route.subnet_of(pool6) and route != pool6]
        found[pool6] = _nets(ipv4 for route in inside if (ipv4 := embedded(route, pool6)))
    return found


def _nets(networks: Iterable[IPv4Network]) -> _Nets:
    ranges = RangeList.of(networks)
    return _Nets.of(ranges.packed, ranges.lengths)


def _not_global() -> Iterator[IPv4Network]:
    for network in rfc6052.NOT_GLOBAL:
        rest = [network]
        for exception in rfc6052.GLOBAL_EXCEPTIONS:
            alone = IPv4Network(exception)
            rest = [
                part
                for one in rest
                for part in (one.address_exclude(alone) if alone.subnet_of(one) else [one])
            ]
        yield from rest


@cache
def _spans_not_global() -> Spans:
    return RangeList.of(_not_global()).spans


@cache
def _spans_never_a_source() -> Spans:
    return RangeList.of(NEVER_A_SOURCE).spans
