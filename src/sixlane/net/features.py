# SPDX-License-Identifier: Apache-2.0
"""What the kernel's network can do, found out by trying it in a namespace that ends with the try;
and what a device and its driver tell of themselves. KernelError (EPERM) where we may not try."""

import ctypes
import errno
import fcntl
import socket
import struct
import sys
from collections.abc import Callable
from enum import IntFlag

from pyroute2.netlink import genlmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from sixlane.errors import KernelError, NotSupported
from sixlane.net import generic, link, netlink, netns

_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWQDISC = 16, 18, 36
_TC_ROOT = 0xFFFFFFFF
_LOOPBACK = 1
_LINK_HEADER_LENGTH = 16
_TSO_MAX_SIZE, _GSO_IPV4_MAX_SIZE = 59, 63
_LARGEST_OLD_GSO = 65536
_NETDEV_GET = 1
_SIOCETHTOOL, _GET_DRIVER = 0x8946, 3
_DRIVER_BYTES = 196  # struct ethtool_drvinfo


class XdpFeature(IntFlag):
    """enum netdev_xdp_act"""

    BASIC = 1
    REDIRECT = 2
    SENT_TO = 4
    FRAGS = 32


class _DeviceMessage(genlmsg):  # type: ignore[misc]
    """NETDEV_CMD_DEV_GET, which pyroute2 lacks."""

    nla_map = (
        ("NETDEV_A_DEV_UNSPEC", "none"),
        ("NETDEV_A_DEV_IFINDEX", "uint32"),
        ("NETDEV_A_DEV_PAD", "none"),
        ("NETDEV_A_DEV_XDP_FEATURES", "uint64"),
    )


def has_device_kind(kind: str) -> bool:
    """Devices of that kind can be made: veth, netkit."""
    attributes = [
        ("IFLA_IFNAME", "probe0"),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", kind)]}),
    ]
    return _can(
        lambda: netlink.change(
            ifinfmsg,
            _RTM_NEWLINK,
            {"family": 0},
            attributes,
            what=f"make a {kind}",
            flags=netlink.F_CREATE | netlink.F_EXCL,
        )
    )


def has_qdisc(kind: str) -> bool:
    """A device can have that queueing discipline: fq."""
    return _can(
        lambda: netlink.change(
            tcmsg,
            _RTM_NEWQDISC,
            {"family": 0, "index": _LOOPBACK, "handle": 1 << 16, "parent": _TC_ROOT},
            [("TCA_KIND", kind)],
            what=f"add a {kind}",
            flags=netlink.F_CREATE | netlink.F_EXCL,
        )
    )


def has_congestion_control(name: str) -> bool:
    """A TCP socket can have that congestion control: bbr."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError:
            return False
    return True


def has_big_tcp(version: int) -> bool:
    """Packets within the machine may be larger than 64 KiB, of IPv4 or IPv6 (`version`)."""
    loopback, *_ = netns.in_new(
        lambda: netlink.dump_raw(ifinfmsg, _RTM_GETLINK, {"family": 0}, what="list devices")
    )
    attributes = dict(netlink.attributes_of(loopback, netlink.HEADER.size + _LINK_HEADER_LENGTH))
    if version == 4:
        return _GSO_IPV4_MAX_SIZE in attributes
    limit = attributes.get(_TSO_MAX_SIZE)
    return limit is not None and int.from_bytes(limit, sys.byteorder) > _LARGEST_OLD_GSO


def xdp_features(device: link.Device) -> XdpFeature | None:
    """What its driver does for XDP; None if this kernel does not tell (before 6.3)."""
    try:
        number = generic.family("netdev")
    except NotSupported:
        return None
    message = netlink.get(
        _DeviceMessage,
        number,
        {"cmd": _NETDEV_GET, "version": generic.VERSION},
        [("NETDEV_A_DEV_IFINDEX", link.index(device))],
        what=f"read XDP features of device {link.name_of(device)}",
        protocol=netlink.GENERIC,
    )
    return XdpFeature(message.get_attr("NETDEV_A_DEV_XDP_FEATURES") or 0)


def driver(device: link.Device) -> str:
    """The name of the device's driver, "" if it has none to tell."""
    info = ctypes.create_string_buffer(_GET_DRIVER.to_bytes(4, sys.byteorder), _DRIVER_BYTES)
    request = struct.pack("16sP", link.name_of(device).encode(), ctypes.addressof(info))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        try:
            fcntl.ioctl(anything, _SIOCETHTOOL, request)
        except OSError:
            return ""
    return info.raw[4:36].rstrip(b"\0").decode(errors="replace")


def _can(change: Callable[[], None]) -> bool:
    try:
        netns.in_new(change)
    except KernelError as error:
        if error.errno in (errno.EPERM, errno.EACCES):  # that says nothing of the kernel
            raise
        return False
    return True
