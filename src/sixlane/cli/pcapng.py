# SPDX-License-Identifier: Apache-2.0
"""Writes pcapng (draft-ietf-opsawg-pcapng), which tcpdump and Wireshark read."""

import struct
from datetime import datetime
from typing import BinaryIO

_SECTION, _INTERFACE, _ENHANCED = 0x0A0D0D0A, 1, 6
_ETHERNET = 1
_COMMENT, _USER_APPLICATION, _NAME, _RESOLUTION, _FLAGS = 1, 4, 2, 9, 2
_NANOSECONDS = b"\x09"
_INBOUND, _OUTBOUND = 1, 2
_BILLION = 1_000_000_000


class Writer:
    """One section; interfaces are declared when their first packet comes."""

    def __init__(self, file: BinaryIO, application: str) -> None:
        self._file = file
        self._interfaces: dict[str, int] = {}
        head = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        self._block(_SECTION, head + _option(_USER_APPLICATION, application.encode()) + _END)

    def packet(
        self,
        interface: str,
        time_ns: int,
        data: bytes,
        whole_bytes: int,
        *,
        outbound: bool = False,
        comment: str = "",
    ) -> None:
        """A frame of Ethernet, of which the first bytes are given. `time_ns`: since the epoch."""
        number = self._interfaces.get(interface)
        if number is None:
            number = self._interfaces[interface] = len(self._interfaces)
            options = _option(_NAME, interface.encode()) + _option(_RESOLUTION, _NANOSECONDS)
            self._block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, 0) + options + _END)
        high, low = time_ns >> 32, time_ns & 0xFFFFFFFF
        head = struct.pack("<IIIII", number, high, low, len(data), whole_bytes)
        options = _option(_FLAGS, struct.pack("<I", _OUTBOUND if outbound else _INBOUND))
        if comment:
            options = _option(_COMMENT, comment.encode()) + options
        self._block(_ENHANCED, head + _padded(data) + options + _END)

    def flush(self) -> None:
        self._file.flush()

    def _block(self, kind: int, body: bytes) -> None:
        size = len(body) + 12
        self._file.write(struct.pack("<II", kind, size) + body + struct.pack("<I", size))


def time_ns(rfc3339: str) -> int:
    """Since the epoch."""
    moment = datetime.fromisoformat(rfc3339)
    return int(moment.timestamp()) * _BILLION + moment.microsecond * 1000


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


_END = struct.pack("<HH", 0, 0)
