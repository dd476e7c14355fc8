# SPDX-License-Identifier: Apache-2.0
"""The tables of one generation, typed, and their bytes in the kernel's maps."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from sixlane.datapath import layout
from sixlane.datapath.digest import digest_of
from sixlane.datapath.layout import GatewayFlag, Limit, PrefixFlag
from sixlane.datapath.pools import Stateful, put_prefix_indices, put_stateful
from sixlane.datapath.services import NO_SERVICES, Services, put_services

_V4_MAPPED = 0xFFFF << 32


if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[Any]
    """Elements of a map, one behind the other, in the type of one shared struct."""

_Built = TypeVar("_Built")


@dataclass(frozen=True)
class Table(Generic[_Built]):
    """A table that is built only where its digest is not in force.

    `digest`: 64 bits, not 0, of all that it is made of. Equal digests are equal tables.
    """

    digest: int
    build: Callable[[], _Built] = field(compare=False)


@dataclass(frozen=True)
class PrefixEntry:
    """One entry of pool6. `id` numbers its counters; `well_known`: the rule of RFC 6052 3.1.

    `sources`: nodes of sixlane.datapath.sources; None: everybody is let in.
    `max_segment_bytes`: what a TCP SYN may offer; 0: whatever it does.
    """

    name: str
    network: IPv6Network
    id: int
    well_known: bool
    sources: "Table[Rows] | None"
    max_segment_bytes: int = 0


@dataclass(frozen=True)
class EamRows:
    """Keys and values of `eam4` and `eam6`: rows of the structs' types, as many values as keys."""

    keys4: "Rows"
    values4: "Rows"
    keys6: "Rows"
    values6: "Rows"


@dataclass(frozen=True)
class SlowPath:
    """The veth pair into the slow path's namespace; MACs are 6 bytes."""

    ifindex: int
    near_mac: bytes
    far_mac: bytes


@dataclass(frozen=True)
class Tables:
    """One generation. Prefixes by falling length; `ranges` is a trie of sixlane.datapath.ranges;
    `eam_lengths4` and 6: of all mappings' prefixes, falling; `macs` are 6 bytes each.

    `icmp_errors_per_second`: for each CPU, None: no limit. `tos`, `traffic_class`: 0 to 255, None:
    as in the packet. `hairpin`: None: off. `icmp_pool`: ranges of IPv4 addresses, first and how
    many.
    `native_max_segment_bytes`: what a SYN of IPv6 may offer that passes; 0: whatever it does.
    """

    prefixes: Sequence[PrefixEntry]
    ranges: "Table[Rows]"
    eam: Table[EamRows]
    eam_lengths4: Sequence[int]
    eam_lengths6: Sequence[int]
    macs: Sequence[bytes]
    slow: SlowPath | None
    icmp_source4: IPv4Address | None
    icmp_source6: IPv6Address | None
    icmp_errors_per_second: int | None
    lowest_ipv6_mtu_bytes: int
    next_hop_cache: bool
    tos: int | None = None
    traffic_class: int | None = None
    udp_compute: bool = False
    hairpin: Literal["simple", "intrinsic"] | None = None
    icmp_pool: Sequence[tuple[IPv4Address, int]] = ()
    icmp_origin: bool = False
    native_max_segment_bytes: int = 0
    stateful: Stateful | None = None
    services: Services | None = None

    @cached_property
    def digest(self) -> int:
        """Names the contents: two generations of one digest are the same."""
        return digest_of(bytes(self._gateway))

    @cached_property
    def gateway(self) -> bytes:
        """struct gateway."""
        gateway = layout.Gateway.from_buffer_copy(self._gateway)
        gateway.digest = self.digest
        return bytes(gateway)

    @cached_property
    def _gateway(self) -> layout.Gateway:
        gateway = layout.Gateway(
            prefix_count=len(self.prefixes),
            eam4_lens_count=len(self.eam_lengths4),
            eam6_lens_count=len(self.eam_lengths6),
            lowest_ipv6_mtu_bytes=self.lowest_ipv6_mtu_bytes,
            icmp_errors_per_second=self.icmp_errors_per_second or 0,
            flags=self._flags,
            tos=self.tos or 0,
            traffic_class=self.traffic_class or 0,
            icmp_pool_count=len(self.icmp_pool),
            icmp_pool_addresses=sum(count for _, count in self.icmp_pool),
            native_max_segment_bytes=self.native_max_segment_bytes,
        )
        _put(gateway.icmp_pool, [layout.Range4(int(first), n) for first, n in self.icmp_pool])
        gateway.icmp_source4 = _addr(self.icmp_source4)
        gateway.icmp_source6 = _addr(self.icmp_source6)
        gateway.ranges_digest = self.ranges.digest
        gateway.eam_digest = self.eam.digest
        _put(gateway.eam4_lens, self.eam_lengths4)
        _put(gateway.eam6_lens, self.eam_lengths6)
        macs = [int.from_bytes(mac, "little") for mac in self.macs]
        # Free places must match no frame, not even one to 00:00:00:00:00:00.
        _put(gateway.macs, macs + macs[:1] * (Limit.MAX_DEVICES - len(macs)))
        if self.slow:
            gateway.slow.ifindex = self.slow.ifindex
            _put(gateway.slow.near_mac, self.slow.near_mac)
            _put(gateway.slow.far_mac, self.slow.far_mac)
        for index, entry in enumerate(self.prefixes):
            gateway.prefixes[index] = _prefix(entry)
            _put(gateway.names[index].text, entry.name.encode())
            gateway.sources_digests[index] = entry.sources.digest if entry.sources else 0
        put_prefix_indices(gateway)
        if self.stateful:
            put_stateful(gateway, self.stateful)
        put_services(gateway, self.services or NO_SERVICES)
        return gateway

    @property
    def _flags(self) -> int:
        flags = {
            GatewayFlag.GATEWAY_NEXT_HOP_CACHE: self.next_hop_cache,
            GatewayFlag.GATEWAY_FIXED_TOS: self.tos is not None,
            GatewayFlag.GATEWAY_FIXED_TRAFFIC_CLASS: self.traffic_class is not None,
            GatewayFlag.GATEWAY_UDP_COMPUTE: self.udp_compute,
            GatewayFlag.GATEWAY_HAIRPIN: self.hairpin is not None,
            GatewayFlag.GATEWAY_HAIRPIN_SIMPLE: self.hairpin == "simple",
            GatewayFlag.GATEWAY_ICMP_ORIGIN: self.icmp_origin,
            GatewayFlag.GATEWAY_ICMP_UNLIMITED: self.icmp_errors_per_second is None,
            GatewayFlag.GATEWAY_STATEFUL: self.stateful is not None,
            GatewayFlag.GATEWAY_FILTER_ADDRESS: bool(
                self.stateful and self.stateful.filter_address
            ),
            GatewayFlag.GATEWAY_NO_SYN_46: bool(self.stateful and self.stateful.no_syn_46),
            GatewayFlag.GATEWAY_LOG_BLOCKS: bool(self.stateful and self.stateful.log_blocks),
            GatewayFlag.GATEWAY_LOG_SESSIONS: bool(self.stateful and self.stateful.log_sessions),
            GatewayFlag.GATEWAY_SERVICES: bool(self.services and self.services.entries),
            GatewayFlag.GATEWAY_NAT: bool(
                self.services and any(one.nat for one in self.services.entries)
            ),
        }
        return sum(flag for flag, wanted in flags.items() if wanted)


def prefix_names(gateway: layout.Gateway) -> dict[str, int]:
    """Names of the prefixes in a struct gateway, with the ids of their counters."""
    return {
        bytes(gateway.names[index].text).rstrip(b"\0").decode(): gateway.prefixes[index].id
        for index in range(min(gateway.prefix_count, Limit.MAX_PREFIXES))
    }


def pool6_of(gateway: layout.Gateway) -> list[tuple[str, IPv6Network]]:
    """Names and networks of the prefixes in a struct gateway, in their order."""
    return [
        (name, IPv6Network((prefix.addr.hi << 64 | prefix.addr.lo, prefix.len)))
        for name, prefix in zip(prefix_names(gateway), gateway.prefixes, strict=False)
    ]


def _put(array: "ctypes.Array[Any]", values: Sequence[Any]) -> None:
    """The first elements of an array; IndexError if there are more values than places."""
    for index, value in enumerate(values):
        array[index] = value


def _prefix(entry: PrefixEntry) -> layout.Prefix:
    flags = (PrefixFlag.PREFIX_WELL_KNOWN if entry.well_known else 0) | (
        PrefixFlag.PREFIX_RESTRICTED if entry.sources else 0
    )
    return layout.Prefix(
        _addr(entry.network.network_address),
        _addr(entry.network.netmask),
        entry.id,
        entry.network.prefixlen,
        flags,
        entry.max_segment_bytes,
    )


def _addr(address: IPv4Address | IPv6Address | None) -> layout.Addr:
    """The canonical form: IPv4 is ::ffff:a.b.c.d; None is all zero."""
    if address is None:
        return layout.Addr(0, 0)
    number = int(address) | (_V4_MAPPED if isinstance(address, IPv4Address) else 0)
    return layout.Addr(number >> 64, number & (1 << 64) - 1)


assert ctypes.sizeof(layout.Gateway) % 8 == 0
