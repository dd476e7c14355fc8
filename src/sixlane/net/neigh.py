# SPDX-License-Identifier: Apache-2.0
"""Neighbours: which hardware address an IP address of a link has (ARP, neighbour discovery)."""

import errno
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from pyroute2.netlink.rtnl.ndmsg import ndmsg

from sixlane.errors import KernelError, NotSupported, SixlaneError
from sixlane.net import link, netlink

IPAddress = IPv4Address | IPv6Address

INCOMPLETE = 0x01
REACHABLE = 0x02
STALE = 0x04
DELAY = 0x08
PROBE = 0x10
FAILED = 0x20
NOARP = 0x40
PERMANENT = 0x80

_RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 28, 29, 30
_NTF_EXT_MANAGED = 1
_NTF_PROXY = 8


@dataclass(frozen=True)
class Neighbour:
    """One entry of the kernel's neighbour table."""

    ifindex: int
    address: IPAddress
    mac: bytes | None  # None while it is not known
    state: int  # INCOMPLETE, REACHABLE, ...
    managed: bool  # the kernel keeps it resolved by itself

    @property
    def usable(self) -> bool:
        """Whether a packet can be sent to `mac` now (perhaps while it is being confirmed)."""
        return self.mac is not None and not self.state & (INCOMPLETE | FAILED)


def list_neighbours(device: link.Device | None = None) -> list[Neighbour]:
    """The neighbours on a device, or on all, IPv4 before IPv6; not the multicast (NOARP) ones."""
    attributes = [] if device is None else [("NDA_IFINDEX", link.index(device))]
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        fields = {"family": int(family)}
        messages = netlink.dump(ndmsg, _RTM_GETNEIGH, fields, attributes, what="list neighbours")
        found += [_neighbour(message) for message in messages]
    return [neighbour for neighbour in found if not neighbour.state & NOARP]


def find(device: link.Device, address: IPAddress) -> Neighbour | None:
    """The neighbour with this address on the device, or None if the kernel knows none."""
    fields = {"family": int(_family(address)), "ifindex": link.index(device)}
    attributes = [("NDA_DST", str(address))]
    what = f"read neighbour {address} on device {link.name_of(device)}"
    try:
        return _neighbour(netlink.get(ndmsg, _RTM_GETNEIGH, fields, attributes, what=what))
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return None
        raise


def add_permanent(device: link.Device, address: IPAddress, mac: bytes) -> None:
    """Set the hardware address of a neighbour for good, in place of what the kernel found out."""
    what = f"add neighbour {address} at {mac.hex(':')} on device {link.name_of(device)}"
    _add(device, address, PERMANENT, [("NDA_LLADDR", mac.hex(":"))], what)
    found = find(device, address)
    if found is None or found.mac != mac or not found.state & PERMANENT:
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def add_managed(device: link.Device, address: IPAddress) -> None:
    """Let the kernel resolve a neighbour now and keep it resolved, until it is removed.

    Raises `NotSupported` on a kernel older than 5.16, which knows no managed neighbours.
    """
    what = f"add managed neighbour {address} on device {link.name_of(device)}"
    _add(device, address, 0, [("NDA_FLAGS_EXT", _NTF_EXT_MANAGED)], what)
    found = find(device, address)
    if found is None or not found.managed:
        raise NotSupported("managed neighbours", "they came with Linux 5.16")


def remove(device: link.Device, address: IPAddress) -> None:
    """Forget a neighbour. Raises `KernelError` (ENOENT) if there is none.

    A neighbour that something else holds may stay behind, unresolved.
    """
    what = f"remove neighbour {address} from device {link.name_of(device)}"
    fields = {"family": int(_family(address)), "ifindex": link.index(device)}
    netlink.change(ndmsg, _RTM_DELNEIGH, fields, [("NDA_DST", str(address))], what=what)
    found = find(device, address)
    if found is not None and (found.usable or found.managed):
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def list_proxies(protocol: int) -> set[tuple[int, IPAddress]]:
    """Addresses that the kernel answers for beside its own, each with the index of the device;
    those that were added with this protocol number.
    """
    found = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        fields = {"family": int(family), "flags": _NTF_PROXY}
        messages = netlink.dump(ndmsg, _RTM_GETNEIGH, fields, [], what="list neighbour proxies")
        found |= {
            (message["ifindex"], ip_address(message.get_attr("NDA_DST")))
            for message in messages
            if message.get_attr("NDA_PROTOCOL") == protocol
        }
    return found


def add_proxies(device: link.Device, addresses: Collection[IPAddress], protocol: int) -> None:
    """Answer ARP and neighbour solicitations for addresses that are others', to whoever asks on
    this device.

    The kernel does so only if the device forwards; for IPv4 if a unicast route to the address leads
    to another one, and for IPv6 if `proxy_ndp` of the device is 1. (A solicitation that is sent to
    the address itself, as hosts do to see whether it is still there, needs that of "all".)
    """
    where = f"on device {link.name_of(device)}"
    for address in addresses:
        what = f"add neighbour proxy {address} {where}"
        _change_proxy(device, address, [("NDA_PROTOCOL", protocol)], what)
    index = link.index(device)
    missing = {(index, address) for address in addresses} - list_proxies(protocol)
    for _, address in missing:
        what = f"add neighbour proxy {address} {where}"
        raise SixlaneError(f"{what}: the kernel said yes, but it is not so")


def remove_proxy(device: link.Device, address: IPAddress) -> None:
    """Raises `KernelError` (ENOENT) if there is none."""
    what = f"remove neighbour proxy {address} from device {link.name_of(device)}"
    _change_proxy(device, address, None, what)


def _change_proxy(
    device: link.Device, address: IPAddress, added: list[netlink.Attribute] | None, what: str
) -> None:
    """`added`: its attributes beside the address; None: it is removed."""
    netlink.change(
        ndmsg,
        _RTM_DELNEIGH if added is None else _RTM_NEWNEIGH,
        {"family": int(_family(address)), "ifindex": link.index(device), "flags": _NTF_PROXY},
        [("NDA_DST", str(address)), *(added or ())],
        what=what,
        flags=0 if added is None else netlink.F_CREATE | netlink.F_REPLACE,
    )


def _add(
    device: link.Device,
    address: IPAddress,
    state: int,
    attributes: list[netlink.Attribute],
    what: str,
) -> None:
    fields = {"family": int(_family(address)), "ifindex": link.index(device), "state": state}
    netlink.change(
        ndmsg,
        _RTM_NEWNEIGH,
        fields,
        [("NDA_DST", str(address)), *attributes],
        what=what,
        flags=netlink.F_CREATE | netlink.F_REPLACE,
    )


def _family(address: IPAddress) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _neighbour(message: Any) -> Neighbour:
    mac = message.get_attr("NDA_LLADDR")
    flags = message.get_attr("NDA_FLAGS_EXT") or 0
    return Neighbour(
        ifindex=message["ifindex"],
        address=ip_address(message.get_attr("NDA_DST")),
        mac=bytes.fromhex(mac.replace(":", "")) if mac else None,
        state=message["state"],
        managed=bool(flags & _NTF_EXT_MANAGED),
    )
