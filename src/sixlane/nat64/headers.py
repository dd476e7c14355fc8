# SPDX-License-Identifier: Apache-2.0
"""A packet's headers as fields with names, for people: as much as can be read."""

from collections.abc import Container, Iterator
from ipaddress import IPv4Address, IPv6Address

from sixlane.rfc import protocol as proto

Field = tuple[str, str]
"""A name and a value."""

_ETHERTYPES = {0x0800: 4, 0x86DD: 6}
_TAGS = (0x8100, 0x88A8)
_NAMES = {
    proto.ICMPV4: "icmp",
    proto.TCP: "tcp",
    proto.UDP: "udp",
    proto.ICMPV6: "icmpv6",
    proto.FRAGMENT: "fragment",
}
_SKIPPED = {proto.HOP_BY_HOP, proto.ROUTING, proto.DESTINATION_OPTIONS}
_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_ECHO = ("0", "8")
_MSS = 2


def layer3(frame: bytes) -> tuple[bytes, bytes]:
    """Link header with its tags, and what is behind it."""
    at = 12
    while int.from_bytes(frame[at : at + 2]) in _TAGS:
        at += 4
    return frame[: at + 2], frame[at + 2 :]


def version_of(link: bytes) -> int | None:
    """4, 6, or None: another protocol."""
    return _ETHERTYPES.get(int.from_bytes(link[-2:]))


def fields(packet: bytes) -> dict[str, str]:
    """Of layer 3, by their usual names; in the order of the headers."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        return dict(_ipv4(packet))
    if version == 6 and len(packet) >= 40:
        return dict(_ipv6(packet))
    return {}


def summary(packet: bytes) -> str:
    """One line: "IPv4 192.0.2.1:4000 > 198.51.100.2:53 udp, ttl 64, 60 bytes"."""
    found = fields(packet)
    if not found:
        return f"{len(packet)} bytes that are no IP packet"
    v6 = packet[0] >> 4 == 6
    ends = (_end(found, side, v6) for side in ("source", "destination"))
    what = [found["protocol"]]
    for name in ("flags", "type", "code", "mss"):
        if found.get(name):
            what.append(found[name] if name == "flags" else f"{name} {found[name]}")
    hops = f"hop limit {found['hop limit']}" if v6 else f"ttl {found['ttl']}"
    rest = [hops, *(["fragment"] if _is_fragment(found) else []), f"{found['length']} bytes"]
    return f"IPv{6 if v6 else 4} {' > '.join(ends)} {' '.join(what)}, {', '.join(rest)}"


def end_in(packet: bytes, side: str, addresses: Container[IPv4Address]) -> str | None:
    """ "192.0.2.1:4000" if that side, source or destination, of an IPv4 packet is among the
    addresses. Of pings, the port is the identifier; without a port it is the address alone."""
    if not packet or packet[0] >> 4 != 4:
        return None
    found = fields(packet)
    if not found or IPv4Address(found[side]) not in addresses:
        return None
    if found["protocol"] == "icmp" and found.get("type") in _ECHO:
        return f"{found[side]}:{int(found.get('rest', '0x0000')[2:6], 16)}"
    return _end(found, side, v6=False)


def _is_fragment(found: dict[str, str]) -> bool:
    return found.get("fragment offset", "0") != "0" or found.get("more fragments") == "yes"


def _end(found: dict[str, str], side: str, v6: bool) -> str:
    port = found.get(f"{side} port")
    if port is None:
        return found[side]
    return f"[{found[side]}]:{port}" if v6 else f"{found[side]}:{port}"


def _ipv4(packet: bytes) -> Iterator[Field]:
    flags = int.from_bytes(packet[6:8])
    header = (packet[0] & 15) * 4
    yield "source", str(IPv4Address(packet[12:16]))
    yield "destination", str(IPv4Address(packet[16:20]))
    yield "length", str(int.from_bytes(packet[2:4]))
    yield "tos", f"0x{packet[1]:02x}"
    yield "ttl", str(packet[8])
    yield "identification", f"0x{int.from_bytes(packet[4:6]):04x}"
    yield "dont fragment", "yes" if flags & 0x4000 else "no"
    if flags & 0x3FFF:
        yield "fragment offset", str((flags & 0x1FFF) * 8)
        yield "more fragments", "yes" if flags & 0x2000 else "no"
    if header > 20:
        yield "options", f"{header - 20} bytes"
    yield from _upper(packet[9], packet[header:], first=not flags & 0x1FFF)


def _ipv6(packet: bytes) -> Iterator[Field]:
    start = int.from_bytes(packet[:4])
    yield "source", str(IPv6Address(packet[8:24]))
    yield "destination", str(IPv6Address(packet[24:40]))
    yield "length", str(40 + int.from_bytes(packet[4:6]))
    yield "traffic class", f"0x{start >> 20 & 0xFF:02x}"
    yield "hop limit", str(packet[7])
    if start & 0xFFFFF:
        yield "flow label", f"0x{start & 0xFFFFF:05x}"
    upper, rest, first = packet[6], packet[40:], True
    while upper in _SKIPPED and len(rest) >= 8:
        yield f"extension header {upper}", f"{8 + rest[1] * 8} bytes"
        upper, rest = rest[0], rest[8 + rest[1] * 8 :]
    if upper == proto.FRAGMENT and len(rest) >= 8:
        word = int.from_bytes(rest[2:4])
        yield "fragment offset", str(word & 0xFFF8)
        yield "more fragments", "yes" if word & 1 else "no"
        yield "identification", f"0x{int.from_bytes(rest[4:8]):08x}"
        first = not word & 0xFFF8
        upper, rest = rest[0], rest[8:]
    yield from _upper(upper, rest, first)


def _upper(number: int, data: bytes, first: bool) -> Iterator[Field]:
    yield "protocol", _NAMES.get(number, f"protocol {number}")
    if not first:
        return
    if number in (proto.TCP, proto.UDP) and len(data) >= 8:
        yield "source port", str(int.from_bytes(data[:2]))
        yield "destination port", str(int.from_bytes(data[2:4]))
    if number == proto.UDP and len(data) >= 8:
        yield "checksum", f"0x{int.from_bytes(data[6:8]):04x}"
    if number == proto.TCP and len(data) >= 20:
        yield "flags", "|".join(name for bit, name in enumerate(_TCP_FLAGS) if data[13] >> bit & 1)
        yield "checksum", f"0x{int.from_bytes(data[16:18]):04x}"
        mss = _mss(data[20 : (data[12] >> 4) * 4])
        if mss is not None:
            yield "mss", str(mss)
    if number in (proto.ICMPV4, proto.ICMPV6) and len(data) >= 8:
        yield "type", str(data[0])
        yield "code", str(data[1])
        yield "checksum", f"0x{int.from_bytes(data[2:4]):04x}"
        if int.from_bytes(data[4:8]):
            yield "rest", f"0x{data[4:8].hex()}"


def _mss(options: bytes) -> int | None:
    while options and options[0]:
        if options[0] == 1:
            options = options[1:]
            continue
        if len(options) < 2 or options[1] < 2:
            break
        if options[0] == _MSS and options[1] == 4 and len(options) >= 4:
            return int.from_bytes(options[2:4])
        options = options[options[1] :]
    return None
