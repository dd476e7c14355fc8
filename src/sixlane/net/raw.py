# SPDX-License-Identifier: Apache-2.0
"""Whole IP packets, sent as they are: by the host's routes, whoever their source is."""

import socket
from types import TracebackType

from sixlane.errors import KernelError


class RawSender:
    """Sends from the network namespace of the thread that uses it first. Not for several threads.

    Nothing is received: the sockets are of a protocol that no packet has.
    """

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def send(self, packet: bytes) -> None:
        """Send an IPv4 or IPv6 packet with its header. KernelError: there is no way, or no room."""
        family = socket.AF_INET6 if packet[0] >> 4 == 6 else socket.AF_INET
        packed = packet[24:40] if family == socket.AF_INET6 else packet[16:20]
        to = socket.inet_ntop(family, packed)
        try:
            self._socket(family).sendto(packet, (to, 0))
        except OSError as error:
            raise KernelError(error.errno or 0, f"send a packet to {to}") from error

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()

    def __enter__(self) -> "RawSender":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if family not in self._sockets:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._sockets[family] = socket.socket(family, kind, socket.IPPROTO_RAW)
        return self._sockets[family]
