# SPDX-License-Identifier: Apache-2.0
"""Programs on devices: XDP links, TCX links, or tc filters where the kernel has no TCX.

A link is pinned and so outlives the agent; a tc filter stays with its device anyway.
"""

import errno
from collections.abc import Iterator, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from sixlane.bpf import (
    AttachType,
    Link,
    PlaceFlag,
    Program,
    XdpFlag,
    attached_programs,
    probe,
    xdp_program,
)
from sixlane.errors import ConfigError, KernelError, NotSupported
from sixlane.net import clsact, link, netns

Entry = Literal["xdp", "xdp-generic", "tc"]
Mode = Literal["xdp", "xdp-generic", "tcx", "clsact"]

FILTER = "sixlane_uplink"

OF_PODS = frozenset({"uplink_to_pod", "sixlane_to_pod"})
"""Program and filter for pods on an uplink: behind a pipeline, in whatever order they come."""

_FLAGS = {"xdp": XdpFlag.DRV_MODE, "xdp-generic": XdpFlag.SKB_MODE, "tcx": 0}
_XDP_MISSING = (errno.EOPNOTSUPP, errno.EINVAL, 524)


@dataclass(frozen=True)
class Attachment:
    """`device` is "" if it has gone; `program`: the id of the program that runs there."""

    device: str
    ifindex: int
    mode: Mode
    program: int

    @property
    def entry(self) -> Entry:
        return "tc" if self.mode == "tcx" or self.mode == "clsact" else self.mode


def automatic_entry(device_kind: str) -> Entry:
    """XDP for NICs. A virtual device carries GSO packets and partial checksums: tc."""
    return "tc" if device_kind else "xdp"


def attach(links: Path, ifindex: int, entry: Entry, program: Program, name: str = FILTER) -> Mode:
    """Puts a pipeline on a device that has none of ours. `program`: that of the entry; `name`: of
    the filter, where it is one.

    ConfigError: another program is there. NotSupported: the driver has no native XDP.
    """
    device = link.get_by_index(ifindex)
    if entry == "tc" and not probe.has_tcx():
        return _attach_filter(device, program, name)
    if entry == "tc":
        refuse_foreign(device, OF_PODS | {name})
    mode: Mode = "tcx" if entry == "tc" else entry
    kind = AttachType.TCX_INGRESS if mode == "tcx" else AttachType.XDP
    flags = PlaceFlag.BEFORE if mode == "tcx" else _FLAGS[mode]
    try:
        created = Link.create(program, ifindex, kind, flags)
    except KernelError as error:
        raise _explained(error, device, entry) from error
    with created:
        created.pin(links / f"{mode}-{ifindex}")
    return mode


def attachments(links: Path, filter_name: str = FILTER) -> Iterator[Attachment]:
    """What is attached, of pinned links and of filters in this network namespace."""
    devices = {found.ifindex: found.name for found in link.list_links()}
    for pin in sorted(links.iterdir()):
        mode, _, index = pin.name.rpartition("-")
        if mode not in _FLAGS:
            continue
        with Link.from_pin(pin) as pinned:
            info = pinned.info
        # A dead link has no device, or one in another namespace whose index is reused in this one.
        device = devices.get(int(index), "") if info.ifindex else ""
        if device and not _runs_on(int(index), mode, info.program_id):
            device = ""
        yield Attachment(device, int(index), mode, info.program_id)  # type: ignore[arg-type]
    if not probe.has_tcx():
        for ifindex, name in devices.items():
            for found in clsact.list_filters(ifindex) if clsact.has_qdisc(ifindex) else []:
                if found.name == filter_name:
                    yield Attachment(name, ifindex, "clsact", found.program_id or 0)


def _runs_on(ifindex: int, mode: str, program_id: int) -> bool:
    if mode == "tcx":
        return program_id in attached_programs(ifindex, AttachType.TCX_INGRESS)
    return program_id == xdp_program(ifindex)


def replace(links: Path, attachment: Attachment, program: Program, name: str = FILTER) -> None:
    """Puts the program of the same entry in the place of an attached one, between two packets."""
    if attachment.mode == "clsact":
        clsact.attach(attachment.ifindex, program.fd, name)
        return
    with Link.from_pin(_pin(links, attachment)) as pinned:
        pinned.update(program)


def detach(links: Path, attachment: Attachment) -> None:
    """Takes the pipeline off a device at once."""
    if attachment.mode == "clsact":
        clsact.detach(attachment.ifindex)
        if not clsact.list_filters(attachment.ifindex):
            clsact.remove_qdisc(attachment.ifindex)
        return
    pin = _pin(links, attachment)
    with Link.from_pin(pin) as pinned:
        if pinned.info.ifindex:
            pinned.detach()
    Link.unpin(pin)


End = Literal["near", "far", "checks"]
"""Devices of our own: of the slow path's veth pair the end here and the one in its namespace; and
the one by which health checks leave, which is the only one whose program is behind it (egress)."""


def attach_slow(links: Path, end: End, ifindex: int, program: Program) -> None:
    """Puts a program on a device of ours, in that end's namespace, in place of what is there."""
    if not probe.has_tcx():
        clsact.attach(ifindex, program.fd, _slow_filter(end), direction=_direction(end))
        return
    pin = _slow_pin(links, end)
    Link.unpin(pin)
    kind = AttachType.TCX_EGRESS if end == "checks" else AttachType.TCX_INGRESS
    with Link.create(program, ifindex, kind) as created:
        created.pin(pin)


def detach_slow(links: Path, end: End) -> None:
    """Forgets the program of a device that has gone, or goes."""
    Link.unpin(_slow_pin(links, end))


def maps_in_use(links: Path, namespace: str) -> dict[int, frozenset[int]]:
    """The ids of what is attached, the slow path's ends among it: of programs, each with its maps.

    `namespace`: the slow path's.
    """
    programs = {one.program for one in attachments(links) if one.device}
    for end in get_args(End):
        programs |= {found.program_id or 0 for _, found in _slow_filters(end, namespace)}
        programs |= {slow_program(links, end) or 0}
    maps = {}
    for id in programs - {0}:
        with Program.from_id(id) as program:
            maps[id] = frozenset(program.info.map_ids)
    return maps


def slow_program(links: Path, end: End) -> int | None:
    """The id of the program on one end; None if that end has gone, 0 if no link tells."""
    if not probe.has_tcx():
        return 0
    pin = _slow_pin(links, end)
    if not pin.exists():
        return None
    with Link.from_pin(pin) as pinned:
        info = pinned.info
    return info.program_id if info.ifindex else None


def replace_slow(links: Path, end: End, program: Program, namespace: str) -> bool:
    """Swaps the program of one end, if that end is there and has another one; whether it did."""
    replaced = False
    if slow_program(links, end) not in (None, 0, program.info.id):
        with Link.from_pin(_slow_pin(links, end)) as pinned:
            pinned.update(program)
        replaced = True
    for ifindex, found in _slow_filters(end, namespace):
        if found.program_id != program.info.id:
            with _at_end(end, namespace):
                clsact.attach(ifindex, program.fd, found.name, direction=_direction(end))
            replaced = True
    return replaced


def _slow_filters(end: End, namespace: str) -> list[tuple[int, clsact.Filter]]:
    """The filter on one end, where the kernel has no TCX: device and filter."""
    if probe.has_tcx() or not netns.exists(namespace):
        return []
    with _at_end(end, namespace):
        return [
            (device.ifindex, found)
            for device in link.list_links()
            for found in clsact.list_filters(device.ifindex, _direction(end))
            if found.name == _slow_filter(end)
        ]


def _at_end(end: End, namespace: str) -> AbstractContextManager[None]:
    return netns.inside(namespace if end == "far" else None)


def _direction(end: End) -> clsact.Direction:
    return "egress" if end == "checks" else "ingress"


def _slow_filter(end: End) -> str:
    return f"sixlane_{end}"


def _slow_pin(links: Path, end: End) -> Path:
    return links / f"slow-{end}"


def _pin(links: Path, attachment: Attachment) -> Path:
    return links / f"{attachment.mode}-{attachment.ifindex}"


def _attach_filter(device: link.Link, tc: Program, name: str) -> Mode:
    _refuse_foreign_filters(device, OF_PODS | {name})
    if not clsact.has_qdisc(device.ifindex):
        clsact.add_qdisc(device.ifindex)
    clsact.attach(device.ifindex, tc.fd, name)
    return "clsact"


def refuse_foreign(device: link.Link, ours: Set[str]) -> None:
    """ConfigError: somebody else's program sees packets that come in; `ours`: names."""
    _refuse_foreign_filters(device, ours)
    if probe.has_tcx():
        _refuse_foreign_tcx(device, ours)


def _refuse_foreign_filters(device: link.Link, ours: Set[str]) -> None:
    filters = clsact.list_filters(device.ifindex) if clsact.has_qdisc(device.ifindex) else []
    for found in filters:
        if found.name not in ours:
            raise ConfigError(
                f"device {device.name} has a tc filter of somebody else "
                f"({found.kind} {found.name}, pref {found.preference})",
                f"look: tc filter show dev {device.name} ingress",
            )


def _refuse_foreign_tcx(device: link.Link, ours: Set[str]) -> None:
    for program_id in attached_programs(device.ifindex, AttachType.TCX_INGRESS):
        with Program.from_id(program_id) as program:
            if program.name in ours:
                continue
            raise ConfigError(
                f"device {device.name} has a tc program of somebody else ({program.name})",
                f"look: bpftool net show dev {device.name}",
            )


def _explained(error: KernelError, device: link.Link, entry: Entry) -> Exception:
    if error.errno in (errno.EBUSY, errno.EEXIST):
        return ConfigError(
            f"device {device.name} has an XDP program of somebody else",
            f"look: ip link show dev {device.name}",
        )
    if entry == "xdp" and error.errno in _XDP_MISSING:
        return NotSupported(
            f"native XDP on device {device.name}", f"attach: tc, or xdp-generic; {error}"
        )
    return error
