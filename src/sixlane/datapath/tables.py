# SPDX-License-Identifier: Apache-2.0
"""The tables of one generation, typed, and their bytes in the kernel's maps."""

import ctypes
import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from sixlane.datapath import layout
from sixlane.datapath.layout import EamFlag, GatewayFlag, Limit, PrefixFlag

_V4_MAPPED = 0xFFFF << 32


@dataclass(frozen=True)
class PrefixEntry:
    """One entry of pool6. `id` numbers its counters; `well_known`: the rule of RFC 6052 3.1."""

    name: str
    network: IPv6Network
    id: int
    well_known: bool
    restricted: bool


@dataclass(frozen=True)
class EamEntry:
    ipv4: IPv4Network
    ipv6: IPv6Network
    remote: bool


@dataclass(frozen=True)
class SlowPath:
    """The veth pair into the slow path's namespace; MACs are 6 bytes."""

    ifindex: int
    near_mac: bytes
    far_mac: bytes


@dataclass(frozen=True)
class Tables:
    """One generation. Prefixes by falling length; `source_sets[n]`: bit i lets a source into
    prefixes[i]; `ranges` is a trie of sixlane.datapath.ranges; `macs` are 6 bytes each."""

    prefixes: Sequence[PrefixEntry]
    source_sets: Sequence[int]
    ranges: "array[int]"
    eam: Sequence[EamEntry]
    macs: Sequence[bytes]
    slow: SlowPath | None
    icmp_source4: IPv4Address | None
    icmp_source6: IPv6Address | None
    icmp_errors_per_second: int
    lowest_ipv6_mtu_bytes: int
    next_hop_cache: bool

    @cached_property
    def digest(self) -> int:
        """64 bits that name the contents: two generations of one digest are the same."""
        parts = (
            bytes(self._gateway),
            self.ranges.tobytes(),
            *(key + value for key, value in sorted((self.eam4 | self.eam6).items())),
        )
        return int.from_bytes(hashlib.sha256(b"".join(parts)).digest()[:8])

    @cached_property
    def gateway(self) -> bytes:
        """struct gateway."""
        gateway = layout.Gateway.from_buffer_copy(self._gateway)
        gateway.digest = self.digest
        return bytes(gateway)

    @cached_property
    def eam4(self) -> dict[bytes, bytes]:
        """The mappings by struct eam4_key."""
        return {
            bytes(
                layout.Eam4Key(entry.ipv4.prefixlen, int(entry.ipv4.network_address))
            ): _eam_value(entry)
            for entry in self.eam
        }

    @cached_property
    def eam6(self) -> dict[bytes, bytes]:
        """The mappings by struct eam6_key."""
        return {
            bytes(
                layout.Eam6Key(_addr(entry.ipv6.network_address), entry.ipv6.prefixlen, 0)
            ): _eam_value(entry)
            for entry in self.eam
        }

    @cached_property
    def _gateway(self) -> layout.Gateway:
        lengths4 = sorted({entry.ipv4.prefixlen for entry in self.eam}, reverse=True)
        lengths6 = sorted({entry.ipv6.prefixlen for entry in self.eam}, reverse=True)
        gateway = layout.Gateway(
            prefix_count=len(self.prefixes),
            eam4_lens_count=len(lengths4),
            eam6_lens_count=len(lengths6),
            lowest_ipv6_mtu_bytes=self.lowest_ipv6_mtu_bytes,
            icmp_errors_per_second=self.icmp_errors_per_second,
            flags=GatewayFlag.GATEWAY_NEXT_HOP_CACHE if self.next_hop_cache else 0,
        )
        gateway.icmp_source4 = _addr(self.icmp_source4)
        gateway.icmp_source6 = _addr(self.icmp_source6)
        _put(gateway.eam4_lens, lengths4)
        _put(gateway.eam6_lens, lengths6)
        macs = [int.from_bytes(mac, "little") for mac in self.macs]
        # Free places must match no frame, not even one to 00:00:00:00:00:00.
        _put(gateway.macs, macs + macs[:1] * (Limit.MAX_DEVICES - len(macs)))
        _put(gateway.source_sets, self.source_sets)
        if self.slow:
            gateway.slow.ifindex = self.slow.ifindex
            _put(gateway.slow.near_mac, self.slow.near_mac)
            _put(gateway.slow.far_mac, self.slow.far_mac)
        for index, entry in enumerate(self.prefixes):
            gateway.prefixes[index] = _prefix(entry)
            _put(gateway.names[index].text, entry.name.encode())
        return gateway


def prefix_names(gateway: bytes) -> dict[str, int]:
    """Names of the prefixes in a struct gateway, with the ids of their counters."""
    read = layout.Gateway.from_buffer_copy(gateway)
    return {
        bytes(read.names[index].text).rstrip(b"\0").decode(): read.prefixes[index].id
        for index in range(min(read.prefix_count, Limit.MAX_PREFIXES))
    }


def _put(array: "ctypes.Array[Any]", values: Sequence[int]) -> None:
    """The first elements of an array; IndexError if there are more values than places."""
    for index, value in enumerate(values):
        array[index] = value


def _prefix(entry: PrefixEntry) -> layout.Prefix:
    flags = (PrefixFlag.PREFIX_WELL_KNOWN if entry.well_known else 0) | (
        PrefixFlag.PREFIX_RESTRICTED if entry.restricted else 0
    )
    return layout.Prefix(
        _addr(entry.network.network_address),
        _addr(entry.network.netmask),
        entry.id,
        entry.network.prefixlen,
        flags,
        0,
    )


def _eam_value(entry: EamEntry) -> bytes:
    return bytes(
        layout.Eam(
            _addr(entry.ipv6.network_address),
            int(entry.ipv4.network_address),
            entry.ipv4.prefixlen,
            entry.ipv6.prefixlen,
            EamFlag.EAM_REMOTE if entry.remote else 0,
            0,
        )
    )


def _addr(address: IPv4Address | IPv6Address | None) -> layout.Addr:
    """The canonical form: IPv4 is ::ffff:a.b.c.d; None is all zero."""
    if address is None:
        return layout.Addr(0, 0)
    number = int(address) | (_V4_MAPPED if isinstance(address, IPv4Address) else 0)
    return layout.Addr(number >> 64, number & (1 << 64) - 1)


assert ctypes.sizeof(layout.Gateway) % 8 == 0
