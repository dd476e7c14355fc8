# SPDX-License-Identifier: Apache-2.0
"""IP addresses of devices."""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any

from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

from sixlane.errors import SixlaneError
from sixlane.net import link, netlink

Interface = IPv4Interface | IPv6Interface

SCOPE_GLOBAL = 0
SCOPE_LINK = 253
SCOPE_HOST = 254

_RTM_NEWADDR, _RTM_DELADDR, _RTM_GETADDR = 20, 21, 22
_F_NODAD = 0x02
_F_DADFAILED = 0x08
_F_DEPRECATED = 0x20
_F_TENTATIVE = 0x40
_F_NOPREFIXROUTE = 0x200
_DEPRECATED_FOR_EVER = {"ifa_preferred": 0, "ifa_valid": 0xFFFFFFFF, "cstamp": 0, "tstamp": 0}


@dataclass(frozen=True)
class Address:
    """One address of a device, with the length of the prefix that is on its link."""

    ifindex: int
    interface: Interface
    scope: int  # SCOPE_...
    tentative: bool  # duplicate address detection has not ended: not usable yet
    failed: bool  # somebody else has it (duplicate address detection)
    deprecated: bool  # not chosen as a source any more


def list_addresses(device: link.Device | None = None) -> list[Address]:
    """The addresses of a device, or of all devices, IPv4 before IPv6, in the kernel's order."""
    ifindex = 0 if device is None else link.index(device)
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        fields = {"family": int(family), "index": ifindex}
        messages = netlink.dump(ifaddrmsg, _RTM_GETADDR, fields, what="list addresses")
        found += [_address(message) for message in messages]
    return found


def add(
    device: link.Device,
    interface: Interface,
    *,
    nodad: bool = True,
    prefix_route: bool = True,
    as_source: bool = True,
) -> None:
    """Give the device an address.

    `nodad`: an IPv6 address is usable at once, without duplicate address detection.
    `prefix_route`: the kernel routes the prefix to the device.
    `as_source`: the kernel may choose it for what this machine begins by itself.
    Raises `KernelError` (EEXIST) if the device has it already.
    """
    what = f"add address {interface} to device {link.name_of(device)}"
    flags = _F_NODAD if nodad and interface.version == 6 else 0
    flags |= 0 if prefix_route else _F_NOPREFIXROUTE
    ifindex = link.index(device)
    fields = _fields(ifindex, interface)
    attributes = [*_attributes(interface), ("IFA_FLAGS", flags)]
    if not as_source and interface.version == 4:
        fields["scope"] = SCOPE_HOST
    elif not as_source:
        attributes.append(("IFA_CACHEINFO", _DEPRECATED_FOR_EVER))
    netlink.change(
        ifaddrmsg,
        _RTM_NEWADDR,
        fields,
        attributes,
        what=what,
        flags=netlink.F_CREATE | netlink.F_EXCL,
    )
    if not _has(ifindex, interface):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def remove(device: link.Device, interface: Interface) -> None:
    """Take an address from the device. Raises `KernelError` (EADDRNOTAVAIL) if it has it not."""
    what = f"remove address {interface} from device {link.name_of(device)}"
    ifindex = link.index(device)
    fields, attributes = _fields(ifindex, interface), _attributes(interface)
    netlink.change(ifaddrmsg, _RTM_DELADDR, fields, attributes, what=what)
    if _has(ifindex, interface):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def _fields(ifindex: int, interface: Interface) -> dict[str, int]:
    family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
    prefix_length = interface.network.prefixlen
    return {"family": int(family), "prefixlen": prefix_length, "index": ifindex}


def _attributes(interface: Interface) -> list[netlink.Attribute]:
    text = str(interface.ip)
    return [("IFA_LOCAL", text), ("IFA_ADDRESS", text)]


def _has(ifindex: int, interface: Interface) -> bool:
    return any(address.interface == interface for address in list_addresses(ifindex))


def _address(message: Any) -> Address:
    # On a point-to-point link IFA_ADDRESS is the far end's; IFA_LOCAL, where it is there, is ours.
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    return Address(
        ifindex=message["index"],
        interface=ip_interface(f"{text}/{message['prefixlen']}"),
        scope=message["scope"],
        tentative=bool(flags & _F_TENTATIVE),
        failed=bool(flags & _F_DADFAILED),
        deprecated=bool(flags & _F_DEPRECATED),
    )
