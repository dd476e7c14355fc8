# SPDX-License-Identifier: Apache-2.0
"""From a Gateway and the devices it uses to the tables of the data path. Pure.

Large tables come as a digest, and are built where that is not in force.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING, Literal, TypeVar

from sixlane.datapath import EamRows, PrefixEntry, Table, Tables, digest_of
from sixlane.datapath.layout import Limit, RangeWord
from sixlane.errors import ConfigError
from sixlane.model import Gateway, Prefix, RangeList, Spans
from sixlane.model.addresses import NEVER_A_SOURCE
from sixlane.model.gateway import MAX_SEGMENT, MIN_SEGMENT
from sixlane.nat64.observe import Device, Observed
from sixlane.rfc import rfc6052

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sixlane.datapath.tables import Rows

_Address = TypeVar("_Address", IPv4Address, IPv6Address)


def tables_of(gateway: Gateway, devices: list[Device], observed: Observed) -> Tables:
    """The tables of one generation, but for the slow path, which is known when it is raised."""
    spec = gateway.spec
    prefixes = sorted(spec.prefixes, key=lambda one: -one.prefix.prefixlen)
    ids = _prefix_ids([prefix.name for prefix in prefixes], observed.prefix_ids)
    lengths4, lengths6 = _eam_lengths(prefixes)
    held = {address for device in observed.devices.values() for address in device.addresses}
    own = RangeList.of(
        IPv4Network(address) for address in sorted(map(str, held)) if ":" not in address
    )
    near = [held for device in devices for held in device.addresses]
    narrowest = min((device.mtu for device in devices), default=spec.lowest_ipv6_mtu)
    rate = spec.icmp_errors.rate
    big_tcp_mss = largest_for_big_tcp(narrowest) if any(one.big_tcp for one in devices) else 0
    return Tables(
        prefixes=[
            PrefixEntry(
                prefix.name,
                prefix.prefix,
                ids[prefix.name],
                well_known=prefix.is_well_known,
                sources=_sources(prefix.load_balancer_source_ranges),
                max_segment_bytes=_max_segment(prefix.max_segment_size, narrowest, big_tcp_mss),
            )
            for prefix in prefixes
        ],
        ranges=_ranges(prefixes, own),
        eam=_eam(prefixes),
        eam_lengths4=lengths4,
        eam_lengths6=lengths6,
        macs=[device.mac for device in devices],
        slow=None,
        icmp_source4=spec.icmp_source.ipv4 or _first(near, IPv4Address),
        icmp_source6=spec.icmp_source.ipv6 or _first(near, IPv6Address),
        icmp_errors_per_second=None if rate == "unlimited" else -(-rate // (os.cpu_count() or 1)),
        lowest_ipv6_mtu_bytes=max(1280, min(spec.lowest_ipv6_mtu, narrowest)),
        next_hop_cache=observed.more_than_destination is None,
        native_max_segment_bytes=big_tcp_mss,
        tos=None if spec.tos == "copy" else spec.tos,
        traffic_class=None if spec.traffic_class == "copy" else spec.traffic_class,
        udp_compute=spec.udp_zero_checksum == "compute",
        hairpin=None if spec.hairpin == "off" else spec.hairpin,
        icmp_pool=spec.icmp_pool.ranges,
        icmp_origin=spec.icmp_pool.origin,
    )


def _max_segment(wanted: int | Literal["auto"] | None, mtu: int, big_tcp_mss: int) -> int:
    """Of one prefix, in bytes; 0: no limit."""
    if wanted is None:
        return big_tcp_mss
    return largest_for_big_tcp(mtu) if wanted == "auto" else wanted


def largest_for_big_tcp(mtu: int) -> int:
    """The MSS with which BIG TCP of IPv6 passes kernels that forward it, in bytes.

    They count the jumbo header (RFC 2675 section 2), 8 bytes, into each segment. On a link so small
    that nothing is left, it is the least that senders obey.
    """
    ipv6_header, tcp_header, jumbo_header = 40, 20, 8
    return min(max(mtu - ipv6_header - tcp_header - jumbo_header, MIN_SEGMENT), MAX_SEGMENT)


def _eam_lengths(prefixes: Sequence[Prefix]) -> list[list[int]]:
    """Of the mappings' IPv4 and IPv6 prefixes, falling: the data path asks for each."""
    found = []
    for index, family in enumerate(("ipv4", "ipv6")):
        lengths = frozenset[int]().union(*(prefix.eam.lengths[index] for prefix in prefixes))
        if len(lengths) > Limit.MAX_EAM_LENGTHS:
            raise ConfigError(
                f"eam: {family} prefixes of {len(lengths)} different lengths",
                f"{Limit.MAX_EAM_LENGTHS} at most: split the rare ones",
            )
        found.append(sorted(lengths, reverse=True))
    return found


def _prefix_ids(names: list[str], present: dict[str, int]) -> dict[str, int]:
    """A prefix keeps its counters as long as it keeps its name."""
    kept = {name: present[name] for name in names if name in present}
    free = iter(sorted(set(range(Limit.MAX_PREFIXES)) - set(kept.values())))
    return {name: kept[name] if name in kept else next(free) for name in names}


def _first(addresses: Iterable[IPv4Address | IPv6Address], kind: type[_Address]) -> _Address | None:
    return next((held for held in addresses if isinstance(held, kind)), None)


def _sources(ranges: RangeList | None) -> "Table[Rows] | None":
    """Who is let in; None: everybody."""
    if ranges is None:
        return None

    def build() -> "Rows":
        from sixlane.datapath.sources import build_nodes

        return build_nodes(ranges.spans.starts, ranges.spans.ends)

    return Table(digest_of(b"sources", ranges.digest), build)


def _eam(prefixes: Sequence[Prefix]) -> Table[EamRows]:
    def build() -> EamRows:
        from sixlane.datapath.eam import build_eam

        return build_eam(b"".join(prefix.eam.packed for prefix in prefixes))

    return Table(
        digest_of(b"eam", *(prefix.eam.digest for prefix in prefixes if prefix.eam)), build
    )


def _ranges(prefixes: Sequence[Prefix], own: RangeList) -> "Table[Rows]":
    """What is known of each IPv4 address: who serves it, and what RFCs say of it."""

    def build() -> "Rows":
        from sixlane.datapath.ranges import build_trie

        return build_trie(*_words(prefixes, own))

    inputs = [part.digest for prefix in prefixes for part in (prefix.ipv4, prefix.eam)]
    return Table(digest_of(b"ranges", own.digest, *inputs), build)


def _words(
    prefixes: Sequence[Prefix], own: RangeList
) -> tuple["NDArray[np.uint64]", "NDArray[np.uint32]"]:
    """Where what is known changes, rising, and an enum range_word for what follows."""
    import numpy as np

    # No address is served by two prefixes: the model refuses that.
    layers = [
        *(
            (prefix.ipv4.spans.joined(prefix.eam.served), index + 1)
            for index, prefix in enumerate(prefixes)
        ),
        (_spans_not_global(), RangeWord.RANGE_NOT_GLOBAL),
        (_spans_never_a_source(), RangeWord.RANGE_ILLEGAL_SOURCE),
    ]
    every = [*(spans for spans, _ in layers), own.spans]
    edges = np.unique(
        np.concatenate([side for spans in every for side in (spans.starts, spans.ends)])
    )
    words = np.zeros(len(edges), np.uint32)
    for spans, adds in layers:
        words[spans.holds(edges)] |= np.uint32(adds)
    words[own.spans.holds(edges)] &= ~np.uint32(RangeWord.RANGE_SERVED_MASK)  # ours stay ours
    return edges, words


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
