# SPDX-License-Identifier: Apache-2.0
"""Echo requests (RFC 792, RFC 4443 4.1) by one raw socket of each family, however many wait.

Ping sockets would do without a privilege, but only where net.ipv4.ping_group_range lets us; a mark
needs the same privilege anyway. The kernel keeps all but echo replies from us.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress
from typing import NamedTuple

from sixlane.health.check import Address, Check, NotMade, described
from sixlane.health.sockets import SO_MARK, family_of, source_towards

_SOL_RAW = 255
_ICMP_FILTER = 1
_ICMP6_FILTER = 1
_IP_PKTINFO = 8
_IPV6_PKTINFO = 50
_REQUESTS = {4: 8, 6: 128}
_REPLIES = {4: 0, 6: 129}
_ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_TOKEN_BYTES = 16
_READ_AT_ONCE = 256


class _Waiting(NamedTuple):
    token: bytes
    address: str
    answered: asyncio.Future[None]


class Pinger:
    """For one event loop; to be closed."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[tuple[int, int], _Waiting] = {}
        self._numbers = int.from_bytes(os.urandom(4))

    def close(self) -> None:
        for one in self._sockets.values():
            asyncio.get_running_loop().remove_reader(one)
            one.close()
        self._sockets.clear()

    async def check(self, check: Check) -> str:
        """Returns when it is answered. OSError, NotMade: it could not be sent."""
        version = check.address.version
        try:
            raw = self._socket(version)
        except OSError as error:
            raise NotMade(described(error)) from None
        self._numbers = self._numbers + 1 & 0xFFFFFFFF
        key, token = (version, self._numbers), os.urandom(_TOKEN_BYTES)
        answered = asyncio.get_running_loop().create_future()
        self._waiting[key] = _Waiting(token, str(check.address), answered)
        try:
            packet = echo_request(version, self._numbers, token)
            raw.sendmsg([packet], _ancillary(check), 0, (str(check.address), 0))
            await answered
        finally:
            del self._waiting[key]
        return "answered"

    def _socket(self, version: int) -> socket.socket:
        if version in self._sockets:
            return self._sockets[version]
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        raw = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        if version == 4:
            blocked = 0xFFFFFFFF & ~(1 << _REPLIES[4])
            raw.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", blocked))
        else:
            words = [0xFFFFFFFF] * 8
            words[_REPLIES[6] >> 5] &= ~(1 << (_REPLIES[6] & 31))
            raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("8I", *words))
        self._sockets[version] = raw
        asyncio.get_running_loop().add_reader(raw, self._read, version, raw)
        return raw

    def _read(self, version: int, raw: socket.socket) -> None:
        with suppress(BlockingIOError):
            for _ in range(_READ_AT_ONCE):
                packet, sender = raw.recvfrom(2048)
                found = read_reply(version, packet)
                waiting = self._waiting.get((version, found[0])) if found else None
                if (
                    found
                    and waiting
                    and (found[1], sender[0].partition("%")[0]) == waiting[:2]
                    and not waiting.answered.done()
                ):
                    waiting.answered.set_result(None)


def echo_request(version: int, number: int, token: bytes) -> bytes:
    """`number`: 32 bits, in identifier and sequence number. The kernel sums up ICMPv6 by itself."""
    kind, upper, lower = _REQUESTS[version], number >> 16, number & 0xFFFF
    packet = _ECHO.pack(kind, 0, 0, upper, lower) + token
    if version == 6:
        return packet
    return _ECHO.pack(kind, 0, _checksum(packet), upper, lower) + token


def read_reply(version: int, packet: bytes) -> tuple[int, bytes] | None:
    """Number and token; None: it is no reply to anything of ours. IPv4 comes with its header."""
    if version == 4:
        packet = packet[(packet[0] & 15) * 4 :] if packet else b""
    if len(packet) != _ECHO.size + _TOKEN_BYTES:
        return None
    kind, code, _, upper, lower = _ECHO.unpack_from(packet)
    if (kind, code) != (_REPLIES[version], 0):
        return None
    return upper << 16 | lower, packet[_ECHO.size :]


def _ancillary(check: Check) -> list[tuple[int, int, bytes]]:
    if check.mark is None:
        return []
    version = check.address.version
    marked = (socket.SOL_SOCKET, SO_MARK, struct.pack("I", check.mark))
    source = source_towards(check.backend, version)
    return [marked, *([_from(source)] if source else [])]


def _from(source: Address) -> tuple[int, int, bytes]:
    if family_of(source) == socket.AF_INET:
        return socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("I4s4s", 0, source.packed, bytes(4))
    return socket.IPPROTO_IPV6, _IPV6_PKTINFO, struct.pack("16sI", source.packed, 0)


def _checksum(packet: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
