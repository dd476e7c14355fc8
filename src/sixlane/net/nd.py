# SPDX-License-Identifier: Apache-2.0
"""Neighbour advertisements that nobody has asked for: telling a link who has an IPv6 address."""

import errno
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address

from sixlane.errors import KernelError
from sixlane.net import link

_ADVERTISEMENT = struct.Struct("!BBHI16sBB6s")
_TYPE = 136
_OVERRIDE = 1 << 29
_TARGET_LINK_LAYER_ADDRESS, _EIGHT_BYTES = 2, 1
_HOP_LIMIT = 255  # others are not believed (RFC 4861 7.1.2)
_ALL_NODES = "ff02::1"


def advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """The ICMPv6 message (RFC 4861 sections 4.4 and 7.2.6), without its checksum: whoever knows
    another hardware address of `address` is to forget it."""
    option = (_TARGET_LINK_LAYER_ADDRESS, _EIGHT_BYTES, mac)
    return _ADVERTISEMENT.pack(_TYPE, 0, 0, _OVERRIDE, address.packed, *option)


def advertise(device: link.Device, mac: bytes, addresses: Iterable[IPv6Address]) -> None:
    """Sends one for each address to all nodes. KernelError: it cannot be sent."""
    name, index = link.name_of(device), link.index(device)
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    try:
        with socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6) as messages:
            messages.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOP_LIMIT)
            messages.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            for address in addresses:  # the kernel puts source and checksum in
                messages.sendto(advertisement(mac, address), (_ALL_NODES, 0, 0, index))
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, f"advertise on device {name}") from error
