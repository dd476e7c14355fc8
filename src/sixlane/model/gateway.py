# SPDX-License-Identifier: Apache-2.0
"""Kind `Gateway`: the translator between the IPv4 world and an IPv6-only inside."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from sixlane.model.addresses import (
    NEVER_A_SOURCE,
    Ipv4,
    Ipv4Ranges,
    Ipv6,
    Pool6,
    never_a_source,
    refuse_behind,
)
from sixlane.model.bindings import MAX_BINDINGS, StaticBinding, check_bindings
from sixlane.model.device_name import DeviceName
from sixlane.model.eam import Eam, EamList
from sixlane.model.load_balancer import LoadBalancer
from sixlane.model.overlaps import overlap_warnings
from sixlane.model.pool4 import MAX_POOLS, Pool4, Sessions, check_pools, refuse_served
from sixlane.model.problem import Path, ResourceError, path_text, refuse_twice, wrong
from sixlane.model.ranges import RangeList, Spans
from sixlane.model.resource import Model, Resource, checked_name
from sixlane.model.segments import MAX_SEGMENT, MIN_SEGMENT, MaxSegment
from sixlane.model.words import number_or
from sixlane.rfc import rfc6052

MIN_IPV6_MTU = 1280
MAX_PREFIXES = 64


class Device(Model):
    """One network device on which packets are translated as they come in."""

    name: DeviceName
    attach: Annotated[
        Literal["auto", "xdp", "xdp-generic", "tc"],
        Field(
            description="`auto` takes native XDP on a NIC that can do it, tc on a virtual device; "
            "the others insist."
        ),
    ] = "auto"


class Prefix(Model):
    """One translation prefix, and the IPv4 addresses that stand for IPv6 nodes inside under it."""

    name: Annotated[str, *checked_name(31), Field(description="Names its counters.")]
    prefix: Annotated[
        Pool6,
        Field(description="RFC 6052: the IPv4 address stands behind it; bits 64 to 71 are zero."),
    ]
    ipv4: Annotated[
        Ipv4Ranges,
        Field(
            description="What stands for nodes inside; may be left out only if there is `eam` or "
            "`pool4`.",
            json_schema_extra={"default": []},
        ),
    ] = RangeList()
    load_balancer_source_ranges: Annotated[
        Ipv4Ranges | None,
        Field(description="IPv4 sources that are let in; null: all; []: none."),
    ] = None
    eam: Annotated[
        EamList,
        Field(
            description="Explicit address mappings (RFC 7757); they go before the prefix.",
            json_schema_extra={"default": []},
        ),
    ] = EamList()
    max_segment_size: Annotated[
        MaxSegment,
        *number_or("auto", MIN_SEGMENT, MAX_SEGMENT, or_null=True),
        Field(
            description="The MSS that TCP SYNs may offer, in bytes; auto: what fits the devices. "
            "Left out: as it is, but auto with BIG TCP.",
            examples=[1360],
        ),
    ] = None

    @property
    def is_well_known(self) -> bool:
        return self.prefix == rfc6052.WELL_KNOWN

    @model_validator(mode="after")
    def _check(self) -> "Prefix":
        if self._may_break_a_rule():
            for index, network in enumerate(self.ipv4):
                refuse_behind(self.prefix, network, ("ipv4", index))
        return self

    def _may_break_a_rule(self) -> bool:
        """A look at all ranges at once."""
        return (
            0 in self.ipv4.lengths
            or self.ipv4.spans.overlap(_spans(NEVER_A_SOURCE))
            or (self.is_well_known and self.ipv4.spans.overlap(_spans(rfc6052.NOT_GLOBAL)))
        )

    def with_eam(self, eam: Eam) -> "Prefix":
        """With a mapping in the place of that of the same IPv4 prefix, or behind the others.

        All else is carried over as it is. `Gateway.with_prefix` checks it against the rest.
        """
        return self.model_copy(update={"eam": self.eam.with_eam(eam)})

    def without_eam(self, ipv4: IPv4Network) -> "Prefix":
        """Without the mapping of an IPv4 prefix. KeyError if there is none."""
        return self.model_copy(update={"eam": self.eam.without(ipv4)})


class IcmpErrors(Model):
    """ICMP errors that the gateway itself sends."""

    rate: Annotated[
        int | Literal["unlimited"],
        *number_or("unlimited", 0, 1_000_000),
        Field(description="So many a second; 0: none."),
    ] = 1000


MAX_POOL_RANGES = 16
_NOT_FOR_A_POOL = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)
"""RFC 1918 and RFC 6598: RFC 6791 section 3 wants others, as they are told to the internet."""


class IcmpPool(Model):
    """What ICMP errors come from whose router has no IPv4 address (RFC 6791)."""

    ipv4: Annotated[
        Ipv4Ranges,
        Field(
            description="One is drawn for each error; []: such errors are dropped.",
            json_schema_extra={"default": []},
        ),
    ] = RangeList()
    origin: Annotated[
        bool,
        Field(description="Tell the router's IPv6 address in an extension (RFC 5837)."),
    ] = True

    @property
    def ranges(self) -> list[tuple[IPv4Address, int]]:
        """First address and how many, of ranges that do not touch each other."""
        spans = self.ipv4.spans
        return [
            (IPv4Address(int(first)), int(end) - int(first))
            for first, end in zip(spans.starts, spans.ends, strict=True)
        ]

    @model_validator(mode="after")
    def _check(self) -> "IcmpPool":
        for index, network in enumerate(self.ipv4):
            path = ("ipv4", index)
            illegal = never_a_source(network)
            if illegal:
                raise wrong(f"{network} overlaps {illegal}, which no node has", "", path)
            private = next((one for one in _NOT_FOR_A_POOL if one.overlaps(network)), None)
            if private:
                hint = "RFC 6791: an address that is routed in the internet"
                raise wrong(f"{network} overlaps {private}, which is private", hint, path)
        if len(self.ranges) > MAX_POOL_RANGES:
            what = f"{len(self.ranges)} ranges that do not touch"
            raise wrong(what, f"{MAX_POOL_RANGES} at most", ("ipv4",))
        return self


class IcmpSource(Model):
    """Where those errors come from. Left out: the first global address of the devices."""

    ipv4: Ipv4 | None = None
    ipv6: Ipv6 | None = None

    @model_validator(mode="after")
    def _check(self) -> "IcmpSource":
        if self.ipv4 is not None and never_a_source(IPv4Network(self.ipv4)):
            raise wrong(f"{self.ipv4} is no address of a node", "", ("ipv4",))
        if self.ipv6 is not None and (
            self.ipv6.is_multicast
            or self.ipv6.is_loopback
            or self.ipv6.is_unspecified
            or self.ipv6.is_link_local
            or self.ipv6.ipv4_mapped
        ):
            raise wrong(f"{self.ipv6} is no routed address of a node", "", ("ipv6",))
        return self


class GatewaySpec(Model):
    """What translates, under which prefixes, and for whom."""

    devices: Annotated[tuple[Device, ...], Field(min_length=1, max_length=16, strict=False)]
    prefixes: Annotated[
        tuple[Prefix, ...],
        Field(
            max_length=MAX_PREFIXES,
            strict=False,
            description="One translation prefix, and the IPv4 addresses that stand for IPv6 nodes "
            "inside under it. [] only with `loadBalancer`.",
        ),
    ]
    lowest_ipv6_mtu: Annotated[
        int,
        Field(
            ge=MIN_IPV6_MTU,
            le=65535,
            alias="lowestIPv6MTU",
            description="The lowest MTU of the IPv6 side, in bytes (RFC 7915 section 4).",
        ),
    ] = MIN_IPV6_MTU
    tos: Annotated[
        int | Literal["copy"],
        *number_or("copy", 0, 255),
        Field(description="The TOS of IPv4 packets; copy: the traffic class (RFC 7915 5.1)."),
    ] = "copy"
    traffic_class: Annotated[
        int | Literal["copy"],
        *number_or("copy", 0, 255),
        Field(description="The traffic class of IPv6 packets; copy: the TOS (RFC 7915 4.1)."),
    ] = "copy"
    udp_zero_checksum: Annotated[
        Literal["drop", "compute"],
        Field(description="IPv4 datagrams without a UDP checksum, which IPv6 needs."),
    ] = "drop"
    hairpin: Annotated[
        Literal["simple", "intrinsic", "off"],
        Field(description="From inside to inside by IPv4 addresses: the rules of RFC 7757 4.2."),
    ] = "simple"
    icmp_errors: IcmpErrors = IcmpErrors()
    icmp_source: IcmpSource = IcmpSource()
    icmp_pool: IcmpPool = IcmpPool()
    pool4: Annotated[
        tuple[Pool4, ...],
        Field(
            max_length=MAX_POOLS,
            strict=False,
            description="Stateful NAT64 (RFC 6146): for inside nodes of any address.",
        ),
    ] = ()
    bindings: Annotated[
        tuple[StaticBinding, ...],
        Field(
            max_length=MAX_BINDINGS,
            strict=False,
            description="Static ones of pool4: inside ports that have a fixed port outside.",
        ),
    ] = ()
    sessions: Sessions = Sessions()
    load_balancer: Annotated[
        LoadBalancer | None,
        Field(description="What holds for all Services. Left out or null: its defaults."),
    ] = None

    @model_validator(mode="after")
    def _check(self) -> "GatewaySpec":
        refuse_twice((device.name for device in self.devices), "devices", "device")
        refuse_twice((prefix.name for prefix in self.prefixes), "prefixes", "name")
        refuse_twice((pool.name for pool in self.pool4), "pool4", "name")
        for at, prefix in enumerate(self.prefixes):
            _refuse_conflicts(prefix, self.prefixes[:at], self.prefixes)
            self.check_pool4_and(prefix, at)
        check_pools(self.pool4, self.sessions)
        self.check_need_of(self.prefixes)
        self.check_bindings_and(self.prefixes)
        return self

    def check_need_of(self, prefixes: Sequence[Prefix]) -> None:
        """Whether so many are enough: a Gateway may do without that only balances."""
        if not prefixes and self.pool4:
            hint = "pool4 needs one, by which inside nodes call the IPv4 side"
            raise wrong("prefixes is empty", hint, ("prefixes",))
        if not prefixes and self.load_balancer is None:
            hint = "at least 1; or loadBalancer: {} for a Gateway that balances only"
            raise wrong("prefixes is empty", hint, ("prefixes",))

    def check_bindings_and(self, prefixes: Iterable[Prefix]) -> None:
        """Whether static bindings go with these prefixes."""
        named = [(prefix.name, prefix.prefix) for prefix in prefixes]
        check_bindings(self.bindings, self.pool4, named)

    def check_pool4_and(self, prefix: Prefix, at: int) -> None:
        """Whether a prefix that is number `at` goes with pool4, or without."""
        if not self.pool4 and not prefix.model_fields_set & {"ipv4", "eam"}:
            raise wrong(
                "ipv4 is missing",
                "the IPv4 addresses that stand for nodes inside, as in ipv4: [192.175.48.0/25]; "
                "[] if there are none",
                ("prefixes", at),
            )
        if self.pool4:
            served = prefix.ipv4.spans.joined(prefix.eam.served)
            refuse_served(self.pool4, served, f"prefix {prefix.name}")


class Gateway(Resource):
    """One a machine."""

    kind: Literal["Gateway"]
    spec: GatewaySpec

    @property
    def warnings(self) -> tuple[str, ...]:
        return overlap_warnings(tuple(prefix.eam for prefix in self.spec.prefixes))

    def with_prefix(self, prefix: Prefix) -> "Gateway":
        """With a prefix in the place of that of the same name, or behind the others.

        All else is carried over as it is; only what is new is checked. Raises `ResourceError`.
        """
        old = self.spec.prefixes
        at = self._place(prefix.name)
        at = len(old) if at is None else at
        new = (*old[:at], prefix, *old[at + 1 :])
        with _as_resource_error():
            _refuse_conflicts(prefix, (*old[:at], *old[at + 1 :]), new)
            self.spec.check_pool4_and(prefix, at)
        return self._with_prefixes(new)

    def without_prefix(self, name: str) -> "Gateway":
        """Without the prefix of a name. KeyError if there is none; `ResourceError` if one is
        needed."""
        at = self._place(name)
        if at is None:
            raise KeyError(name)
        return self._with_prefixes(self.spec.prefixes[:at] + self.spec.prefixes[at + 1 :])

    def _place(self, name: str) -> int | None:
        """The index of a prefix, by its name."""
        return next((at for at, one in enumerate(self.spec.prefixes) if one.name == name), None)

    def _with_prefixes(self, prefixes: tuple[Prefix, ...]) -> "Gateway":
        if len(prefixes) > MAX_PREFIXES:
            raise ResourceError(
                f"the list would have {len(prefixes)} entries",
                ("spec", "prefixes"),
                f"at most {MAX_PREFIXES}",
            )
        with _as_resource_error():
            self.spec.check_need_of(prefixes)
            self.spec.check_bindings_and(prefixes)
        return self.model_copy(update={"spec": self.spec.model_copy(update={"prefixes": prefixes})})


@contextmanager
def _as_resource_error() -> Iterator[None]:
    """What a validator raises, for who calls its rules by themselves."""
    try:
        yield
    except PydanticCustomError as error:
        context = error.context or {}
        path = ("spec", *context["path"])
        raise ResourceError(context["what"], path, context["hint"]) from None


@cache
def _spans(networks: tuple[IPv4Network, ...]) -> Spans:
    return RangeList.of(networks).spans


def _refuse_conflicts(new: Prefix, others: Iterable[Prefix], every: Iterable[Prefix]) -> None:
    """Whether `new` goes with others that go with each other; if not, `every` shows where."""
    served = new.ipv4.spans.joined(new.eam.served)
    if len(new.eam.prefixes) < 2 * len(new.eam) or any(
        not new.eam.prefixes.isdisjoint(other.eam.prefixes)
        or served.overlap(other.ipv4.spans)
        or served.overlap(other.eam.served)
        for other in others
    ):
        _refuse_equal_mappings(every)
        _refuse_shared_ipv4(every)


def _refuse_equal_mappings(prefixes: Iterable[Prefix]) -> None:
    """One IPv4 or IPv6 prefix can be mapped to one other only (RFC 7757 section 5)."""
    first: dict[object, str] = {}
    for at, prefix in enumerate(prefixes):
        for index, eam in enumerate(prefix.eam):
            for key, network in (("ipv4", eam.ipv4), ("ipv6", eam.ipv6)):
                if network in first:
                    raise wrong(
                        f"{network} is mapped twice",
                        f"already in {first[network]}",
                        ("prefixes", at, "eam", index, key),
                    )
                first[network] = f"prefixes[{at}].eam[{index}]"


def _refuse_shared_ipv4(prefixes: Iterable[Prefix]) -> None:
    """An IPv4 address is served by one entry, or none: sources and counters are the entry's."""
    served = sorted(
        (int(network.network_address), int(network.broadcast_address), at, network, path)
        for at, prefix in enumerate(prefixes)
        for path, network in _served(at, prefix)
    )
    furthest: dict[int, tuple[int, IPv4Network, Path]] = {}  # of each entry, so far
    for first, last, at, network, path in served:
        for other, (end, other_network, other_path) in furthest.items():
            if other != at and end >= first:
                raise wrong(
                    f"{network} is served by another prefix too",
                    f"{other_network} in {path_text(other_path)}",
                    path,
                )
        if at not in furthest or last > furthest[at][0]:
            furthest[at] = (last, network, path)


def _served(at: int, prefix: Prefix) -> Iterator[tuple[Path, IPv4Network]]:
    for index, network in enumerate(prefix.ipv4):
        yield ("prefixes", at, "ipv4", index), network
    for index, eam in enumerate(prefix.eam):
        if not eam.remote:
            yield ("prefixes", at, "eam", index, "ipv4"), eam.ipv4
