# SPDX-License-Identifier: Apache-2.0
"""Pod networking as a part of the agent: the `Network` in force, and whoever serves its pods."""

import logging
import threading
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from sixlane.agent.big_tcp import LACKING, NOT_SET, NodeSizes
from sixlane.agent.conditions import Condition, Truth
from sixlane.agent.log import fields
from sixlane.agent.part import Desired, Named
from sixlane.agent.pod_metrics import PodMetrics, big_tcp_use, pool_use
from sixlane.agent.pod_node import (
    NodePlan,
    Uplink,
    apply_node,
    is_unsettled,
    least_mtu,
    node_routes,
    plan_node,
    remove_node_routes,
    restore_forwarding,
    wanted_routes,
)
from sixlane.agent.pod_service import PodService, Serving
from sixlane.agent.pod_trouble import BY_THE_STACK, PAST_FIREWALL, Trouble
from sixlane.agent.pod_way import Way, way_of
from sixlane.bpf import Program
from sixlane.datapath.pods import Pods
from sixlane.errors import ConfigError, KernelError
from sixlane.model import AnyResource, Gateway, Network
from sixlane.nat64 import Originals
from sixlane.net import features, link, netns
from sixlane.net.monitor import KINDS, OF_WAYS
from sixlane.pods.big_tcp import (
    NOTHING,
    End,
    EndPlan,
    SizesAsked,
    least_of_uplinks,
    plan_big_tcp,
)
from sixlane.pods.pod import DeviceKind, Usual

_log = logging.getLogger("sixlane.pods")

_MTU = 1500  # with no uplink that would tell
_FOR_NODE = {"link", "route", "rule", "setting"}
_OF_BIG_TCP = {NOT_SET, LACKING}
_OF_WAYS = {BY_THE_STACK, PAST_FIREWALL}
_LASTING = {LACKING, *_OF_WAYS}
"""Reasons of troubles that no other try mends."""


class PodsPart:
    """Opens the data path of pods when a Network comes; closing it leaves it in force.

    `try_again()` is called when something of the node's could not be had, `on_sizes()` when packet
    sizes of devices have changed, of which the kernel tells nobody.
    """

    name = "pods"
    kinds = frozenset({"Network"})
    reads = kinds | {"Gateway"}  # whether one translates what pods send

    def __init__(self, pins: Path, leases: Path, originals: Originals) -> None:
        self.try_again: Callable[[], None] = lambda: None
        self.on_sizes: Callable[[], None] = lambda: None
        self.service = PodService(leases)
        self._pins = pins
        self._originals = originals
        self._sizes = NodeSizes(originals)
        self._asked_sizes = NOTHING  # as of the last apply
        self._size_plans: tuple[EndPlan, ...] = ()
        self._datapath: Pods | None = None
        self._network: Network | None = None
        self._uplinks: tuple[Uplink, ...] = ()  # as of the last apply
        self._way: Way | None = None  # as of the last apply
        self._troubles: list[Trouble] = []
        self._translator: Program | None = None
        self._is_told = False  # whether there is a translator
        self._device: DeviceKind | None = None  # what `auto` is
        self._lock = threading.RLock()
        self._closing = threading.Lock()  # of the data path; whoever hears must not wait for more

    def plan(self, desired: Desired, before: Desired, named: Named | None = None) -> NodePlan:
        with self._lock:
            network = _network_of(desired)
            if network is not None:
                with self.service.programs:
                    plan = plan_node(network, self._datapath)
                translates = any(isinstance(one, Gateway) for one in desired)
                asked = SizesAsked(network.spec.big_tcp, translates)
                return replace(plan, asked=asked, sizes=self._plan_sizes(asked, plan.uplinks))
            there = self._datapath is not None or self._pins.exists()
            if there and _network_of(before) is not None:
                self._refuse_pods()
            return NodePlan(None, withdraws=there and not self.service.all())

    def apply(self, plan: NodePlan) -> None:
        with self._lock:
            if plan.network is None:
                if plan.withdraws:
                    self._withdraw()
                return
            datapath = self._opened(plan)
            self._network, self._uplinks, self._way = plan.network, plan.uplinks, plan.way
            # First, what pods had is remembered: those that come from now on have what is asked.
            troubles = self._set_sizes(plan.asked, plan.sizes)
            bound = least_of_uplinks(one.end for one in plan.sizes)
            self.service.serve(Serving(plan.network, self._usual(), bound))
            with self.service.programs:
                self._tell([*apply_node(plan, datapath, self._originals), *troubles])
            if any(one.reason not in _LASTING for one in self._troubles):
                self.try_again()

    def heard(self, kinds: Set[str]) -> None:
        """Of changes, as `net.monitor` names them; must not be held up by an apply."""
        if kinds & OF_WAYS:
            with self._closing:
                if self._datapath is not None:
                    self._datapath.forget_ways()

    def settled(self, desired: Desired) -> None:
        """What the plan rests on was noted when it was applied."""

    def has_drifted(self, kinds: Set[str]) -> bool:
        with self._lock:
            if self._network is None or not kinds & _FOR_NODE:
                return False
            return (
                self._present_uplinks() != self._uplinks
                or is_unsettled(self._uplinks)
                or ("route" in kinds and self._has_lost_route())
                or ("rule" in kinds and self._way != way_of(self._network))
                or ("link" in kinds and self._have_sizes_drifted(inside=False))
            )

    def look(self) -> bool:
        with self._lock:
            return self.has_drifted(KINDS) or (
                self._network is not None and self._have_sizes_drifted(inside=True)
            )

    def conditions(self, resource: AnyResource) -> Sequence[Condition]:
        """As of the last apply."""
        with self._lock:
            troubles = list(self._troubles)
            big_tcp = self._big_tcp_condition()
            redirected = self._redirected_condition()
        routes = [one for one in troubles if one.reason == "RouteNotAdded"]
        elsewhere = {*_OF_BIG_TCP, *_OF_WAYS, "RouteNotAdded"}
        return [
            _condition("UplinksAttached", [one for one in troubles if one.reason not in elsewhere]),
            _condition("RoutesInForce", routes),
            redirected,
            *([big_tcp] if big_tcp else ()),
        ]

    def status(self, desired: Desired) -> dict[str, Any] | None:
        """None: there is no Network in force."""
        with self._lock:
            if self._network is None or self._datapath is None:
                return None
            pods = self.service.all()
            return {
                "name": self._network.metadata.name,
                "device": self._usual().device,
                "mtu": self._usual().mtu,
                "pods": len(pods),
                "pending": sum(not one.ready for one in pods),
                "uplinks": [one.name for one in self._uplinks],
                "missing": list(self._datapath.missing),
                "counters": {
                    name: {"packets": one.packets, "bytes": one.bytes}
                    for name, one in self._datapath.counters().items()
                },
                "problems": [one.message for one in self._troubles],
            }

    def metrics(self) -> PodMetrics | None:
        """None: there is no Network in force."""
        with self._lock:
            if self._network is None or self._datapath is None:
                return None
            pods = self.service.all()
            sizes = (
                self._plan_sizes(self._asked_sizes, self._present_uplinks(), inside=False)
                if self._asked_sizes.is_anything
                else ()
            )
            return PodMetrics(
                sum(one.ready for one in pods),
                sum(not one.ready for one in pods),
                pool_use(self._network, pods),
                self._datapath.counters(),
                big_tcp_use(sizes),
            )

    def big_tcp(self) -> list[dict[str, Any]]:
        """What each device has now, and why; none without a Network."""
        with self._lock:
            if self._network is None:
                return []
            return self._sizes.rows(self._plan_sizes(self._asked_sizes, self._present_uplinks()))

    def translate(self, program: Program | None) -> None:
        """Has a Gateway's program see what pods send; None: it is nobody's."""
        with self._lock:
            if self._is_told and _id(program) == _id(self._translator):
                return
            self.service.translate(program)
            self._forget_translator()
            # Of our own: whoever has it may load another one, and tell later.
            self._translator = Program.from_id(program.info.id) if program else None
            self._is_told = True

    def remove(self) -> list[str]:
        with self._lock, self.service.withdrawn():
            return [*self.service.remove_all(), *self._removed()]

    def close(self) -> None:
        with self._lock:
            self.service.close()
            self._close()
            self._forget_translator()

    def _withdraw(self) -> None:
        with self.service.withdrawn(self._refuse_pods):  # an ADD may have been faster
            for line in self._removed():
                _log.warning("not put back", extra=fields(part=self.name, what=line))

    def _refuse_pods(self) -> None:
        count = len(self.service.all())
        if count:
            what = "1 pod has" if count == 1 else f"{count} pods have"
            hint = "end them first; sixlane teardown takes everything away"
            raise ConfigError(f"{what} addresses of the Network that is to go", hint)

    def _removed(self) -> list[str]:
        """What could not be put back, one line each."""
        self._close()
        Pods.remove(self._pins)
        remove_node_routes()
        self._network, self._uplinks, self._way, self._troubles = None, (), None, []
        self._asked_sizes, self._size_plans = NOTHING, ()
        lost = self._sizes.restore(())  # no pod is left
        self.on_sizes()
        return [*lost, *restore_forwarding(self._originals)]

    def _forget_translator(self) -> None:
        if self._translator is not None:
            self._translator.close()
            self._translator = None

    def _close(self) -> None:
        with self._closing:
            if self._datapath is not None:
                self._datapath.close()
                self._datapath = None

    def _opened(self, plan: NodePlan) -> Pods:
        if self._datapath is not None:
            return self._datapath
        try:
            datapath = Pods.open(self._pins)
        except OSError as error:
            raise KernelError(error.errno or 0, f"open the pins in {self._pins}") from error
        try:
            datapath.set_up(netns.cookie(), plan.way.by)
            datapath.set_uplinks({one.ifindex for one in plan.uplinks})
            if self._is_told:
                datapath.translate(self._translator)
            self.service.adopt(datapath)
            datapath.take_over()
        except BaseException:
            with self.service.withdrawn():
                datapath.close()
            raise
        self._datapath = datapath
        return datapath

    def _usual(self) -> Usual:
        if self._device is None:
            self._device = "netkit" if features.has_device_kind("netkit") else "veth"
        return Usual(self._device, least_mtu(self._uplinks, _MTU))

    def _present_uplinks(self) -> tuple[Uplink, ...]:
        assert self._network is not None
        found = [(one.name, link.find(one.name)) for one in self._network.spec.uplinks]
        return tuple(Uplink(name, one.ifindex, one.mtu) for name, one in found if one)

    def _has_lost_route(self) -> bool:
        assert self._network is not None
        wanted = wanted_routes(self._network)
        failing = any(one.reason == "RouteNotAdded" for one in self._troubles)
        return bool(wanted) and not failing and node_routes() != wanted

    # ---- packet sizes ----

    def _plan_sizes(
        self, asked: SizesAsked, uplinks: Sequence[Uplink], *, inside: bool = True
    ) -> tuple[EndPlan, ...]:
        return plan_big_tcp(asked, self._sized_ends(uplinks, inside=inside))

    def _sized_ends(self, uplinks: Sequence[Uplink], *, inside: bool) -> list[End]:
        indices = [one.ifindex for one in uplinks]
        return self._sizes.observe(indices, self.service.all(), inside=inside)

    def _set_sizes(self, asked: SizesAsked, plans: tuple[EndPlan, ...]) -> list[Trouble]:
        self._asked_sizes, self._size_plans = asked, plans
        troubles = self._sizes.apply(asked, plans)
        if any(one.changes for one in plans):
            self.on_sizes()
        return troubles

    def _have_sizes_drifted(self, *, inside: bool) -> bool:
        if self._sizes.is_idle(self._asked_sizes):
            return False
        ends = self._sized_ends(self._present_uplinks(), inside=inside)
        return self._sizes.has_drifted(self._asked_sizes, ends)

    def _big_tcp_condition(self) -> Condition | None:
        """None: nothing is asked."""
        if not self._asked_sizes.is_anything:
            return None
        failed = [one for one in self._troubles if one.reason in _OF_BIG_TCP]
        if failed:
            return _condition("BigTcp", failed, needed=False)
        limited = {
            f"{one.end.name}: {one.why[family]}"
            for one in self._size_plans
            for family in one.limited
            if one.end.leads_out
        }
        reason = "Limited" if any(one.limited for one in self._size_plans) else "AsAsked"
        return Condition("BigTcp", "True", reason, "; ".join(sorted(limited)), needed=False)

    def _redirected_condition(self) -> Condition:
        troubles = [one for one in self._troubles if one.reason == BY_THE_STACK]
        datapath, way = self._datapath, self._way
        if way is not None and way.by and not way.why:
            return Condition("Redirected", "False", "AsAsked", "", needed=False)
        if not troubles and datapath is not None and datapath.missing:
            what = f"this kernel lacks {' and '.join(datapath.missing)}"
            return Condition("Redirected", "False", "KernelLacks", what, needed=False)
        past = [one.message for one in self._troubles if one.reason == PAST_FIREWALL]
        if past and not troubles:
            return Condition("Redirected", "True", PAST_FIREWALL, past[0], needed=False)
        return _condition("Redirected", troubles, needed=False)

    def _tell(self, troubles: list[Trouble]) -> None:
        """Each once, when it begins and when it ends."""
        before, self._troubles = self._troubles, troubles
        for one in troubles:
            if one not in before:
                _log.warning("trouble", extra=fields(part=self.name, what=one.message))
        for one in before:
            if one not in troubles:
                _log.info("no longer", extra=fields(part=self.name, what=one.message))


def _id(program: Program | None) -> int | None:
    return program.info.id if program else None


def _condition(type: str, troubles: list[Trouble], *, needed: bool = True) -> Condition:
    status: Truth = "False" if troubles else "True"
    reason = troubles[0].reason if troubles else type
    return Condition(type, status, reason, "; ".join(one.message for one in troubles), needed)


def _network_of(desired: Desired) -> Network | None:
    return next((one for one in desired if isinstance(one, Network)), None)
