# SPDX-License-Identifier: Apache-2.0
"""BPF programs as tc filters on a device's clsact qdisc: for kernels without TCX (before 6.6).

A filter sits at a fixed place (direction, preference, handle). Attaching again at the same place
swaps the program atomically: each packet meets the old one or the new one. The kernel keeps the
program for as long as the filter stands, whoever made it.
"""

import os
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pyroute2.netlink.rtnl.tcmsg import tcmsg

from sixlane.errors import ConfigError, SixlaneError
from sixlane.net import link, netlink

Direction = Literal["ingress", "egress"]

PREFERENCE = 64  # filters with a lower number run first; 1 is what others like to take
HANDLE = 1

_RTM_NEWQDISC, _RTM_DELQDISC, _RTM_GETQDISC = 36, 37, 38
_RTM_NEWTFILTER, _RTM_DELTFILTER, _RTM_GETTFILTER = 44, 45, 46
_QDISC_PARENT = 0xFFFFFFF1
_QDISC_HANDLE = 0xFFFF0000
_PARENTS: dict[Direction, int] = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
_ALL_PROTOCOLS = socket.htons(0x0003)  # ETH_P_ALL
_DIRECT_ACTION = 1

# struct tcmsg: family and padding, index, handle, parent, info
_TCMSG = struct.Struct("=4xiIII")
_TCA_KIND, _TCA_OPTIONS = 1, 2
_TCA_BPF_NAME, _TCA_BPF_FLAGS, _TCA_BPF_ID = 7, 8, 11


@dataclass(frozen=True)
class Filter:
    """One tc filter on a clsact qdisc."""

    direction: Direction
    preference: int
    handle: int
    kind: str  # "bpf", or whatever else there is
    name: str  # the name that was given at attachment; "" for other kinds
    program_id: int | None
    direct_action: bool  # the program's return value is the verdict


def attach(
    device: link.Device,
    program_fd: int,
    name: str,
    *,
    direction: Direction = "ingress",
    preference: int = PREFERENCE,
    handle: int = HANDLE,
) -> Filter:
    """Attach a BPF program (type sched_cls), in place of one of the same `name` if there is one.

    Adds the clsact qdisc if the device has none. Raises `ConfigError` if the device has an
    `ingress` qdisc or another filter at this place, since neither can be ours.
    """
    ifindex = link.index(device)
    what = f"attach {name} to {direction} of device {link.name_of(device)}"
    add_qdisc(device)
    present = _at(ifindex, direction, preference, handle)
    if present is not None and present.name != name:
        raise ConfigError(
            f"device {link.name_of(device)} has a filter of others at {direction} "
            f"preference {preference}: {present.name or present.kind}",
            f"see tc filter show dev {link.name_of(device)} {direction}",
        )
    options = [
        ("TCA_BPF_FD", program_fd),
        ("TCA_BPF_NAME", name),
        ("TCA_BPF_FLAGS", _DIRECT_ACTION),
    ]
    netlink.change(
        tcmsg,
        _RTM_NEWTFILTER,
        _filter_fields(ifindex, direction, preference, handle),
        [("TCA_KIND", "bpf"), ("TCA_OPTIONS", {"attrs": options})],
        what=what,
        flags=netlink.F_CREATE,
    )
    made = _at(ifindex, direction, preference, handle)
    if made is None or not made.direct_action or made.program_id != _program_id(program_fd):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")
    return made


def detach(
    device: link.Device,
    *,
    direction: Direction = "ingress",
    preference: int = PREFERENCE,
    handle: int = HANDLE,
) -> None:
    """Remove the filter at this place; the qdisc stays. Raises `KernelError` if there is none."""
    ifindex = link.index(device)
    what = f"detach filter {preference} from {direction} of device {link.name_of(device)}"
    fields = _filter_fields(ifindex, direction, preference, handle)
    netlink.change(tcmsg, _RTM_DELTFILTER, fields, [("TCA_KIND", "bpf")], what=what)
    if _at(ifindex, direction, preference, handle) is not None:
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def list_filters(device: link.Device, direction: Direction = "ingress") -> list[Filter]:
    """The filters on one side of a device, in the order in which they run."""
    ifindex = link.index(device)
    if not has_qdisc(ifindex):
        return []
    fields = {"family": 0, "index": ifindex, "parent": _PARENTS[direction]}
    what = f"list filters of device {link.name_of(device)}"
    messages = netlink.dump_raw(tcmsg, _RTM_GETTFILTER, fields, what=what)
    found = [_filter(message, direction) for message in messages]
    return [filter for filter in found if filter is not None]


def has_qdisc(device: link.Device) -> bool:
    """Whether the device has a clsact qdisc."""
    return _qdisc_kind(device) == "clsact"


def add_qdisc(device: link.Device) -> bool:
    """Give the device a clsact qdisc; False if it has one already."""
    ifindex = link.index(device)
    kind = _qdisc_kind(ifindex)
    if kind == "clsact":
        return False
    if kind:
        raise ConfigError(
            f"device {link.name_of(device)} has a qdisc {kind}, which leaves no room for clsact",
            f"tc qdisc del dev {link.name_of(device)} {kind}, if nothing needs it",
        )
    what = f"add qdisc clsact to device {link.name_of(device)}"
    flags = netlink.F_CREATE | netlink.F_EXCL
    fields, attributes = _qdisc_fields(ifindex), [("TCA_KIND", "clsact")]
    netlink.change(tcmsg, _RTM_NEWQDISC, fields, attributes, what=what, flags=flags)
    if not has_qdisc(ifindex):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")
    return True


def remove_qdisc(device: link.Device) -> bool:
    """Remove the clsact qdisc, unless there is a filter on either side; whether it was removed.

    Raises `KernelError` if the device has none.
    """
    if list_filters(device, "ingress") or list_filters(device, "egress"):
        return False
    ifindex = link.index(device)
    what = f"remove qdisc clsact from device {link.name_of(device)}"
    fields, attributes = _qdisc_fields(ifindex), [("TCA_KIND", "clsact")]
    netlink.change(tcmsg, _RTM_DELQDISC, fields, attributes, what=what)
    if has_qdisc(ifindex):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")
    return True


def _qdisc_kind(device: link.Device) -> str:
    """Which of the two qdiscs with room for ingress filters it has; "" for neither."""
    ifindex = link.index(device)
    what = f"read qdiscs of device {link.name_of(device)}"
    for message in netlink.dump_raw(tcmsg, _RTM_GETQDISC, {"family": 0}, what=what):
        index, _, parent, _ = _TCMSG.unpack_from(message, netlink.HEADER.size)
        if (index, parent) == (ifindex, _QDISC_PARENT):
            return _kind(message)
    return ""


def _qdisc_fields(ifindex: int) -> dict[str, int]:
    return {"family": 0, "index": ifindex, "handle": _QDISC_HANDLE, "parent": _QDISC_PARENT}


def _filter_fields(
    ifindex: int, direction: Direction, preference: int, handle: int
) -> dict[str, int]:
    return {
        "family": 0,
        "index": ifindex,
        "parent": _PARENTS[direction],
        "handle": handle,
        "info": preference << 16 | _ALL_PROTOCOLS,
    }


def _at(ifindex: int, direction: Direction, preference: int, handle: int) -> Filter | None:
    for found in list_filters(ifindex, direction):
        if (found.preference, found.handle) == (preference, handle):
            return found
    return None


def _filter(message: bytes, direction: Direction) -> Filter | None:
    """The filter that a message shows: None if it shows only the chain of its preference.

    Read here and not by pyroute2, which does not know the program's id.
    """
    _, handle, _, info = _TCMSG.unpack_from(message, netlink.HEADER.size)
    if not handle:
        return None
    options: dict[int, bytes] = {}
    kind = _kind(message)
    if kind == "bpf":
        options = dict(netlink.attributes_of(_attributes(message).get(_TCA_OPTIONS, b""), 0))
    program_id = options.get(_TCA_BPF_ID)
    flags = int.from_bytes(options.get(_TCA_BPF_FLAGS, b""), sys.byteorder)
    return Filter(
        direction=direction,
        preference=info >> 16,
        handle=handle,
        kind=kind,
        name=_text(options.get(_TCA_BPF_NAME, b"")),
        program_id=int.from_bytes(program_id, sys.byteorder) if program_id else None,
        direct_action=bool(flags & _DIRECT_ACTION),
    )


def _kind(message: bytes) -> str:
    return _text(_attributes(message).get(_TCA_KIND, b""))


def _attributes(message: bytes) -> dict[int, bytes]:
    return dict(netlink.attributes_of(message, netlink.HEADER.size + _TCMSG.size))


def _text(value: bytes) -> str:
    return os.fsdecode(value.rstrip(b"\0"))


def _program_id(fd: int) -> int | None:
    for line in Path(f"/proc/thread-self/fdinfo/{fd}").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "prog_id":
            return int(value)
    return None
