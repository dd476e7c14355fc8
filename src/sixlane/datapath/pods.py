# SPDX-License-Identifier: Apache-2.0
"""The pods of this node in the data path: programs on their devices and on uplinks, and tables.

    ROOT/maps/<map>-<digest>      each map under its layout (layout.POD_DIGESTS)
    ROOT/links/<role>-<ifindex>   what is attached where

Programs live by what they are attached to, and packets go on while nobody has this open. Whoever
opens it finds the tables as they were left, or empty ones beside them if their layout has changed,
until `take_over`.
"""

import logging
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

from sixlane.bpf import (
    AttachType,
    Link,
    LinkInfo,
    Object,
    Program,
    attached_programs,
    features,
    probe,
)
from sixlane.datapath import layout
from sixlane.datapath.attach import FILTER, refuse_foreign
from sixlane.datapath.clock import jiffies_per_second
from sixlane.datapath.counters import Counter, read_reasons
from sixlane.datapath.layout import PodReason
from sixlane.datapath.objects import POD, object_path
from sixlane.datapath.pins import have_bpffs
from sixlane.datapath.simulate import set_constants
from sixlane.errors import KernelError
from sixlane.model.addresses import AnyAddress
from sixlane.model.packed import packed_address, unpacked_address
from sixlane.net import clsact, link

ROOT = Path("/sys/fs/bpf/sixlane-pods")

MOST_ADDRESSES = layout.POD_MAPS["pods"].max_entries
MOST_UPLINKS = layout.POD_MAPS["uplinks"].max_entries

_log = logging.getLogger("sixlane.datapath")

_ZERO = bytes(4)
_UPLINK_TC = "uplink_tc"

Role = Literal["pod", "netkit", "out", "netkit-out", "uplink"]
"""`pod`, `netkit`: what a pod sends; `out`: behind a translator of it; `uplink`: what it brings."""


@dataclass(frozen=True)
class _Place:
    """Where a program runs. `filter` and `preference`: where the kernel has no TCX."""

    program: str
    type: AttachType
    filter: str = ""
    preference: int = 0


# A pipeline's filter, which may be there as well, comes first.
_PLACES: Mapping[Role, _Place] = {
    "pod": _Place("from_pod", AttachType.TCX_INGRESS, "sixlane_pod", clsact.PREFERENCE + 1),
    "out": _Place("from_pod_out", AttachType.TCX_INGRESS, "sixlane_pod_out", clsact.PREFERENCE + 2),
    "netkit": _Place("from_netkit", AttachType.NETKIT_PEER),
    "netkit-out": _Place("from_pod_out", AttachType.NETKIT_PEER),
    "uplink": _Place(
        "uplink_to_pod", AttachType.TCX_INGRESS, "sixlane_to_pod", clsact.PREFERENCE + 1
    ),
}


_OUTS: Mapping[Role, Role] = {"pod": "out", "netkit": "netkit-out"}


class By(IntFlag):
    """What goes by the host's stack, as in enum pod_flag."""

    REDIRECTS = 0
    STACK_LOCAL = layout.PodFlag.POD_STACK_LOCAL
    STACK_OUT = layout.PodFlag.POD_STACK_OUT
    STACK_IN = layout.PodFlag.POD_STACK_IN
    STACK = STACK_LOCAL | STACK_OUT | STACK_IN


@dataclass(frozen=True)
class Place:
    """Where a pod is: the index of its device's end on the host, and the addresses of both ends, 6
    bytes each, zeros where the device has none."""

    ifindex: int
    pod_mac: bytes
    host_mac: bytes


@dataclass(frozen=True)
class Attached:
    """`program`: the id of what runs there."""

    role: Role
    ifindex: int
    program: int


class Pods:
    """Programs that are loaded, over their tables. Closing it leaves all of that in force."""

    def __init__(self, root: Path, opened: Object, missing: tuple[str, ...]) -> None:
        self.root = root
        self.missing = missing
        """Helpers that this kernel lacks: what they would do is the stack's."""
        self._opened = opened
        self._maps = opened.maps
        self._setting = threading.Lock()  # who hears of changes is not who makes them

    @classmethod
    def open(cls, root: Path = ROOT) -> "Pods":
        """Loads the programs over the tables below `root`, which are made unless they are there.

        Nothing that is attached changes before `take_over`. NotSupported: no bpffs, no objects.
        """
        path = object_path(POD)
        have_bpffs(root)
        for directory in (root, _maps(root), _links(root)):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        helpers = {
            "redirects_to_peer": ("bpf_redirect_peer", features.has_redirect_peer()),
            "redirects_to_neighbour": ("bpf_redirect_neigh", features.has_redirect_neigh()),
        }
        missing = tuple(name for name, has in helpers.values() if not has)
        for name in missing:
            _log.warning("this kernel lacks %s: the host's stack does that for pods", name)
        with ExitStack() as stack:
            opened = stack.enter_context(Object.open(path))
            for name in layout.POD_MAPS:
                opened.maps[name].set_pin_path(_pin(root, name))
            constants = {name: int(has) for name, (_, has) in helpers.items()}
            constants["jiffies_per_second"] = jiffies_per_second()
            set_constants(opened, constants, layout.POD_CONFIG)
            opened.load()
            stack.pop_all()
        return cls(root, opened, missing)

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @staticmethod
    def remove(root: Path = ROOT) -> None:
        """Detaches everything in this network namespace and removes all pins below `root`."""
        for one in _attached(root):
            _detach(root, one.role, one.ifindex)
        try:
            if root.is_dir():
                shutil.rmtree(root)
        except OSError as error:
            raise KernelError(error.errno or 0, f"remove the pins in {root}") from error

    def program(self, name: str) -> Program:
        """One of those of pod.bpf.c; owned by the object."""
        return self._opened.programs[name]

    # ---- tables ----

    def setup(self) -> tuple[int, By]:
        """The cookie of the network namespace that this is for, 0: none yet; what goes by the
        stack."""
        found = self._setup()
        return found.namespace, By(found.flags)

    def set_up(self, namespace: int, by: By = By.REDIRECTS) -> None:
        with self._setting:
            value = self._setup()
            value.namespace, value.flags = namespace, int(by)
            self._set_up(value)

    def forget_ways(self) -> None:
        """Has the kernel be asked anew by the next packet of each flow: for changes of routes,
        rules, neighbours and devices. What changes by this object does so by itself, and whatever
        is not told is forgotten within a second."""
        with self._setting:
            self._set_up(self._setup())

    def _setup(self) -> layout.PodSetup:
        return layout.PodSetup.from_buffer_copy(self._maps["pod_setups"].lookup(_ZERO) or b"")

    def _set_up(self, value: layout.PodSetup) -> None:
        """Under another epoch."""
        value.epoch = (value.epoch + 1) % (1 << 32)
        self._maps["pod_setups"].update(_ZERO, value)

    def places(self) -> dict[AnyAddress, Place]:
        """Of all addresses that pods have."""
        return {unpacked_address(key): _place(value) for key, value in self._maps["pods"].items()}

    def place(self, address: AnyAddress) -> Place | None:
        """Of one address."""
        value = self._maps["pods"].lookup(packed_address(address))
        return None if value is None else _place(value)

    def put(self, addresses: Iterable[AnyAddress], place: Place) -> None:
        """KernelError (E2BIG) if there are more than MOST_ADDRESSES."""
        value = layout.Pod(
            ifindex=place.ifindex,
            pod_mac=tuple(place.pod_mac),
            host_mac=tuple(place.host_mac),
        )
        for address in addresses:
            self._maps["pods"].update(packed_address(address), value)
        self.forget_ways()

    def forget(self, addresses: Iterable[AnyAddress]) -> None:
        """What is not there is fine."""
        for address in addresses:
            self._maps["pods"].delete(packed_address(address))
        self.forget_ways()

    def uplinks(self) -> set[int]:
        """Indices of devices that packets may leave the node by."""
        return {int.from_bytes(key, "little") for key, _ in self._maps["uplinks"].items()}

    def set_uplinks(self, devices: Collection[int]) -> None:
        """Of at most MOST_UPLINKS devices."""
        for ifindex in self.uplinks() - set(devices):
            self._maps["uplinks"].delete(ifindex.to_bytes(4, "little"))
        for ifindex in devices:
            self._maps["uplinks"].update(ifindex.to_bytes(4, "little"), _ZERO)
        self.forget_ways()

    def counters(self) -> dict[str, Counter]:
        """By enum pod_reason in lower case, without its first word."""
        found = read_reasons(self._maps["pod_counters"])
        return {
            one.name.removeprefix("POD_").lower(): found[one]
            for one in PodReason
            if one not in (PodReason.POD_NONE, PodReason.POD_REASONS)
        }

    # ---- devices ----

    def attached(self) -> list[Attached]:
        """What runs, of this network namespace; pins of devices that have gone are removed."""
        return list(_attached(self.root))

    def attach_pod(self, ifindex: int, *, netkit: bool) -> None:
        """Puts the programs on a pod's device, in the place of ours if they are there."""
        role: Role = "netkit" if netkit else "pod"
        self._attach(role, ifindex)
        if self._is_translated():
            self._attach(_OUTS[role], ifindex)

    def is_on_pod(self, ifindex: int, *, netkit: bool) -> bool:
        """Whether the programs are on a pod's device."""
        role: Role = "netkit" if netkit else "pod"
        place = _PLACES[role]
        if place.filter and not probe.has_tcx():
            return any(found.name == place.filter for found in clsact.list_filters(ifindex))
        pin = _link(self.root, role, ifindex)
        if not pin.exists():
            return False
        with Link.from_pin(pin) as pinned:
            return _is_at(pinned.info, role, ifindex)

    def attach_uplink(self, ifindex: int) -> None:
        """Behind a pipeline, if there is one. ConfigError: another program is there."""
        device = link.get_by_index(ifindex)
        place = _PLACES["uplink"]
        refuse_foreign(device, {place.program, place.filter, _UPLINK_TC, FILTER})
        self._attach("uplink", ifindex)

    def detach(self, ifindex: int) -> None:
        """Takes all of ours off a device; that there is none is fine."""
        for role in get_args(Role):
            _detach(self.root, role, ifindex)

    def translate(self, program: Program | None) -> None:
        """Has a Gateway's program see what pods send out of the node; None: it is nobody's.

        It never sees what is not from the pod's own address.
        """
        if program is None:
            self._maps["translators"].delete(_ZERO)
        for one in self.attached():
            out = _OUTS.get(one.role)
            if out and program:
                self._attach(out, one.ifindex)
            elif out:
                _detach(self.root, out, one.ifindex)
        if program:
            self._maps["translators"].update(_ZERO, program)
        self.forget_ways()

    def take_over(self) -> None:
        """Puts these programs in the place of those attached, each between two packets, and forgets
        tables of other layouts. To be called when these tables are as they should be."""
        for one in self.attached():
            self._attach(one.role, one.ifindex)
        ours = {_pin(self.root, name) for name in layout.POD_MAPS}
        for path in _maps(self.root).iterdir():
            if path not in ours:
                path.unlink()

    def _is_translated(self) -> bool:
        return self._maps["translators"].lookup(_ZERO) is not None

    def _attach(self, role: Role, ifindex: int) -> None:
        place = _PLACES[role]
        program = self._opened.programs[place.program]
        if place.type == AttachType.TCX_INGRESS and not probe.has_tcx():
            clsact.attach(ifindex, program.fd, place.filter, preference=place.preference)
            return
        pin = _link(self.root, role, ifindex)
        if pin.exists():
            with Link.from_pin(pin) as pinned:
                if _is_at(pinned.info, role, ifindex):
                    pinned.update(program)
                    return
            Link.unpin(pin)
        with Link.create(program, ifindex, place.type) as created:
            created.pin(pin)


def _attached(root: Path) -> Iterator[Attached]:
    directory = _links(root)
    for pin in sorted(directory.iterdir()) if directory.is_dir() else []:
        name, _, index = pin.name.rpartition("-")
        role, ifindex = _role(name), int(index)
        with Link.from_pin(pin) as pinned:
            info = pinned.info
        if _is_at(info, role, ifindex):
            yield Attached(role, ifindex, info.program_id)
        elif not info.ifindex:
            Link.unpin(pin)
    if probe.has_tcx():
        return
    roles = {place.filter: role for role, place in _PLACES.items() if place.filter}
    for device in link.list_links():
        for found in clsact.list_filters(device.ifindex):
            if found.name in roles:
                yield Attached(roles[found.name], device.ifindex, found.program_id or 0)


def _is_at(info: LinkInfo, role: Role, ifindex: int) -> bool:
    """Whether a link is alive on that device. A dead one has no device, or one in another namespace
    whose index is reused in this one. Of a netkit pair the kernel tells the index of the end in the
    pod, as it is there."""
    place = _PLACES[role]
    if not info.ifindex or (place.type != AttachType.NETKIT_PEER and info.ifindex != ifindex):
        return False
    with suppress(KernelError):  # no such device here, or of another kind
        return info.program_id in attached_programs(ifindex, place.type)
    return False


def _detach(root: Path, role: Role, ifindex: int) -> None:
    pin = _link(root, role, ifindex)
    if pin.exists():
        with Link.from_pin(pin) as pinned:
            if pinned.info.ifindex:
                pinned.detach()
        Link.unpin(pin)
    place = _PLACES[role]
    if probe.has_tcx() or not place.filter or link.find(ifindex) is None:
        return
    if any(found.name == place.filter for found in clsact.list_filters(ifindex)):
        clsact.detach(ifindex, preference=place.preference)
        clsact.remove_qdisc(ifindex)


def _role(name: str) -> Role:
    (role,) = (one for one in get_args(Role) if one == name)
    return role  # type: ignore[no-any-return]


def _place(value: bytes) -> Place:
    found = layout.Pod.from_buffer_copy(value)
    return Place(found.ifindex, bytes(found.pod_mac), bytes(found.host_mac))


def _maps(root: Path) -> Path:
    return root / "maps"


def _links(root: Path) -> Path:
    return root / "links"


def _pin(root: Path, name: str) -> Path:
    return _maps(root) / f"{name}-{layout.POD_DIGESTS[name]}"


def _link(root: Path, role: Role, ifindex: int) -> Path:
    return _links(root) / f"{role}-{ifindex}"
