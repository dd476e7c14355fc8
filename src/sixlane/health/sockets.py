# SPDX-License-Identifier: Apache-2.0
"""Sockets of checks: with the mark of a tunnel, from the address that answers are to come to."""

import asyncio
import errno
import socket
import struct
from ipaddress import ip_address

from sixlane.health.check import Address, Check, NotMade, described

SO_MARK = 36
_IP_BIND_ADDRESS_NO_PORT = 24
_OF_OURS = (errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NO_LINGER = struct.pack("ii", 1, 0)


def family_of(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def source_towards(backend: Address, version: int) -> Address | None:
    """Where the machine would send from to a backend: it is who has to find the way back. None: the
    kernel is to choose, as the backend is of the other family or there is no way to it."""
    if backend.version != version:
        return None
    with socket.socket(family_of(backend), socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((str(backend), 9))  # nothing is sent
        except OSError:
            return None
        return ip_address(asking.getsockname()[0])


def open_stream(check: Check) -> socket.socket:
    """A TCP socket, not connected. NotMade: the machine has none to give, or refuses the mark."""
    try:
        stream = socket.socket(family_of(check.address), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise NotMade(described(error)) from None
    try:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Ended by RST: a connection that was checked must not stay here for a minute.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        if check.mark is not None:
            stream.setsockopt(socket.SOL_SOCKET, SO_MARK, check.mark)
            source = source_towards(check.backend, check.address.version)
            if source is not None:
                # The port comes with connect(): else there are as few as for one destination.
                stream.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                stream.bind((str(source), 0))
    except OSError as error:
        stream.close()
        raise NotMade(described(error)) from None
    return stream


async def connect(stream: socket.socket, check: Check) -> None:
    """OSError: it did not open. NotMade: there was no port left."""
    try:
        await asyncio.get_running_loop().sock_connect(stream, (str(check.address), check.port))
    except OSError as error:
        if error.errno in _OF_OURS:
            raise NotMade(described(error)) from None
        raise
