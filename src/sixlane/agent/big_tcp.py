# SPDX-License-Identifier: Apache-2.0
"""BIG TCP on this node: looks at uplinks and at both ends of pods' devices, sets their sizes, and
remembers what they were.

Of a change of sizes the kernel tells nobody: whoever wants to know has to look.
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sixlane.agent.pod_trouble import Trouble
from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError
from sixlane.nat64 import Originals
from sixlane.nat64.originals import era
from sixlane.net import gso, netns, sysctl
from sixlane.net.gso import Limit
from sixlane.pods.big_tcp import (
    FAMILIES,
    NOTHING,
    Bound,
    End,
    EndPlan,
    Family,
    Role,
    SizesAsked,
    plan_big_tcp,
    plan_end,
)
from sixlane.pods.pod import Lease

NOT_SET = "BigTcpNotSet"
LACKING = "BigTcpNotSupported"

_LACKS: Mapping[Family, NotSupported] = {
    "ipv6": NotSupported("big-tcp-ipv6", "Linux 5.19 has it"),
    "ipv4": NotSupported("big-tcp-ipv4", "Linux 6.3 has it"),
}
_MARK = "sizes "
_PODS = "pods"


@dataclass(frozen=True)
class _Record:
    """What one size of a device was. `ifindex`: on the node; `inside`: of its other end."""

    key: str
    ifindex: int
    inside: bool
    limit: Limit
    value: int


class NodeSizes:
    """Used by one thread at a time.

    A pod's device is made by sixlane, and ordinary then. What it had before is remembered only
    where that was something else when its family was taken in hand.
    """

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._failed: dict[tuple[str | None, int], str] = {}  # why, by namespace and index
        self._lacks: frozenset[Family] = frozenset()

    def observe(
        self, uplinks: Collection[int], leases: Iterable[Lease], *, inside: bool = True
    ) -> list[End]:
        """All devices that are there, and those that have yet to get back what they had.
        `inside`: also the ends in pods."""
        sized = gso.list_sized()
        by_index = {one.ifindex: one for one in sized}
        by_name = {one.name: one for one in sized}
        records, in_hand = self._records(), self._in_hand()
        ends = [
            _end(role, found, None, _recorded(records, found.ifindex), below=below)
            for role, found, below in _leading_out(by_index, uplinks)
        ]
        seen = {one.ifindex for one in ends}
        for lease in leases:
            host = by_name.get(lease.host_device)
            if host is None or not lease.ready:
                continue
            seen.add(host.ifindex)
            had = _of_pod(in_hand, host.sizes) | _recorded(records, host.ifindex)
            ends.append(_end("host end", host, lease, had))
            pods_end = _look_inside(lease, host) if inside else None
            if pods_end is not None:
                found, ipv6_mtu = pods_end
                had = _of_pod(in_hand, found.sizes) | _recorded(records, host.ifindex, True)
                ends.append(_end("pod end", found, lease, had, ipv6_mtu))
        former = {one.ifindex for one in records if not one.inside} - seen
        ends += [
            _end("former", by_index[one], None, _recorded(records, one))
            for one in sorted(former)
            if one in by_index
        ]
        return ends

    def has_drifted(self, asked: SizesAsked, ends: Sequence[End]) -> bool:
        """What could not be set is no news."""
        return any(
            not one.empty and _key(one.end) not in self._failed for one in plan_big_tcp(asked, ends)
        )

    def is_idle(self, asked: SizesAsked) -> bool:
        """Nothing is asked, and nothing has to be put back."""
        return not asked.is_anything and not any(self._items())

    def apply(self, asked: SizesAsked, plans: Sequence[EndPlan]) -> list[Trouble]:
        """Sets all of them; what could not be is told, and all else is done."""
        self._take_in_hand(asked, plans)
        troubles = []
        self._failed = {}
        for plan in plans:
            try:
                set_end(plan)
            except SixlaneError as error:
                if _is_there(plan.end):
                    self._failed[_key(plan.end)] = error.message
                    troubles.append(Trouble(NOT_SET, f"{_place(plan.end)}: {error.message}"))
        self._let_go(asked, plans)
        self._lacks = frozenset().union(*(one.lacks for one in plans))
        return troubles + [
            Trouble(LACKING, f"bigTcp.{family}: {_LACKS[family]}") for family in sorted(self._lacks)
        ]

    def restore(self, leases: Iterable[Lease]) -> list[str]:
        """Puts everything back; what could not be, one line each."""
        plans = plan_big_tcp(NOTHING, self.observe((), leases))
        lost = [one.message for one in self.apply(NOTHING, plans)]
        for key, _ in self._items():
            self._originals.forget(key)
        return lost

    def rows(self, plans: Iterable[EndPlan]) -> list[dict[str, Any]]:
        """Plain data: what each device has, and why."""
        return [self._row(one) for one in plans if one.end.role != "former"]

    def _row(self, plan: EndPlan) -> dict[str, Any]:
        end, sizes = plan.end, plan.end.sizes
        failed = self._failed.get(_key(end))
        why = dict(plan.why)
        for family, limits in FAMILIES.items():
            if any(sizes.of(one) != plan.changes.get(one, sizes.of(one)) for one in limits):
                why[family] = f"not set: {failed}" if failed else "about to be set"
        pod = end.lease.pod if end.lease else None
        return {
            "device": end.name,
            "role": end.role.replace(" ", "-"),
            "containerId": end.lease.attachment.container_id if end.lease else None,
            "namespace": pod.namespace if pod else None,
            "name": pod.name if pod else None,
            "netns": end.netns,
            "gso": sizes.gso,
            "gro": sizes.gro,
            "gsoIpv4": sizes.gso_ipv4,
            "groIpv4": sizes.gro_ipv4,
            "maximum": sizes.maximum,
            "ipv6Mtu": end.ipv6_mtu,
            "why": why,
        }

    # ---- what they were ----

    def _take_in_hand(self, asked: SizesAsked, plans: Sequence[EndPlan]) -> None:
        """Before anything is changed."""
        limits = asked.limits(leads_out=True)
        had = self._in_hand()
        for plan in plans:
            end = plan.end
            for limit in limits & plan.changes.keys():
                size = end.sizes.of(limit)
                if end.leads_out and limit not in end.originals and size is not None:
                    self._remember(str(end.ifindex), limit, size)
        for family, of_family in FAMILIES.items():
            if family in had or not asked.limits(leads_out=False) & set(of_family):
                continue
            host = 0
            for end in (one.end for one in plans if one.end.lease):
                # The host's end comes first, and the other one is kept under its index.
                host = end.ifindex if end.role == "host end" else host
                where = str(host) if end.role == "host end" else f"{host}.pod"
                for limit in of_family:
                    size = end.sizes.of(limit)
                    if size is not None and size != gso.ORDINARY:
                        self._remember(where, limit, size)
            self._remember(_PODS, family, 1)

    def _let_go(self, asked: SizesAsked, plans: Sequence[EndPlan]) -> None:
        """Of what has been put back, and of devices that have gone."""
        present = era()
        for key, _ in self._items():
            if not key.startswith(f"{_MARK}{present}/"):
                self._originals.forget(key)
        there = {one.end.ifindex for one in plans if one.end.role != "pod end"}
        former = {one.end.ifindex for one in plans if one.end.role == "former"}
        failed = {ifindex for path, ifindex in self._failed if path is None}
        pods_failed = any(
            one.end.lease is not None and _key(one.end) in self._failed for one in plans
        )
        limits = {leads_out: asked.limits(leads_out=leads_out) for leads_out in (False, True)}
        out = {one.end.ifindex for one in plans if one.end.leads_out}
        for record in self._records():
            is_done = record.limit not in limits[record.ifindex in out] or record.ifindex in former
            has_failed = pods_failed if record.inside else record.ifindex in failed
            if record.ifindex not in there or (is_done and not has_failed):
                self._originals.forget(record.key)
        for family in self._in_hand():
            if not limits[False] & set(FAMILIES[family]) and not pods_failed:
                self._originals.forget(f"{_MARK}{present}/{_PODS}/{family}")

    def _remember(self, where: str, what: str, value: int) -> None:
        self._originals.remember(f"{_MARK}{era()}/{where}/{what}", str(value))

    def _items(self) -> list[tuple[str, str]]:
        return [one for one in self._originals.items() if one[0].startswith(_MARK)]

    def _records(self) -> list[_Record]:
        """Of this era."""
        found = []
        start = f"{_MARK}{era()}/"
        for key, value in self._items():
            where, _, limit = key.removeprefix(start).partition("/")
            ifindex, _, inside = where.partition(".")
            if key.startswith(start) and ifindex.isdigit():
                of = (int(ifindex), bool(inside), cast("Limit", limit), int(value))
                found.append(_Record(key, *of))
        return found

    def _in_hand(self) -> frozenset[Family]:
        """What devices of pods have by us."""
        start = f"{_MARK}{era()}/{_PODS}/"
        there = {key for key, _ in self._items()}
        return frozenset(family for family in FAMILIES if start + family in there)


def enlarge(lease: Lease, ifindex: int, asked: SizesAsked, uplinks: Bound | None) -> None:
    """Both ends of a device that has just been made. `uplinks`: see `least_of_uplinks`."""
    host = gso.find(ifindex)
    if host is None or not asked.is_anything:
        return
    ends = [_end("host end", host, lease, {})]
    inside = _look_inside(lease, host)
    if inside is not None:
        ends.append(_end("pod end", inside[0], lease, {}, inside[1]))
    for end in ends:
        set_end(plan_end(asked, end, uplinks))


def set_end(plan: EndPlan) -> None:
    """KernelError: the device cannot do as much, or has gone."""
    if plan.empty:
        return
    with _at(plan.end):
        if plan.ipv6_mtu is not None:
            sysctl.set(_mtu_setting(plan.end.name), plan.ipv6_mtu)
        if plan.changes:
            gso.set_some(plan.end.ifindex, plan.changes)


@contextlib.contextmanager
def _at(end: End) -> Iterator[None]:
    with netns.inside_path(end.netns) if end.netns else contextlib.nullcontext():
        yield


def _look_inside(lease: Lease, host: gso.Sized) -> tuple[gso.Sized, int | None] | None:
    """The pod's end, and its MTU of IPv6. None: it has gone, as pods do."""
    if host.peer is None:
        return None
    try:
        with netns.inside_path(lease.netns):
            found = gso.find(host.peer)
            if found is None or found.peer != host.ifindex:
                return None
            setting = _mtu_setting(found.name)
            return found, int(sysctl.get(setting)) if sysctl.exists(setting) else None
    except (ConfigError, KernelError):
        return None


def _is_there(end: End) -> bool:
    try:
        with _at(end):
            return gso.find(end.ifindex) is not None
    except SixlaneError:
        return False


def _end(
    role: Role,
    found: gso.Sized,
    lease: Lease | None,
    originals: Mapping[Limit, int],
    ipv6_mtu: int | None = None,
    below: Bound | None = None,
) -> End:
    return End(
        role,
        found.name,
        found.ifindex,
        found.sizes,
        found.mtu,
        ipv6_mtu,
        lease,
        dict(originals),
        below,
    )


def _leading_out(
    devices: Mapping[int, gso.Sized], uplinks: Collection[int]
) -> Iterator[tuple[Role, gso.Sized, Bound | None]]:
    """Uplinks, then whatever they send by; each with the least of those below it."""
    below = {one: _below(devices, one) for one in uplinks}
    lower = {found for each in below.values() for found in each} - set(uplinks)
    for ifindex in (*uplinks, *sorted(lower)):
        if ifindex not in devices:
            continue
        role: Role = "uplink" if ifindex in below else "lower"
        bounds = [
            Bound(devices[one].sizes.maximum, devices[one].name)
            for one in below.get(ifindex) or _below(devices, ifindex)
        ]
        least = min(bounds, key=lambda one: one.size, default=None)
        yield role, devices[ifindex], least


def _below(devices: Mapping[int, gso.Sized], ifindex: int) -> list[int]:
    """Ports of a bond or a bridge, and what a VLAN is on; and what is below those."""
    found: list[int] = []
    waiting = [ifindex]
    while waiting:
        upper = waiting.pop()
        nearest = [one.ifindex for one in devices.values() if one.master == upper]
        lower = devices[upper].lower if upper in devices else None
        if lower is not None and lower in devices:
            nearest.append(lower)
        new = [one for one in nearest if one not in (*found, ifindex)]
        found += new
        waiting += new
    return found


def _recorded(records: Iterable[_Record], ifindex: int, inside: bool = False) -> dict[Limit, int]:
    return {
        one.limit: one.value for one in records if (one.ifindex, one.inside) == (ifindex, inside)
    }


def _of_pod(in_hand: frozenset[Family], sizes: gso.Sizes) -> dict[Limit, int]:
    """What a device of a pod had before."""
    return {
        limit: gso.ORDINARY
        for family in in_hand
        for limit in FAMILIES[family]
        if sizes.of(limit) is not None
    }


def _key(end: End) -> tuple[str | None, int]:
    return end.netns, end.ifindex


def _place(end: End) -> str:
    if end.netns:
        return f"device {end.name} in {end.netns}"
    return f"device {end.name}"


def _mtu_setting(name: str) -> tuple[str, ...]:
    return ("net", "ipv6", "conf", name, "mtu")
