# SPDX-License-Identifier: Apache-2.0
"""Packets out of a capture file: pcap and pcapng, as tcpdump and Wireshark write them."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from sixlane.errors import ConfigError

_ETHERNET = 1
_BEHIND_LINK = {12: 0, 101: 0, 228: 0, 229: 0, 113: 16, 276: 20}
"""Of other link types: where layer 3 begins. Raw IP, and the two cooked ones of `-i any`."""

_MAGICS = {  # byte order and whether it is pcap
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",
}
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6


class Captured(NamedTuple):
    """`is_frame`: it has an Ethernet header, else it begins with layer 3."""

    data: bytes
    is_frame: bool
    is_whole: bool


def read(data: bytes) -> Iterator[Captured]:
    """All packets of a file. ConfigError: it is no capture, or of a link type without IP."""
    if data[:4] in _MAGICS:
        yield from _pcap(data, _MAGICS[data[:4]])
    elif data[:4] == _SECTION.to_bytes(4, "big"):
        yield from _pcapng(data)
    else:
        raise ConfigError("neither a pcap nor a pcapng file")


def _pcap(data: bytes, order: str) -> Iterator[Captured]:
    if len(data) < 24:
        raise ConfigError("the pcap file ends within its header")
    (link,) = struct.unpack(f"{order}I", data[20:24])
    at = 24
    while at + 16 <= len(data):
        kept, whole = struct.unpack(f"{order}II", data[at + 8 : at + 16])
        yield _captured(data[at + 16 : at + 16 + kept], whole, link & 0xFFFF)
        at += 16 + kept


def _pcapng(data: bytes) -> Iterator[Captured]:
    order, links, at = "<", list[int](), 0
    while at + 12 <= len(data):
        if data[at : at + 4] == _SECTION.to_bytes(4, "big"):
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            links = []
        kind, size = struct.unpack(f"{order}II", data[at : at + 8])
        if size < 12 or at + size > len(data):
            raise ConfigError("the pcapng file ends within a block")
        body = data[at + 8 : at + size - 4]
        if kind == _INTERFACE:
            links.append(struct.unpack(f"{order}H", body[:2])[0])
        elif kind == _ENHANCED:
            number, _, _, kept, whole = struct.unpack(f"{order}IIIII", body[:20])
            if number >= len(links):
                raise ConfigError("a packet in the pcapng file is of no interface")
            yield _captured(body[20 : 20 + kept], whole, links[number])
        elif kind == _SIMPLE and links:
            (whole,) = struct.unpack(f"{order}I", body[:4])
            yield _captured(body[4 : 4 + whole], whole, links[0])
        at += size


def _captured(data: bytes, whole: int, link: int) -> Captured:
    if link == _ETHERNET:
        return Captured(data, True, len(data) == whole)
    if link not in _BEHIND_LINK:
        raise ConfigError(f"packets of link type {link} are not read", "Ethernet, raw IP or cooked")
    return Captured(data[_BEHIND_LINK[link] :], False, len(data) == whole)
