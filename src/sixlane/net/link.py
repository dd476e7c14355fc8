# SPDX-License-Identifier: Apache-2.0
"""Network devices: see them, make veth pairs and bridges, change them.

A device is given by name or index, and looked for in the calling thread's network namespace.
"""

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from sixlane.errors import ConfigError, KernelError, SixlaneError
from sixlane.net import netlink, netns

Device = str | int

ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_IFF_UP = 0x1
_IFF_NOARP = 0x80
_IFF_LOWER_UP = 0x10000
_SKIP_STATISTICS = ("IFLA_EXT_MASK", 1 << 3)
_LONGEST_NAME = 15
_LONGEST_ALIAS = 255
_ENODEV = 19


@dataclass(frozen=True)
class Link:
    """One network device as the kernel shows it."""

    ifindex: int
    name: str
    kind: str  # "veth", "bridge", ...; "" for hardware and loopback
    type: int  # ARPHRD_...: 1 Ethernet, 772 loopback
    mac: bytes  # 6 bytes on Ethernet, b"" where the device has none
    mtu: int
    up: bool  # set up by an administrator
    carrier: bool  # and able to pass packets (for veth: its peer is up too)
    master: int | None  # index of the bridge it is a port of
    peer_ifindex: int | None  # of a veth's other end, in that end's namespace
    peer_netnsid: int | None  # the other end's namespace as this one numbers it; None: the same
    alias: str  # free text; the mark of the devices that are ours
    other_names: tuple[str, ...] = ()  # as `ip link property add dev ... altname` gives them
    arp: bool = True  # it asks for neighbours


def get(device: Device) -> Link:
    """The device. Raises `ConfigError`, naming the devices there are, if there is none."""
    found = find(device)
    if found is None:
        raise _missing(device)
    return found


def name_or_number(ifindex: int) -> str:
    """The name of a device; `#` and its index if there is none (any more)."""
    try:
        return socket.if_indextoname(ifindex)
    except OSError:
        return f"#{ifindex}"


def get_by_index(ifindex: int) -> Link:
    """The device with this index. Raises `ConfigError` if there is none."""
    return get(ifindex)


def find(device: Device) -> Link | None:
    """The device, or None if there is none."""
    fields: dict[str, Any] = {"family": 0}
    attributes: list[netlink.Attribute] = [_SKIP_STATISTICS]
    if isinstance(device, int):
        fields["index"] = device
    else:
        attributes.append(("IFLA_IFNAME", _checked_name(device)))
    try:
        message = netlink.get(
            ifinfmsg, _RTM_GETLINK, fields, attributes, what=f"read device {device}"
        )
    except KernelError as error:
        if error.errno == _ENODEV:
            return None
        raise
    return _link(message)


def list_links() -> list[Link]:
    """All devices, in the order of their indices."""
    messages = netlink.dump(
        ifinfmsg, _RTM_GETLINK, {"family": 0}, [_SKIP_STATISTICS], what="list devices"
    )
    return sorted(map(_link, messages), key=lambda link: link.ifindex)


def index(device: Device) -> int:
    """The index of a device. Raises `ConfigError` if there is none of this name."""
    if isinstance(device, int):
        return device
    try:
        return socket.if_nametoindex(device)
    except OSError:
        raise _missing(device) from None


def name_of(device: Device) -> str:
    """The name of a device, for people: its index if there is none of this index."""
    if isinstance(device, str):
        return device
    try:
        return socket.if_indextoname(device)
    except OSError:
        return f"with index {device}"


def create_veth(
    a: str,
    b: str,
    *,
    netns_a: str | None = None,
    netns_b: str | None = None,
    mac_a: bytes | None = None,
    mac_b: bytes | None = None,
    mtu: int | None = None,
    up: bool = False,
    alias: str = "",
) -> tuple[Link, Link]:
    """Make a veth pair, each end at once in its namespace (None: the calling thread's).

    `mtu`, `up` and `alias` are for both ends. Returns both as seen in their namespaces.
    """
    what = f"make veth pair {a} and {b}"
    flags = _IFF_UP if up else 0
    with ExitStack() as stack:
        ends = []
        for name, namespace, mac in ((a, netns_a, mac_a), (b, netns_b, mac_b)):
            fd = netns.open_fd(namespace)
            stack.callback(os.close, fd)
            end = [("IFLA_IFNAME", _checked_name(name)), ("IFLA_NET_NS_FD", fd)]
            ends.append(end + _optional(mac, mtu))
        data = {"attrs": [("VETH_INFO_PEER", {"attrs": ends[1]})]}
        info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
        _create([*ends[0], ("IFLA_LINKINFO", info)], flags, what)
    made: list[Link] = []
    for name, namespace, mac in ((b, netns_b, mac_b), (a, netns_a, mac_a)):
        with netns.inside(namespace):
            if up and not made:  # the end made first has no peer yet, and cannot be set up at once
                set_up(name)
            if alias:  # the kernel ignores an alias in the request that makes a device
                set_alias(name, alias)
            made.append(_made(name, "veth", mac, mtu, up, what))
    return made[1], made[0]


def create_bridge(
    name: str,
    *,
    mac: bytes | None = None,
    mtu: int | None = None,
    up: bool = False,
    alias: str = "",
) -> Link:
    """Make a bridge, with spanning tree off."""
    what = f"make bridge {name}"
    info = {"attrs": [("IFLA_INFO_KIND", "bridge")]}
    attributes = [("IFLA_IFNAME", _checked_name(name)), *_optional(mac, None)]
    _create([*attributes, ("IFLA_LINKINFO", info)], _IFF_UP if up else 0, what)
    if mtu is not None:  # set afterwards, it no longer follows the ports' MTUs
        set_mtu(name, mtu)
    if alias:
        set_alias(name, alias)
    return _made(name, "bridge", mac, mtu, up, what)


def delete(device: Device) -> None:
    """Remove a device (and, of a veth pair, the other end with it)."""
    ifindex, what = index(device), f"remove device {name_of(device)}"
    netlink.change(ifinfmsg, _RTM_DELLINK, {"index": ifindex}, [], what=what)
    if find(ifindex) is not None:
        raise _not_done(what)


def set_up(device: Device) -> None:
    """Set a device up."""
    _set(device, {"flags": _IFF_UP, "change": _IFF_UP}, [], up=True)


def set_down(device: Device) -> None:
    """Set a device down."""
    _set(device, {"flags": 0, "change": _IFF_UP}, [], up=False)


def set_arp(device: Device, on: bool) -> None:
    """Whether neighbours are asked for on a device; else each packet goes to nobody's address."""
    flags = 0 if on else _IFF_NOARP
    _set(device, {"flags": flags, "change": _IFF_NOARP}, [], arp=on)


def set_mtu(device: Device, mtu: int) -> None:
    """Set the MTU, in bytes of layer 3."""
    _set(device, {}, [("IFLA_MTU", mtu)], mtu=mtu)


def set_mac(device: Device, mac: bytes) -> None:
    """Set the hardware address (6 bytes on Ethernet)."""
    _set(device, {}, [("IFLA_ADDRESS", mac.hex(":"))], mac=mac)


def set_master(device: Device, master: Device | None) -> None:
    """Make the device a port of the bridge `master`; None: of none."""
    number = None if master is None else index(master)
    _set(device, {}, [("IFLA_MASTER", number or 0)], master=number)


def rename(device: Device, name: str) -> None:
    """Give the device another name. Before Linux 6.2 it must be down."""
    _set(index(device), {}, [("IFLA_IFNAME", _checked_name(name))], name=name)


def set_alias(device: Device, alias: str) -> None:
    """Set the free text that `ip link` shows as alias; "" removes it."""
    if len(alias.encode()) > _LONGEST_ALIAS:
        raise ConfigError(f"the alias for {name_of(device)} is longer than {_LONGEST_ALIAS} bytes")
    _set(device, {}, [("IFLA_IFALIAS", alias)], alias=alias)


def get_alias(device: Device) -> str:
    """The free text of a device, "" for none."""
    return get(device).alias


def move_to(device: Device, namespace: str) -> Link:
    """Move a device to another network namespace; it arrives down, without addresses and routes.

    Returns the device as seen there, where its index may be another.
    """
    name = get(device).name
    what = f"move device {name} to network namespace {namespace}"
    fd = netns.open_fd(namespace)
    try:
        fields, attributes = {"index": index(device)}, [("IFLA_NET_NS_FD", fd)]
        netlink.change(ifinfmsg, _RTM_SETLINK, fields, attributes, what=what)
    finally:
        os.close(fd)
    with netns.inside(namespace):
        found = find(name)
    if found is None:
        raise _not_done(what)
    return found


def _create(attributes: Sequence[netlink.Attribute], flags: int, what: str) -> None:
    netlink.change(
        ifinfmsg,
        _RTM_NEWLINK,
        {"family": 0, "flags": flags, "change": flags},
        attributes,
        what=what,
        flags=netlink.F_CREATE | netlink.F_EXCL,
    )


def _optional(mac: bytes | None, mtu: int | None) -> list[netlink.Attribute]:
    attributes: list[netlink.Attribute] = []
    if mac is not None:
        attributes.append(("IFLA_ADDRESS", mac.hex(":")))
    if mtu is not None:
        attributes.append(("IFLA_MTU", mtu))
    return attributes


def _made(name: str, kind: str, mac: bytes | None, mtu: int | None, up: bool, what: str) -> Link:
    made = find(name)
    if made is None or made.kind != kind or made.up != up:
        raise _not_done(what)
    if (mac is not None and made.mac != mac) or (mtu is not None and made.mtu != mtu):
        raise _not_done(what)
    return made


def _set(
    device: Device,
    fields: dict[str, int],
    attributes: Sequence[netlink.Attribute],
    **expected: Any,
) -> None:
    """Change a device, and see that it now has all the `expected` attributes of a `Link`."""
    ifindex = index(device)
    (wanted,) = expected.items()
    what = f"set {wanted[0]} of device {name_of(device)}"
    netlink.change(ifinfmsg, _RTM_SETLINK, {"index": ifindex, **fields}, attributes, what=what)
    found = get(ifindex)
    if getattr(found, wanted[0]) != wanted[1]:
        raise _not_done(what)


def _link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    mac = message.get_attr("IFLA_ADDRESS")
    names = message.get_attr("IFLA_PROP_LIST")
    kind = info.get_attr("IFLA_INFO_KIND") if info else None
    return Link(
        ifindex=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=kind or "",
        type=message["ifi_type"],
        mac=bytes.fromhex(mac.replace(":", "")) if mac else b"",
        mtu=message.get_attr("IFLA_MTU") or 0,
        up=bool(message["flags"] & _IFF_UP),
        carrier=bool(message["flags"] & _IFF_UP and message["flags"] & _IFF_LOWER_UP),
        master=message.get_attr("IFLA_MASTER"),
        peer_ifindex=message.get_attr("IFLA_LINK"),
        peer_netnsid=message.get_attr("IFLA_LINK_NETNSID"),
        alias=message.get_attr("IFLA_IFALIAS") or "",
        arp=not message["flags"] & _IFF_NOARP,
        other_names=tuple(names.get_attrs("IFLA_ALT_IFNAME")) if names else (),
    )


def _checked_name(name: str) -> str:
    if not 0 < len(name.encode()) <= _LONGEST_NAME or any(c in "/: \t\n\0" for c in name):
        raise ConfigError(f"{name!r} is no name for a device", f"1 to {_LONGEST_NAME} bytes")
    return name


def _missing(device: Device) -> ConfigError:
    here = ", ".join(link.name for link in list_links()[:8])
    return ConfigError(
        f"no device {name_of(device)} in this network namespace", f"there are: {here}"
    )


def _not_done(what: str) -> SixlaneError:
    return SixlaneError(f"{what}: the kernel said yes, but it is not so")
