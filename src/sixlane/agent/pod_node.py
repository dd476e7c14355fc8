# SPDX-License-Identifier: Apache-2.0
"""The node's side of pod networking: uplinks, the ways to pods of other nodes, and forwarding."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sixlane.agent.pod_trouble import Trouble
from sixlane.agent.pod_way import Way, way_of
from sixlane.datapath.pods import By, Pods
from sixlane.errors import SixlaneError
from sixlane.model import Network
from sixlane.model.addresses import AnyAddress, AnyNetwork
from sixlane.nat64 import Originals
from sixlane.nat64.originals import keep, restore_device, restore_unused, set_beside
from sixlane.nat64.settings import (
    ACCEPT_RA,
    EVERY,
    FORWARDING4,
    FORWARDING6,
    Setting,
    read_setting,
)
from sixlane.net import link, route
from sixlane.net.gso import ORDINARY
from sixlane.pods.big_tcp import NOTHING, EndPlan, SizesAsked
from sixlane.pods.devices import PROTOCOL
from sixlane.rfc import rfc6052


class NodeRoute(NamedTuple):
    """To pods of another node. `via`: None: to nowhere, to be announced."""

    to: AnyNetwork
    via: AnyAddress | None

    def __str__(self) -> str:
        return f"route {self.to} via {self.via}" if self.via else f"route {self.to} to be announced"


@dataclass(frozen=True)
class Uplink:
    """A device that is there."""

    name: str
    ifindex: int
    mtu: int


@dataclass(frozen=True)
class NodePlan:
    """What has to change. `network`: None: there is to be none."""

    network: Network | None
    uplinks: tuple[Uplink, ...] = ()
    absent: tuple[str, ...] = ()
    attach: tuple[Uplink, ...] = ()
    detach: tuple[int, ...] = ()
    new_routes: tuple[NodeRoute, ...] = ()
    old_routes: tuple[NodeRoute, ...] = ()
    is_unsettled: bool = False
    way: Way = field(default_factory=lambda: Way(By.REDIRECTS))
    is_other_way: bool = False
    """Than the data path has."""
    withdraws: bool = False
    asked: SizesAsked = NOTHING
    """Of packet sizes, which `sizes` are to bring about."""
    sizes: tuple[EndPlan, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.summary()

    def summary(self) -> list[str]:
        return [
            *(["take pod networking away"] if self.withdraws else ()),
            *(f"uplink {one.name}: attach the programs of pods" for one in self.attach),
            *(
                f"device {link.name_or_number(one)}: detach the programs of pods"
                for one in self.detach
            ),
            *([self.way.summary()] if self.is_other_way else ()),
            *(["let the node forward what pods send"] if self.is_unsettled else ()),
            *(f"remove {one}" for one in self.old_routes),
            *(f"add {one}" for one in self.new_routes),
            *(one.summary() for one in self.sizes if not one.end.lease and not one.empty),
            *self._of_pods(),
        ]

    def _of_pods(self) -> list[str]:
        pods = {one.end.lease.attachment for one in self.sizes if one.end.lease and not one.empty}
        count = "1 pod" if len(pods) == 1 else f"{len(pods)} pods"
        return [f"set the packet sizes of the devices of {count}"] if pods else []

    def warnings(self) -> list[str]:
        asked = self.asked.sizes
        told = [f"uplink {name}: there is no such device yet" for name in self.absent]
        told += [one.message for one in self.way.troubles()]
        if self.asked.translates and asked.ipv4 and (asked.ipv6 or 0) > max(asked.ipv4, ORDINARY):
            told.append(
                "bigTcp: what the Gateway makes of packets of IPv6 is larger than devices take of "
                "IPv4, and the CPU cuts it: ask for as much of both, or of IPv6 alone"
            )
        return told


def plan_node(network: Network, datapath: Pods | None) -> NodePlan:
    """Looks at the node. `datapath`: None: it has not been opened yet."""
    found = {one.name: link.find(one.name) for one in network.spec.uplinks}
    uplinks = tuple(Uplink(one.name, one.ifindex, one.mtu) for one in found.values() if one)
    attached = attached_uplinks(datapath) if datapath else set()
    wanted, had = wanted_routes(network), node_routes()
    indices = {one.ifindex for one in uplinks}
    way, has = way_of(network), datapath.setup()[1] if datapath else By.REDIRECTS
    return NodePlan(
        network,
        uplinks,
        tuple(name for name, one in found.items() if one is None),
        tuple(one for one in uplinks if one.ifindex not in attached),
        tuple(sorted(attached - indices)),
        tuple(sorted(wanted - had, key=str)),
        tuple(sorted(had - wanted, key=str)),
        is_unsettled(uplinks),
        way,
        way.by != has,
    )


def apply_node(plan: NodePlan, datapath: Pods, originals: Originals) -> list[Trouble]:
    """Makes it so; what could not be done is told, and all else is done."""
    troubles = [
        Trouble("UplinkAbsent", f"uplink {name}: there is no such device") for name in plan.absent
    ]
    troubles += plan.way.troubles()
    namespace, by = datapath.setup()
    if by != plan.way.by:
        datapath.set_up(namespace, plan.way.by)
    for ifindex in plan.detach:
        datapath.detach(ifindex)
    datapath.set_uplinks({one.ifindex for one in plan.uplinks})
    for uplink in plan.uplinks:
        try:
            datapath.attach_uplink(uplink.ifindex)
        except SixlaneError as error:
            troubles.append(Trouble("NotAttached", f"uplink {uplink.name}: {error.message}"))
    let_forward(originals, plan.uplinks)
    for old in plan.old_routes:
        route.remove(old.to, via=old.via, proto=PROTOCOL)
    for new in plan.new_routes:
        try:
            kind = route.UNICAST if new.via else route.UNREACHABLE
            route.add(new.to, via=new.via, kind=kind, proto=PROTOCOL)
        except SixlaneError as error:
            troubles.append(Trouble("RouteNotAdded", error.message))
    return troubles


def attached_uplinks(datapath: Pods) -> set[int]:
    return {one.ifindex for one in datapath.attached() if one.role == "uplink"}


def wanted_routes(network: Network) -> set[NodeRoute]:
    """To other nodes; and for others, to nowhere: a router that announces a range of addresses
    sends none of those that nobody has back to where such packets come from (RFC 4632 5.1)."""
    spec = network.spec
    wanted = {NodeRoute(one.to, one.via) for one in spec.routes}
    if spec.announce == "route":
        wanted |= {NodeRoute(one, None) for pool in spec.pools for one in pool.ranges}
        if (egress := spec.stateless_egress) is not None:
            behind = (rfc6052.embed_network(egress.prefix, one) for one in egress.ipv4)
            wanted |= {NodeRoute(one, None) for one in behind}
    return wanted


def node_routes() -> set[NodeRoute]:
    """Those of ours but for the ways to pods of this node, which lead to devices of theirs."""
    return {
        NodeRoute(one.dst, one.gateway)
        for one in route.list_routes(proto=PROTOCOL)
        if one.gateway is not None or one.type == route.UNREACHABLE
    }


def remove_node_routes() -> None:
    for one in node_routes():
        route.remove(one.to, via=one.via, proto=PROTOCOL)


# ---- forwarding ----


def is_unsettled(uplinks: Sequence[Uplink]) -> bool:
    return any(
        read_setting(ifindex, setting) not in (None, "1")
        for ifindex, setting in _forwarding(uplinks)
    )


def let_forward(originals: Originals, uplinks: Sequence[Uplink]) -> None:
    """Has uplinks forward both families, and remembers what was before.

    The kernel forwards IPv6 of no device unless `all` says so, which sets each of them.
    """
    if read_setting(EVERY, FORWARDING6) != "1":
        for device in link.list_links():
            # A forwarding device ignores router advertisements unless it is told twice.
            if read_setting(device.ifindex, ACCEPT_RA) == "1":
                set_beside(originals, device.ifindex, ACCEPT_RA, "2")
            if read_setting(device.ifindex, FORWARDING6) == "1":
                keep(originals, device.ifindex, FORWARDING6, "1")
    for ifindex, setting in _forwarding(uplinks):
        set_beside(originals, ifindex, setting, "1")


def restore_forwarding(originals: Originals) -> list[str]:
    """What could not be put back, one line each."""
    lost = restore_device(originals, EVERY)  # which sets all the others
    return [*lost, *restore_unused(originals, ())]


def _forwarding(uplinks: Iterable[Uplink]) -> list[tuple[int, Setting]]:
    return [
        (EVERY, FORWARDING6),
        *((one.ifindex, setting) for one in uplinks for setting in (FORWARDING4, FORWARDING6)),
    ]


def least_mtu(uplinks: Iterable[Uplink], otherwise: int) -> int:
    return min((one.mtu for one in uplinks), default=otherwise)
