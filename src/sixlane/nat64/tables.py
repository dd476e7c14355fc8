# SPDX-License-Identifier: Apache-2.0
"""From a Gateway and the devices it uses to the tables of the data path. Pure.

Large tables come as a digest, and are built where that is not in force.
"""

import os
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING, TypeVar

from sixlane.datapath import EamRows, PrefixEntry, Stateful, Table, Tables, digest_of
from sixlane.datapath.layout import Limit
from sixlane.datapath.services import Services
from sixlane.errors import ConfigError
from sixlane.model import Gateway, Prefix, RangeList
from sixlane.model.eam import ROW
from sixlane.model.segments import Segments
from sixlane.nat64.known import ranges_table
from sixlane.nat64.native import holes
from sixlane.nat64.observe import Device, Observed
from sixlane.nat64.pools import pool_ranges
from sixlane.rfc.rfc7757 import Eam

if TYPE_CHECKING:
    from sixlane.datapath.tables import Rows

_Address = TypeVar("_Address", IPv4Address, IPv6Address)


def tables_of(
    gateway: Gateway,
    devices: list[Device],
    observed: Observed,
    stateful: Stateful | None,
    services: Services | None = None,
) -> Tables:
    """The tables of one generation, but for the slow path, which is known when it is raised.

    `stateful`, `services`: as planned.
    """
    spec = gateway.spec
    prefixes = sorted(spec.prefixes, key=lambda one: -one.prefix.prefixlen)
    ids = prefix_ids(gateway, observed)
    passed = holes(prefixes, observed.native)
    lengths4, lengths6 = _eam_lengths(prefixes, passed)
    held = {address for device in observed.devices.values() for address in device.addresses}
    own = RangeList.of(
        IPv4Network(address) for address in sorted(map(str, held)) if ":" not in address
    )
    near = [held for device in devices for held in device.addresses]
    segments = segments_of(gateway, devices)
    rate = spec.icmp_errors.rate
    return Tables(
        prefixes=[
            PrefixEntry(
                prefix.name,
                prefix.prefix,
                ids[prefix.name],
                well_known=prefix.is_well_known,
                sources=_sources(prefix.load_balancer_source_ranges),
                max_segment_bytes=segments.of(prefix.max_segment_size),
            )
            for prefix in prefixes
        ],
        ranges=ranges_table(prefixes, own, observed.native, pool_ranges(spec)),
        eam=_eam(prefixes, passed),
        eam_lengths4=lengths4,
        eam_lengths6=lengths6,
        macs=[device.mac for device in devices],
        slow=None,
        icmp_source4=spec.icmp_source.ipv4 or _first(near, IPv4Address),
        icmp_source6=spec.icmp_source.ipv6 or _first(near, IPv6Address),
        icmp_errors_per_second=None if rate == "unlimited" else -(-rate // (os.cpu_count() or 1)),
        lowest_ipv6_mtu_bytes=max(1280, min(spec.lowest_ipv6_mtu, _narrowest(gateway, devices))),
        next_hop_cache=observed.more_than_destination is None,
        native_max_segment_bytes=segments.unasked,
        tos=None if spec.tos == "copy" else spec.tos,
        traffic_class=None if spec.traffic_class == "copy" else spec.traffic_class,
        udp_compute=spec.udp_zero_checksum == "compute",
        hairpin=None if spec.hairpin == "off" else spec.hairpin,
        icmp_pool=spec.icmp_pool.ranges,
        icmp_origin=spec.icmp_pool.origin,
        stateful=stateful,
        services=services,
    )


def segments_of(gateway: Gateway, devices: Sequence[Device]) -> Segments:
    """What holds for TCP that goes through these devices; without any, as narrow as IPv6 may be."""
    narrowest = _narrowest(gateway, devices)
    return Segments.within(narrowest, big_tcp=any(one.big_tcp for one in devices))


def _narrowest(gateway: Gateway, devices: Sequence[Device]) -> int:
    """The smallest MTU, in bytes."""
    return min((device.mtu for device in devices), default=gateway.spec.lowest_ipv6_mtu)


def _eam_lengths(prefixes: Sequence[Prefix], passed: Sequence[Eam]) -> list[list[int]]:
    """Of the mappings' IPv4 and IPv6 prefixes, falling: the data path asks for each."""
    found = []
    holes6 = frozenset(hole.ipv6.prefixlen for hole in passed)
    for index, (family, more) in enumerate((("ipv4", frozenset[int]()), ("ipv6", holes6))):
        lengths = more.union(*(prefix.eam.lengths[index] for prefix in prefixes))
        if len(lengths) > Limit.MAX_EAM_LENGTHS:
            raise ConfigError(
                f"eam: {family} prefixes of {len(lengths)} different lengths"
                + (", native routes inside of remote ones with them" if more else ""),
                f"{Limit.MAX_EAM_LENGTHS} at most: split the rare ones",
            )
        found.append(sorted(lengths, reverse=True))
    return found


def prefix_ids(gateway: Gateway, observed: Observed) -> dict[str, int]:
    """A prefix keeps its counters as long as it keeps its name."""
    prefixes = sorted(gateway.spec.prefixes, key=lambda one: -one.prefix.prefixlen)
    names = [prefix.name for prefix in prefixes]
    kept = {name: observed.prefix_ids[name] for name in names if name in observed.prefix_ids}
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


def _eam(prefixes: Sequence[Prefix], passed: Sequence[Eam]) -> Table[EamRows]:
    def build() -> EamRows:
        from sixlane.datapath.eam import build_eam

        return build_eam(b"".join(prefix.eam.packed for prefix in prefixes), packed_holes)

    packed_holes = b"".join(
        ROW.pack(
            hole.ipv6.network_address.packed,
            hole.ipv4.network_address.packed,
            hole.ipv4.prefixlen,
            hole.ipv6.prefixlen,
            hole.remote,
        )
        for hole in passed
    )
    parts = [prefix.eam.digest for prefix in prefixes if prefix.eam]
    return Table(digest_of(b"eam", packed_holes, *parts), build)
