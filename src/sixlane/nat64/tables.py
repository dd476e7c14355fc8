# SPDX-License-Identifier: Apache-2.0
"""From a Gateway and the devices it uses to the tables of the data path. Pure."""

import os
from array import array
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TypeVar

from sixlane.datapath import EamEntry, PrefixEntry, Tables
from sixlane.datapath.layout import Limit, RangeWord
from sixlane.datapath.ranges import Interval, Layers, build_trie
from sixlane.errors import ConfigError
from sixlane.model import Gateway
from sixlane.model.addresses import NEVER_A_SOURCE
from sixlane.model.gateway import Prefix
from sixlane.nat64.observe import Device, Observed
from sixlane.rfc import rfc6052

_Address = TypeVar("_Address", IPv4Address, IPv6Address)


def tables_of(gateway: Gateway, devices: list[Device], observed: Observed) -> Tables:
    """The tables of one generation, but for the slow path, which is known when it is raised."""
    spec = gateway.spec
    prefixes = sorted(spec.prefixes, key=lambda one: -one.prefix.prefixlen)
    ids = _prefix_ids([prefix.name for prefix in prefixes], observed.prefix_ids)
    eam = [EamEntry(one.ipv4, one.ipv6, one.remote) for prefix in prefixes for one in prefix.eam]
    _refuse_many_lengths(eam)
    words, source_sets = _ranges(
        prefixes, [held for device in observed.devices.values() for held in device.addresses]
    )
    near = [held for device in devices for held in device.addresses]
    narrowest = min((device.mtu for device in devices), default=spec.lowest_ipv6_mtu)
    rate = spec.icmp_errors.rate
    return Tables(
        prefixes=[
            PrefixEntry(
                prefix.name,
                prefix.prefix,
                ids[prefix.name],
                well_known=prefix.is_well_known,
                restricted=prefix.load_balancer_source_ranges is not None,
            )
            for prefix in prefixes
        ],
        source_sets=source_sets,
        ranges=words,
        eam=eam,
        macs=[device.mac for device in devices],
        slow=None,
        icmp_source4=spec.icmp_source.ipv4 or _first(near, IPv4Address),
        icmp_source6=spec.icmp_source.ipv6 or _first(near, IPv6Address),
        icmp_errors_per_second=-(-rate // (os.cpu_count() or 1)),
        lowest_ipv6_mtu_bytes=max(1280, min(spec.lowest_ipv6_mtu, narrowest)),
        next_hop_cache=observed.more_than_destination is None,
    )


def _refuse_many_lengths(eam: list[EamEntry]) -> None:
    """The data path asks for each length that is in use."""
    for family, lengths in (
        ("ipv4", {entry.ipv4.prefixlen for entry in eam}),
        ("ipv6", {entry.ipv6.prefixlen for entry in eam}),
    ):
        if len(lengths) > Limit.MAX_EAM_LENGTHS:
            raise ConfigError(
                f"eam: {family} prefixes of {len(lengths)} different lengths",
                f"{Limit.MAX_EAM_LENGTHS} at most: split the rare ones",
            )


def _prefix_ids(names: list[str], present: dict[str, int]) -> dict[str, int]:
    """A prefix keeps its counters as long as it keeps its name."""
    kept = {name: present[name] for name in names if name in present}
    free = iter(sorted(set(range(Limit.MAX_PREFIXES)) - set(kept.values())))
    return {name: kept[name] if name in kept else next(free) for name in names}


def _first(addresses: Iterable[IPv4Address | IPv6Address], kind: type[_Address]) -> _Address | None:
    return next((held for held in addresses if isinstance(held, kind)), None)


def _ranges(
    prefixes: list[Prefix], own: list[IPv4Address | IPv6Address]
) -> tuple["array[int]", list[int]]:
    """The trie of what is known of each IPv4 address, and the source sets it points to."""
    layers = Layers()
    not_global = layers.add(_not_global())
    illegal = layers.add(NEVER_A_SOURCE)
    ours = layers.add(IPv4Network(held) for held in own if isinstance(held, IPv4Address))
    served = {layers.add(_served(prefix)): index + 1 for index, prefix in enumerate(prefixes)}
    allowed = {
        layers.add(prefix.load_balancer_source_ranges): index
        for index, prefix in enumerate(prefixes)
        if prefix.load_balancer_source_ranges is not None
    }
    sets = {0: 0}  # bit mask of prefixes -> index; set 0 lets nobody in
    words: dict[int, int] = {}  # by layer mask: there are few, and many intervals

    def word(mask: int) -> int:
        active = [layer for layer in range(mask.bit_length()) if mask >> layer & 1]
        lets_in = sum(1 << allowed[layer] for layer in active if layer in allowed)
        result = sets.setdefault(lets_in, len(sets)) << RangeWord.RANGE_SOURCES_SHIFT
        if not mask >> ours & 1:  # our own addresses stay ours
            result |= sum(served[layer] for layer in active if layer in served)
        if mask >> not_global & 1:
            result |= RangeWord.RANGE_NOT_GLOBAL
        if mask >> illegal & 1:
            result |= RangeWord.RANGE_ILLEGAL_SOURCE
        return result

    def intervals() -> Iterator[Interval]:
        for first, behind, mask in layers.walk():
            if mask not in words:
                words[mask] = word(mask)
            yield first, behind, words[mask]

    trie = build_trie(intervals())
    if len(sets) > Limit.MAX_SOURCE_SETS:
        raise ConfigError(
            f"loadBalancerSourceRanges overlap in {len(sets)} ways, {Limit.MAX_SOURCE_SETS} fit",
            "let prefixes share lists",
        )
    return trie, list(sets)


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


def _served(prefix: Prefix) -> list[IPv4Network]:
    return [*prefix.ipv4, *(eam.ipv4 for eam in prefix.eam if not eam.remote)]
