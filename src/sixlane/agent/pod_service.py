# SPDX-License-Identifier: Apache-2.0
"""What container runtimes ask for their pods: leases, devices and the data path, step by step.

An ADD goes from the lease to the device, to the data path, to a lease that is ready; a DEL goes
back. Whenever that ends, the lease says what may be there: it comes before all else, and goes last.
"""

import logging
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sixlane.agent import big_tcp
from sixlane.agent.cni_requests import Requests
from sixlane.agent.log import fields
from sixlane.agent.turns import Turns
from sixlane.bpf import Program
from sixlane.datapath.pods import Place, Pods
from sixlane.errors import ConfigError, SixlaneError
from sixlane.model import Network
from sixlane.net import link, requests
from sixlane.net.netlink import Channel
from sixlane.pods import devices
from sixlane.pods.attached import Attached, CniCode, PodError, PodRoute
from sixlane.pods.big_tcp import Bound, SizesAsked
from sixlane.pods.devices import Device
from sixlane.pods.ipam import NothingFree
from sixlane.pods.leases import Leases
from sixlane.pods.pod import Asked, Attachment, Lease, Usual

_log = logging.getLogger("sixlane.pods")

_OURS = re.compile(r"sl[0-9a-f]{11}")
_ALIAS = "sixlane: "
_APPLY_ONE = "sixlane apply one; pods that are there keep what they have"


@dataclass(frozen=True)
class Serving:
    """What ADDs work with."""

    network: Network
    usual: Usual
    uplinks: Bound | None = None
    """How large packets the uplinks can do."""


class PodService:
    """May be used by any thread: those who ask for different attachments do not wait for each
    other, nor does the applier wait for them, but where everything is taken away.

    `file`: of the leases; it is made when the first Network comes.
    """

    def __init__(self, file: Path) -> None:
        self.requests = Requests()
        self._file = file
        self._leases: Leases | None = None
        self._datapath: Pods | None = None
        self._serving: Serving | None = None
        self._turns = Turns()
        self._opening = threading.Lock()
        self.programs = threading.Lock()
        """Held by whoever attaches or detaches: pins are looked at and removed in two steps."""

    # ---- of a runtime (sixlane.api.cni.Pods) ----

    def add(self, asked: Asked, network: str) -> Attached:
        asked = replace(asked, configuration=network)
        with self._turns.on(asked.attachment):
            serving, datapath = self._serving, self._datapath
            if serving is None or datapath is None:
                raise PodError(CniCode.TRY_AGAIN_LATER, "no Network is in force", _APPLY_ONE)
            leases = self.leases()
            try:
                lease = leases.add(asked, serving.network, serving.usual)
            except NothingFree as error:
                raise PodError(CniCode.TRY_AGAIN_LATER, error.message, error.hint) from error
            device = _device(lease, serving.network)
            before = datapath.place(lease.addresses[0]) if lease.ready else None
            try:
                place = devices.add(device, partial(self._attach, datapath, lease))
                _enlarge(lease, place, serving)
                if not lease.ready:
                    leases.ready(lease.attachment)
            except BaseException:
                if not lease.ready:
                    self._undo(lease)
                raise
            if before is not None and before.ifindex != place.ifindex:  # it was made anew
                with self.programs:
                    datapath.detach(before.ifindex)
            return _attached(lease, device)

    def delete(self, attachment: Attachment, netns: str | None) -> None:
        with self._turns.on(attachment):
            if not self.has_leases():
                return
            lease = self.leases().of(attachment)
            if lease is not None:
                self._take_away(lease)

    def check(self, asked: Asked, network: str) -> Attached:
        with self._turns.on(asked.attachment):
            serving, datapath = self._serving, self._datapath
            if serving is None or datapath is None:
                raise PodError(CniCode.TRY_AGAIN_LATER, "no Network is in force", _APPLY_ONE)
            lease = self.leases().of(asked.attachment)
            if lease is None or not lease.ready:
                raise PodError(CniCode.UNKNOWN_CONTAINER, f"there is no {asked.attachment}")
            if lease.netns != asked.netns:
                what = f"{asked.attachment} is in {lease.netns}, not in {asked.netns}"
                raise PodError(CniCode.NOT_AS_TOLD, what)
            device = _device(lease, serving.network)
            try:
                place = devices.check(device)
            except ConfigError as error:
                raise PodError(CniCode.NOT_AS_TOLD, error.message, error.hint) from error
            self._check_datapath(datapath, lease, place)
            return _attached(lease, device)

    def gc(self, valid: Collection[Attachment], network: str) -> None:
        """Not of those whose ADD or DEL is under way."""
        if not self.has_leases():
            return
        failed: list[SixlaneError] = []
        for stale in self.leases().stale(valid, network):
            with self._turns.on_idle(stale.attachment) as idle:
                lease = self.leases().of(stale.attachment) if idle else None
                if lease is None:
                    continue
                try:
                    self._take_away(lease)
                except SixlaneError as error:  # the others go all the same
                    failed.append(error)
                else:
                    _log.info("removed", extra=fields(attachment=lease.attachment, why="GC"))
        if failed:
            raise failed[0]

    def status(self) -> None:
        if self._serving is None:
            raise PodError(CniCode.NOT_AVAILABLE, "no Network is in force", _APPLY_ONE)
        refusal = self.leases().refusal
        if refusal is not None:
            raise PodError(CniCode.NOT_AVAILABLE, refusal.message, refusal.hint)

    # ---- of the agent ----

    def leases(self) -> Leases:
        """Opened when first needed. SixlaneError if they cannot be read."""
        with self._opening:
            if self._leases is None:
                self._leases = Leases(self._file)
            return self._leases

    def has_leases(self) -> bool:
        """Whether there is a file of them, which may have none."""
        return self._leases is not None or self._file.exists()

    def all(self) -> list[Lease]:
        return self.leases().all() if self.has_leases() else []

    def adopt(self, datapath: Pods) -> None:
        """Has the data path know the pods that are there, and no others; what an ADD had begun when
        an agent was killed is taken away. Nobody is served before."""
        with self._turns.alone():
            self._datapath = datapath
            there = list(self._there())
            known = {address for lease, _ in there for address in lease.all_addresses}
            datapath.forget(datapath.places().keys() - known)
            for lease, place in there:  # before any program asks for them
                datapath.put(lease.all_addresses, place)
            for lease, place in there:
                self._attach(datapath, lease, place)

    def serve(self, serving: Serving) -> None:
        """From now on, with this; behind `adopt`."""
        self._serving = serving

    @contextmanager
    def withdrawn(self, may: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Nobody is served any more, and nobody is at work during the block. Whoever has had the
        data path of it may close it. If `may` raises, nothing has changed."""
        with self._turns.alone():
            may()
            self._serving = None
            try:
                yield
            finally:
                self._datapath = None

    def remove_all(self) -> list[str]:
        """Within `withdrawn`: all pods lose what they have; what stays, one line each."""
        lost = []
        try:
            for lease in self.all():
                self._take_away(lease)
        except SixlaneError as error:  # a damaged file, or one that cannot be written
            lost.append(f"leases of pods: {error}")
        for device in link.list_links():  # of leases that were lost
            if _OURS.fullmatch(device.name) and device.alias.startswith(_ALIAS):
                devices.remove(device.name)
        return lost

    def translate(self, program: Program | None) -> None:
        """Of a Gateway's: see `sixlane.datapath.pods`."""
        with self.programs:
            if self._datapath is not None:
                self._datapath.translate(program)

    def close(self) -> None:
        """Leaves all of it in force."""
        with self._turns.alone():
            self._serving, self._datapath = None, None
            if self._leases is not None:
                self._leases.close()
                self._leases = None

    # ---- below ----

    def _attach(self, datapath: Pods, lease: Lease, place: Place) -> None:
        with self.programs:
            datapath.attach_pod(place.ifindex, netkit=lease.device != "veth")
        datapath.put(lease.all_addresses, place)

    def _check_datapath(self, datapath: Pods, lease: Lease, place: Place) -> None:
        with self.programs:
            runs = datapath.is_on_pod(place.ifindex, netkit=lease.device != "veth")
        if not runs:
            what = f"no program of pods is on device {lease.host_device}"
            raise PodError(CniCode.NOT_AS_TOLD, what, "sixlaned puts it there when it starts")
        for address in lease.all_addresses:
            if datapath.place(address) != place:
                what = f"the data path does not know {address} of {lease.attachment}"
                raise PodError(CniCode.NOT_AS_TOLD, what, "sixlaned tells it when it starts")

    def _take_away(self, lease: Lease) -> None:
        """All of it; what is not there any more is fine."""
        datapath = self._datapath
        known = datapath.place(lease.addresses[0]) if datapath else None
        if datapath:
            datapath.forget(lease.all_addresses)
        had = devices.remove(lease.host_device)
        if had is None and known and link.find(known.ifindex) is None:
            had = known.ifindex  # it went with the pod, and its pins are left
        if datapath and had is not None:
            with self.programs:
                datapath.detach(had)
        self.leases().remove(lease.attachment)

    def _undo(self, lease: Lease) -> None:
        """What cannot be, stays a lease that is not ready: for a DEL, a GC or the next start."""
        try:
            self._take_away(lease)
        except SixlaneError as error:
            told = fields(attachment=lease.attachment, error=error)
            _log.error("what was begun is not undone", extra=told)

    def _there(self) -> Iterator[tuple[Lease, Place]]:
        """All pods that have a device."""
        with Channel() as here:
            for lease in self.leases().all():
                if not lease.ready:
                    _log.info("undone", extra=fields(attachment=lease.attachment))
                    self._undo(lease)
                    continue
                end = requests.read_end(here, lease.host_device)
                if end is not None:  # else its pod has gone; the runtime has yet to say so
                    device = Device.of(lease, None)
                    yield lease, Place(end.ifindex, device.pod_mac, device.host_mac)


def _enlarge(lease: Lease, place: Place, serving: Serving) -> None:
    """Whatever cannot be had of BIG TCP, a pod can do without; the reconciler tries again."""
    try:
        asked = SizesAsked(serving.network.spec.big_tcp)
        big_tcp.enlarge(lease, place.ifindex, asked, serving.uplinks)
    except SixlaneError as error:
        _log.warning("no BIG TCP", extra=fields(attachment=lease.attachment, error=error))


def pods_data(leases: Collection[Lease]) -> list[dict[str, Any]]:
    return [
        {
            "containerId": lease.attachment.container_id,
            "ifname": lease.attachment.ifname,
            "namespace": lease.pod.namespace if lease.pod else None,
            "name": lease.pod.name if lease.pod else None,
            "netns": lease.netns,
            "pool": lease.pool,
            "addresses": [str(one) for one in lease.addresses],
            "egress": str(lease.egress) if lease.egress else None,
            "device": lease.device,
            "hostDevice": lease.host_device,
            "mtu": lease.mtu,
            "ready": lease.ready,
        }
        for lease in leases
    ]


def _device(lease: Lease, network: Network) -> Device:
    egress = network.spec.stateless_egress
    return Device.of(lease, egress.prefix if egress else None)


def _attached(lease: Lease, device: Device) -> Attached:
    ways = devices.pod_ways(device)
    has_macs = device.has_neighbours
    return Attached(
        lease,
        device.pod_mac if has_macs else None,
        device.host_mac if has_macs else None,
        tuple(PodRoute(way.dst, way.gateway) for way in ways),
        (devices.GATEWAY,),
    )
