# SPDX-License-Identifier: Apache-2.0
"""Kind `Network`: what the pods of this node get, and how they reach others."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sixlane.model.addresses import (
    AnyAddress,
    AnyNetwork,
    Ipv4Ranges,
    Pool6,
    Routed,
    RoutedRange,
    parse_routed_ranges,
    ranges_read_by,
    refuse_behind,
)
from sixlane.model.device_name import DeviceName
from sixlane.model.gateway import MIN_IPV6_MTU
from sixlane.model.packed import overlapping, packed_address
from sixlane.model.problem import Path, path_text, refuse_twice, wrong
from sixlane.model.resource import Model, Resource, checked_name
from sixlane.rfc import rfc6052

MAX_UPLINKS = 16
MAX_POD_POOLS = 16
MAX_POOL_RANGES = 16
MAX_ROUTES = 4096
LENGTHS = {4: (16, 30), 6: (64, 120)}
"""Of a pool's ranges, by family: shortest and longest prefix."""

MAX_EGRESS_RANGES = 256
SMALLEST_BIG_TCP, LARGEST_BIG_TCP = 65536, 524288


class Uplink(Model):
    """A device that leads to other nodes, and out."""

    name: DeviceName


def _parse_pool_ranges(value: object) -> tuple[AnyNetwork, ...]:
    ranges = parse_routed_ranges(value)
    for at, one in enumerate(ranges):
        shortest, longest = LENGTHS[one.version]
        if one.prefixlen < shortest:
            hint = f"IPv{one.version}: /{shortest} to /{longest}"
            raise wrong(f"{one} is too large for one node", hint, (at,))
        if one.prefixlen > longest:
            hint = f"IPv{one.version}: /{shortest} to /{longest}"
            raise wrong(f"{one} is too small", hint, (at,))
    return ranges


class PodPool(Model):
    """Addresses that pods of this node get."""

    name: Annotated[str, *checked_name(31), Field(description="By which a pod may ask for it.")]
    ranges: Annotated[
        tuple[AnyNetwork, ...],
        *ranges_read_by(_parse_pool_ranges),
        Field(
            description="IPv6, /64 to /120, and for dual-stack pods IPv4 beside it, /16 to /30. A "
            "pod gets one address of each family. The second one of a range is the node's.",
            json_schema_extra={"minItems": 1, "maxItems": MAX_POOL_RANGES},
        ),
    ]

    def of_family(self, version: int) -> tuple[AnyNetwork, ...]:
        return tuple(one for one in self.ranges if one.version == version)

    @model_validator(mode="after")
    def _check(self) -> "PodPool":
        if len(self.ranges) > MAX_POOL_RANGES:
            what = f"the list has {len(self.ranges)} entries"
            raise wrong(what, f"at most {MAX_POOL_RANGES}", ("ranges",))
        if not self.of_family(6):
            hint = 'pods are IPv6-only or dual-stack: as in ranges: ["2001:db8:64:1::/64"]'
            raise wrong("no IPv6 range", hint, ("ranges",))
        return self


class StatelessEgress(Model):
    """An IPv4 address for each pod, by which a stateless translator lets it out, and others in."""

    prefix: Annotated[
        Pool6,
        Field(
            description="RFC 6052: the pod has the IPv4 address behind it as its second IPv6 "
            "address, and a route to all of it.",
            json_schema_extra={"default": str(rfc6052.WELL_KNOWN)},
        ),
    ] = rfc6052.WELL_KNOWN
    ipv4: Annotated[
        Ipv4Ranges,
        Field(
            description="One of these for each pod. The Gateway that translates has them in the "
            "`ipv4` of a prefix.",
            json_schema_extra={"minItems": 1, "maxItems": MAX_EGRESS_RANGES},
        ),
    ]

    @model_validator(mode="after")
    def _check(self) -> "StatelessEgress":
        if not self.ipv4:
            raise wrong("no addresses", "as in ipv4: [192.175.48.0/25]", ("ipv4",))
        if len(self.ipv4) > MAX_EGRESS_RANGES:
            what = f"the list has {len(self.ipv4)} entries"
            raise wrong(what, f"at most {MAX_EGRESS_RANGES}", ("ipv4",))
        for at, network in enumerate(self.ipv4):
            refuse_behind(self.prefix, network, ("ipv4", at))
        found = overlapping(self.ipv4)
        if found:
            other, at = found
            hint = f"{self.ipv4[other]} in {path_text(('ipv4', other))}"
            raise wrong(f"{self.ipv4[at]} stands twice", hint, ("ipv4", at))
        return self


class PodRoute(Model):
    """The way to pods of another node."""

    to: Annotated[RoutedRange, Field(description="A pool of that node, of either family.")]
    via: Annotated[
        Routed,
        Field(description="An address of that node; to IPv4, an IPv6 one does as well."),
    ]

    @model_validator(mode="after")
    def _check(self) -> "PodRoute":
        if self.to.version == 6 and self.via.version == 4:
            hint = "an IPv6 address of that node"
            raise wrong(f"{self.via} cannot lead to {self.to}", hint, ("via",))
        if self.via in self.to:
            hint = "an address of that node that is reached without this route"
            raise wrong(f"{self.via} is in {self.to} itself", hint, ("via",))
        return self


class BigTcp(Model):
    """Packets of TCP beyond 64 KiB on uplinks and on both ends of pod devices, in bytes.

    A size is that of a packet with its headers, 65,536 to 524,288 (512 KiB); each device gets as
    much as it can do, and no Linux device can do more than 524,280. 65,536 is what devices have by
    themselves: it holds them at that, without BIG TCP.
    """

    ipv6: Annotated[
        int | None,
        Field(
            ge=SMALLEST_BIG_TCP,
            le=LARGEST_BIG_TCP,
            description="Of IPv6; null: left alone, and as it was before. Above 65,536, pods take "
            "their MTU of IPv6 to be 8 bytes less.",
            examples=[196608],
        ),
    ] = None
    ipv4: Annotated[
        int | None,
        Field(
            ge=SMALLEST_BIG_TCP,
            le=LARGEST_BIG_TCP,
            description="Of IPv4 (Linux 6.3); null: left alone, and as it was before.",
            examples=[196608],
        ),
    ] = None


class NetworkSpec(Model):
    """What pods get, and how they reach others."""

    device: Annotated[
        Literal["auto", "veth", "netkit", "netkit-l2"],
        Field(
            description="What a pod's interface is. `netkit` carries packets without a link "
            "header; `auto`: netkit where the kernel has it, else veth."
        ),
    ] = "auto"
    mtu: Annotated[
        int | None,
        Field(
            ge=MIN_IPV6_MTU,
            le=65535,
            description="Of pod devices, in bytes. Left out or null: the least of the uplinks'.",
            examples=[1500],
        ),
    ] = None
    uplinks: Annotated[
        tuple[Uplink, ...],
        Field(
            max_length=MAX_UPLINKS,
            strict=False,
            description="Devices that lead to other nodes, and out; []: pods reach this node "
            "alone.",
        ),
    ] = ()
    pools: Annotated[
        tuple[PodPool, ...],
        Field(
            min_length=1,
            max_length=MAX_POD_POOLS,
            strict=False,
            description="This node's addresses for pods. The first one is for pods that ask for "
            "none by name.",
        ),
    ]
    stateless_egress: Annotated[
        StatelessEgress | None,
        Field(
            description="An IPv4 address for each pod, by which a stateless translator lets it "
            "out. Left out or null: none."
        ),
    ] = None
    routes: Annotated[
        tuple[PodRoute, ...],
        Field(
            max_length=MAX_ROUTES,
            strict=False,
            description="The ways to pods of other nodes; [] also if a routing daemon has them.",
        ),
    ] = ()
    announce: Annotated[
        Literal["none", "route"],
        Field(
            description="How other nodes find this one's pods. `route`: for each range of a pool, "
            "and what statelessEgress gives, there is a route of protocol 65 in the main table for "
            "a routing daemon to announce. It leads nowhere: pods have routes of their own."
        ),
    ] = "none"
    redirect: Annotated[
        Literal["auto", "always", "never"],
        Field(
            description="Whether packets of pods go past the host's stack, its firewall and its "
            "marks. `auto`: they do, but for those that leave a node whose policy rules look at "
            "marks. `never`: all of them meet the stack."
        ),
    ] = "auto"
    big_tcp: Annotated[
        BigTcp,
        Field(
            description="Packets of TCP beyond 64 KiB, on uplinks and pod devices, those that are "
            "there and those that come. A device gets as much as it can do, and one of a pod no "
            "more than the uplinks: `sixlane bigtcp status`."
        ),
    ] = BigTcp()

    def pool(self, name: str) -> PodPool | None:
        return next((one for one in self.pools if one.name == name), None)

    @model_validator(mode="after")
    def _check(self) -> "NetworkSpec":
        refuse_twice((uplink.name for uplink in self.uplinks), "uplinks", "device")
        refuse_twice((pool.name for pool in self.pools), "pools", "name")
        _refuse_shared_ranges(self.pools)
        pools = PoolRanges(self.pools)
        if self.stateless_egress:
            _refuse_egress_in(pools, self.stateless_egress)
        _check_routes(self.routes, pools)
        return self


class Network(Resource):
    """One a node."""

    kind: Literal["Network"]
    spec: NetworkSpec


def node_address(network: AnyNetwork) -> AnyAddress:
    """The address of a pool's range that the node itself may have, and no pod."""
    return network[1]


class PoolRanges:
    """The ranges of pools, which do not overlap, to be looked up."""

    def __init__(self, pools: Sequence[PodPool]) -> None:
        self._placed = sorted(_placed(pools), key=lambda one: packed_address(one[1][0]))
        self._firsts = [packed_address(one[0]) for _, one in self._placed]
        self._lasts = [packed_address(one[-1]) for _, one in self._placed]

    def meeting(self, network: AnyNetwork) -> tuple[Path, AnyNetwork] | None:
        """A range that has an address of `network`, and where it stands in the spec."""
        return self._between(packed_address(network[0]), packed_address(network[-1]))

    def holding(self, address: AnyAddress) -> tuple[Path, AnyNetwork] | None:
        """The range that has an address, and where it stands in the spec."""
        packed = packed_address(address)
        return self._between(packed, packed)

    def _between(self, first: bytes, last: bytes) -> tuple[Path, AnyNetwork] | None:
        place = bisect_right(self._firsts, last) - 1
        return self._placed[place] if place >= 0 and self._lasts[place] >= first else None


def _placed(pools: Sequence[PodPool]) -> list[tuple[Path, AnyNetwork]]:
    """All ranges, and where each stands in the spec."""
    return [
        (("pools", at, "ranges", index), one)
        for at, pool in enumerate(pools)
        for index, one in enumerate(pool.ranges)
    ]


def _refuse_shared_ranges(pools: Sequence[PodPool]) -> None:
    placed = _placed(pools)
    found = overlapping(one for _, one in placed)
    if found:
        (other, outer), (path, inner) = (placed[at] for at in found)
        raise wrong(f"{inner} overlaps {outer}", f"{outer} in {path_text(other)}", path)


def _refuse_egress_in(pools: PoolRanges, egress: StatelessEgress) -> None:
    """A pod's second address is no other pod's own."""
    found = pools.meeting(egress.prefix)
    if found:
        path, network = found
        hint = "the prefix of statelessEgress stands for IPv4 addresses"
        raise wrong(f"{network} overlaps {egress.prefix}", hint, path)
    for at, ipv4 in enumerate(egress.ipv4):
        found = pools.meeting(ipv4)
        if found:
            path, network = found
            hint = f"{network} in {path_text(path)}; addresses that nothing else has"
            raise wrong(f"{ipv4} is a pool's as well", hint, ("statelessEgress", "ipv4", at))


def _check_routes(routes: Iterable[PodRoute], pools: PoolRanges) -> None:
    first: dict[AnyNetwork, int] = {}
    for at, route in enumerate(routes):
        if route.to in first:
            hint = f"already in routes[{first[route.to]}]"
            raise wrong(f"{route.to} stands twice", hint, ("routes", at, "to"))
        first[route.to] = at
        found = pools.meeting(route.to)
        if found:
            path, network = found
            hint = f"{network} in {path_text(path)}; a route leads to pods of another node"
            what = f"{route.to} overlaps a pool of this node"
            raise wrong(what, hint, ("routes", at, "to"))
        found = pools.holding(route.via)
        if found:
            hint = f"{found[1]} in {path_text(found[0])}; an address of another node"
            what = f"{route.via} is in a pool of this node"
            raise wrong(what, hint, ("routes", at, "via"))
