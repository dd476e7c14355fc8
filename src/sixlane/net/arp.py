# SPDX-License-Identifier: Apache-2.0
"""ARP announcements: telling a link who has an IPv4 address, unasked."""

import errno
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address

from sixlane.errors import KernelError
from sixlane.net import link

_ETH_P_ARP = 0x0806
_REQUEST = struct.Struct("!6s6sHHHBBH6s4s6s4s")
_BROADCAST = b"\xff" * 6


def announcement(mac: bytes, address: IPv4Address) -> bytes:
    """The frame of an ARP announcement (RFC 5227 section 2.3): a request for one's own address."""
    ethernet, ipv4, request = 1, 0x0800, 1
    head = (_BROADCAST, mac, _ETH_P_ARP, ethernet, ipv4, 6, 4, request)
    return _REQUEST.pack(*head, mac, address.packed, bytes(6), address.packed)


def announce(device: link.Device, mac: bytes, addresses: Iterable[IPv4Address]) -> None:
    """Sends one for each address. KernelError: it cannot be sent."""
    name = link.name_of(device)
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as packets:
            packets.bind((name, 0))
            for address in addresses:
                packets.send(announcement(mac, address))
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, f"announce on device {name}") from error
