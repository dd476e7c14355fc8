# SPDX-License-Identifier: Apache-2.0
"""BIG TCP: which packet sizes uplinks and the devices of pods are to have, and why. Pure.

A device gets what is asked, or as much as it can do. What a pod sends is handed to an uplink whole,
and the CPU cuts what that cannot take, at a third of the throughput: so devices of pods get no more
than the least of the uplinks can do; nor does an uplink get more than the devices that it sends by
(of a bond, a bridge, a VLAN), which get what it gets.

IPv6 packets above 64 KiB carry a jumbo header of 8 bytes. No wire sees it, but every kernel that
forwards them counts it into each segment, and answers Packet Too Big to segments that would fit. So
pods take their MTU of IPv6 to be 8 bytes less, which makes segments of both directions shorter.

A Gateway of the node makes packets of IPv4 of what pods send, as large as those are: so what leads
out takes them whole, of IPv4 as well. It is not to make larger ones of what it receives (GRO), as
IPv6 cannot be made of those.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sixlane.model.gateway import MIN_IPV6_MTU
from sixlane.model.network import BigTcp
from sixlane.net.gso import LARGEST, ORDINARY, Limit, Sizes
from sixlane.pods.pod import Lease

Family = Literal["ipv6", "ipv4"]
FAMILIES: Mapping[Family, tuple[Limit, Limit]] = {
    "ipv6": ("gso", "gro"),
    "ipv4": ("gso_ipv4", "gro_ipv4"),
}
_FOLLOWS: Mapping[Limit, Limit] = {"gso": "gso_ipv4", "gro": "gro_ipv4"}
_NAMES: Mapping[Family, str] = {"ipv6": "IPv6", "ipv4": "IPv4"}
JUMBO_HEADER_BYTES = 8

Role = Literal["uplink", "lower", "host end", "pod end", "former"]
"""`lower`: a device by which an uplink sends. `former`: a device that was one of those two, and has
yet to get back what it had."""

_OUT: frozenset[Role] = frozenset({"uplink", "lower"})


@dataclass(frozen=True)
class SizesAsked:
    """What `bigTcp` of the Network says; `translates`: a Gateway serves the node's pods."""

    sizes: BigTcp
    translates: bool = False

    @property
    def is_anything(self) -> bool:
        return self.sizes != BigTcp()

    @property
    def families(self) -> frozenset[Family]:
        return frozenset(one for one in FAMILIES if self._of(one) is not None)

    def size(self, limit: Limit, *, leads_out: bool) -> int | None:
        """What a device is to have; None: it is left alone."""
        own = self._of("ipv4" if limit in FAMILIES["ipv4"] else "ipv6")
        if own is not None or limit != "gso_ipv4" or not (leads_out and self.translates):
            return own
        return self.sizes.ipv6 if (self.sizes.ipv6 or 0) > ORDINARY else None

    def limits(self, *, leads_out: bool) -> frozenset[Limit]:
        every = (one for limits in FAMILIES.values() for one in limits)
        return frozenset(one for one in every if self.size(one, leads_out=leads_out))

    def _of(self, family: Family) -> int | None:
        return self.sizes.ipv6 if family == "ipv6" else self.sizes.ipv4


NOTHING = SizesAsked(BigTcp())


@dataclass(frozen=True)
class End:
    """A device as it is. `ifindex`: in its own namespace; `lease`: of the pod whose end it is.

    `originals`: what it had before, of the sizes that we have in hand. `ipv6_mtu`: of a pod's end,
    where IPv6 is on. `below`: the least of the devices by which it sends.
    """

    role: Role
    name: str
    ifindex: int
    sizes: Sizes
    mtu: int = 0
    ipv6_mtu: int | None = None
    lease: Lease | None = None
    originals: Mapping[Limit, int] = field(default_factory=dict)
    below: "Bound | None" = None

    @property
    def leads_out(self) -> bool:
        return self.role in _OUT

    @property
    def netns(self) -> str | None:
        """The path of the namespace that it is in; None: the node's."""
        return self.lease.netns if self.lease and self.role == "pod end" else None


@dataclass(frozen=True)
class Bound:
    """How large packets may be, because of which device; "": the device itself."""

    size: int
    device: str = ""

    def __str__(self) -> str:
        whose = f"{self.device}'s" if self.device else "the device's"
        return f"limited by {whose} maximum of {self.size}"


@dataclass(frozen=True)
class EndPlan:
    """What an end is to have. `changes`: sizes to set; `ipv6_mtu`: to be set; None: it stays.

    `asked`: families that it is to have a size of; `lacks`: of those, what this kernel cannot do;
    `limited`: what gets less.
    """

    end: End
    why: Mapping[Family, str]
    changes: Mapping[Limit, int]
    ipv6_mtu: int | None = None
    lacks: frozenset[Family] = frozenset()
    limited: frozenset[Family] = frozenset()
    asked: frozenset[Family] = frozenset()

    @property
    def empty(self) -> bool:
        return not self.changes and self.ipv6_mtu is None

    def summary(self) -> str:
        changed = [
            f"{limit} {self.end.sizes.of(limit)} -> {size}"
            for limit, size in self.changes.items()
            if self.end.sizes.of(limit) != size
        ]
        if self.ipv6_mtu is not None:
            changed.append(f"MTU of IPv6 {self.end.ipv6_mtu} -> {self.ipv6_mtu}")
        return f"device {self.end.name}: {', '.join(changed)}"


def least_of_uplinks(ends: Iterable[End]) -> Bound | None:
    """How much all of the uplinks can do; None: there is none."""
    uplinks = [Bound(one.sizes.maximum, one.name) for one in ends if one.leads_out]
    return min(uplinks, key=lambda one: one.size, default=None)


def plan_big_tcp(asked: SizesAsked, ends: Sequence[End]) -> tuple[EndPlan, ...]:
    """For all devices of the node and of its pods."""
    uplinks = least_of_uplinks(ends)
    return tuple(plan_end(asked, end, uplinks) for end in ends)


def plan_end(asked: SizesAsked, end: End, uplinks: Bound | None) -> EndPlan:
    """`uplinks`: see `least_of_uplinks`."""
    if end.role == "former":
        asked = NOTHING
    bound = Bound(min(end.sizes.maximum, LARGEST))
    other = uplinks if end.lease else end.below
    if other and other.size < bound.size:
        bound = other
    why: dict[Family, str] = {}
    wanted: dict[Limit, int] = {}
    lacks, limited = set(), set()
    for family, limits in FAMILIES.items():
        sizes = {one: asked.size(one, leads_out=end.leads_out) for one in limits}
        size = max((one for one in sizes.values() if one is not None), default=None)
        left = [one for one in limits if sizes[one] is None]
        wanted |= {one: end.originals[one] for one in left if one in end.originals}
        if size is None:
            why[family] = "left alone: not asked for"
        elif any(end.sizes.of(one) is None for one in limits):
            why[family] = f"this kernel has no BIG TCP for {_NAMES[family]}"
            lacks |= {family} if size > ORDINARY else set()
        else:
            why[family] = "as asked" if size <= bound.size else str(bound)
            if left:
                why[family] += ", for what the Gateway translates"
            limited |= {family} if size > bound.size else set()
            wanted |= {one: min(size, bound.size) for one in limits if one not in left}
    return EndPlan(
        end,
        why,
        dict(_changes(end.sizes, wanted)),
        _ipv6_mtu(end, wanted),
        frozenset(lacks),
        frozenset(limited),
        asked.families,
    )


def _changes(sizes: Sizes, wanted: Mapping[Limit, int]) -> Iterator[tuple[Limit, int]]:
    """Those of IPv6 first, which may take those of IPv4 with them: those are set again."""
    lowered = set()
    for limit, size in wanted.items():
        if limit in _FOLLOWS and size != sizes.of(limit) and size <= ORDINARY:
            lowered.add(_FOLLOWS[limit])
        if size != sizes.of(limit) or limit in lowered:
            yield limit, size
    for limit in lowered - wanted.keys():
        had = sizes.of(limit)
        if had is not None:
            yield limit, had


def _ipv6_mtu(end: End, wanted: Mapping[Limit, int]) -> int | None:
    """What it has to be set to. With sizes that are left alone, it is left alone."""
    if end.ipv6_mtu is None or not wanted.keys() & set(FAMILIES["ipv6"]):
        return None
    is_big = max(wanted.get(one, 0) for one in FAMILIES["ipv6"]) > ORDINARY
    room = JUMBO_HEADER_BYTES if is_big else 0
    mtu = max(end.mtu - room, MIN_IPV6_MTU)
    return None if mtu == end.ipv6_mtu else mtu
