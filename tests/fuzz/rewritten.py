# SPDX-License-Identifier: Apache-2.0
"""What becomes of a packet of a flow that a service translates, and of an ICMP error about one.

Between families it is RFC 7915, by `Translator` with one explicit mapping for each end; within one
the header stays but for its ends and a hop. Ports follow. Checksums are updated (RFC 1624), so what
was wrong is as wrong afterwards.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from sixlane.model.addresses import AnyAddress
from sixlane.rfc import protocol as proto
from sixlane.rfc import rfc791, rfc4884, rfc8200, rfc9293
from sixlane.rfc.checksum import update
from sixlane.rfc.outcome import Answer, Drop, DropReason, Forward, Refused, SlowPath
from sixlane.rfc.rfc7757 import Eam
from sixlane.rfc.rfc7915 import Prefix, Translator
from sixlane.rfc.transport import check_header, follow_addresses

MTU: Final = 1500
"""Of both devices of the world."""

_TCP, _UDP, _ICMP4, _ICMP6 = 6, 17, 1, 58
_ICMP_HEADER_BYTES = 8
_CHECKSUM_AT = {_TCP: 16, _UDP: 6}
_NETWORK = IPv6Network("2001:db8:ffff::/96")  # all that is not mapped one by one
_NOBODY: Final[dict[int, AnyAddress]] = {
    4: IPv4Address("192.31.196.99"),
    6: IPv6Address("2001:db8:1::99"),
}
_PROHIBITED = Answer(type=3, code=13)


@dataclass(frozen=True)
class Ends:
    """Who sends a packet of TCP or UDP, and to whom."""

    source: AnyAddress
    source_port: int
    destination: AnyAddress
    destination_port: int

    @property
    def turned(self) -> "Ends":
        """Of an answer."""
        return Ends(self.destination, self.destination_port, self.source, self.source_port)

    @property
    def ports(self) -> bytes:
        return self.source_port.to_bytes(2) + self.destination_port.to_bytes(2)


@dataclass(frozen=True)
class Upper:
    """Where the upper layer of a packet begins, as far as there is one, and what it is."""

    at: int
    protocol: int
    end: int
    is_fragment: bool


def upper_of(packet: bytes) -> Upper:
    """Refused: its headers make no sense, or it is of the middle of another packet."""
    if packet[:1] and packet[0] >> 4 == 6:
        header = rfc8200.parse(packet)
        chain = rfc8200.walk(header, packet)
        if not chain.has_upper_header:
            raise Refused(DropReason.ICMP_FRAGMENT)
        at, end = rfc8200.HEADER_BYTES + chain.extension_bytes, header.payload_length
        return Upper(at, chain.protocol, rfc8200.HEADER_BYTES + end, chain.is_fragment)
    header4 = rfc791.parse(packet)
    if header4.offset_bytes:
        raise Refused(DropReason.ICMP_FRAGMENT)
    return Upper(header4.header_bytes, header4.protocol, header4.total_length, header4.is_fragment)


def has_addresses(packet: bytes) -> bool:
    """Whether it begins with a header."""
    try:
        return bool(rfc8200.parse(packet) if packet[:1] >= b"\x60" else rfc791.parse(packet))
    except Refused:
        return False


def addresses_of(packet: bytes) -> tuple[AnyAddress, AnyAddress]:
    """Source and destination of at least a whole header."""
    if packet[0] >> 4 == 6:
        return IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    return IPv4Address(packet[12:16]), IPv4Address(packet[16:20])


def ends_of(packet: bytes, *, quoted: bool = False) -> Ends | None:
    """None: it is of no protocol with ports, or has none. `quoted`: whatever length it tells."""
    try:
        upper = upper_of(packet)
    except Refused:
        return None
    end = len(packet) if quoted else upper.end
    ports = packet[upper.at : min(upper.at + 4, end)]
    if upper.protocol not in (_TCP, _UDP) or len(ports) < 4:
        return None
    source, destination = addresses_of(packet)
    return Ends(source, int.from_bytes(ports[:2]), destination, int.from_bytes(ports[2:]))


def quote_of(packet: bytes) -> bytes | None:
    """What an ICMP error quotes, if it is one that can be told of."""
    try:
        upper = upper_of(packet)
        message = packet[upper.at : upper.end]
        if len(message) <= _ICMP_HEADER_BYTES or upper.is_fragment:
            return None
        if packet[0] >> 4 == 4:
            is_error = upper.protocol == _ICMP4 and message[0] in (3, 11, 12)
            return rfc4884.split4(message).quote if is_error else None
        is_error = upper.protocol == _ICMP6 and 1 <= message[0] <= 4
        return rfc4884.split6(message).quote if is_error else None
    except Refused:
        return None


def packet_with(
    packet: bytes, new: Ends, identification: int = 0, max_segment: int = 0
) -> bytes | SlowPath:
    """A whole packet of TCP or UDP as it leaves. Refused: it does not.

    `identification`: of what becomes IPv4; `max_segment`: what a SYN may offer, 0: whatever.
    """
    was = ends_of(packet)
    if was is None:
        raise Refused(DropReason.TRUNCATED)
    if was.source.version == new.source.version:
        moved = _within4(packet, new) if was.source.version == 4 else _within6(packet, new)
    else:
        source = was.source
        if source == was.destination:  # of which there can be one mapping alone
            source = _NOBODY[source.version]
            packet = _with_addresses(packet, source, was.destination)
        pairs = (source, new.source), (was.destination, new.destination)
        moved = _across(packet, *pairs, identification)
    if isinstance(moved, SlowPath):
        return moved
    upper = upper_of(moved)
    payload = moved[upper.at :]
    for at, port in ((0, new.source_port), (2, new.destination_port)):
        fresh = port.to_bytes(2)
        payload = follow_addresses(upper.protocol, payload, payload[at : at + 2], fresh)
        payload = payload[:at] + fresh + payload[at + 2 :]
    if upper.protocol == _TCP and max_segment:
        payload = rfc9293.clamp(payload, max_segment)
    return moved[: upper.at] + payload


def error_with(packet: bytes, new: Ends, identification: int = 0) -> bytes | SlowPath:
    """An ICMP error as it goes to whom it is for. Refused: it does not.

    `new`: the ends of the quoted packet as who sent that knows it. Whoever sends the error is for
    him whom he wrote to.
    """
    quote = quote_of(packet)
    was = ends_of(quote, quoted=True) if quote else None
    if quote is None or was is None:
        raise Refused(DropReason.TRUNCATED)
    packet = packet[: upper_of(packet).end]
    if was.source.version == new.source.version:
        if len(packet) > MTU:
            raise Refused(DropReason.TOO_BIG)
        moved = _with_less_hops(_with_addresses(packet, new.destination, new.source))
        moved = _with_quoted_addresses(_clamped(moved), new)
    else:
        pairs = (was.destination, new.destination), (was.source, new.source)
        told = _with_addresses(packet, was.destination, was.source)
        crossed = _across(told, *pairs, identification)
        if isinstance(crossed, SlowPath):
            return crossed
        moved = crossed
    return _with_quoted_ports(moved, new.ports)


# ---- between families ----


def _across(
    packet: bytes,
    source: tuple[AnyAddress, AnyAddress],
    destination: tuple[AnyAddress, AnyAddress],
    identification: int,
) -> bytes | SlowPath:
    outcome = _translator(source, destination).translate(packet, identification=identification)
    if isinstance(outcome, Forward):
        return outcome.packet
    if isinstance(outcome, Drop):
        raise Refused(outcome.reason)
    if isinstance(outcome, SlowPath):
        return outcome
    raise AssertionError(f"{outcome}: {source}, {destination}")


@lru_cache(maxsize=512)
def _translator(
    source: tuple[AnyAddress, AnyAddress], destination: tuple[AnyAddress, AnyAddress]
) -> Translator:
    """Which knows two nodes, each by its address before and after: who called is outside."""
    is_46 = source[0].version == 4
    eams = _eam(source, remote=is_46), _eam(destination, remote=not is_46)
    return Translator(
        (Prefix("two", _NETWORK, (), None, eams),),
        IPv4Address("193.0.14.1"),
        IPv6Address("2001:db8::1"),
        hairpin=None,
    )


def _eam(pair: tuple[AnyAddress, AnyAddress], *, remote: bool) -> Eam:
    four, six = sorted(pair, key=lambda one: one.version)
    return Eam(IPv4Network(str(four)), IPv6Network(str(six)), remote)


# ---- within a family ----


def _within4(packet: bytes, new: Ends) -> bytes | SlowPath:
    header = rfc791.parse(packet)
    rfc791.check_packet(header, packet)
    if rfc791.is_illegal_source(header.source):
        raise Refused(DropReason.ILLEGAL_SOURCE)
    if rfc791.is_source_routed(packet[rfc791.HEADER_BYTES : header.header_bytes]):
        raise Refused(DropReason.SOURCE_ROUTE)
    packet = packet[: header.total_length]
    payload = packet[header.header_bytes :]
    if header.protocol != _UDP or payload[6:8] != bytes(2):  # no checksum is a right one here
        check_header(header.protocol, payload, _PROHIBITED)
    if len(packet) > MTU and header.dont_fragment:
        raise Refused(DropReason.TOO_BIG)
    moved = _with_less_hops(_with_addresses(packet, new.source, new.destination))
    return SlowPath() if len(packet) > MTU else moved


def _within6(packet: bytes, new: Ends) -> bytes:
    header = rfc8200.parse(packet)
    size = rfc8200.HEADER_BYTES + header.payload_length
    if size > len(packet):
        raise Refused(DropReason.TRUNCATED)
    if rfc8200.is_illegal_source(header.source):
        raise Refused(DropReason.ILLEGAL_SOURCE)
    upper = upper_of(packet)
    check_header(upper.protocol, packet[upper.at : upper.end], _PROHIBITED)
    if size > MTU:
        raise Refused(DropReason.TOO_BIG)
    return _with_less_hops(_with_addresses(packet[:size], new.source, new.destination))


def _with_less_hops(packet: bytes) -> bytes:
    at = 8 if packet[0] >> 4 == 4 else 7
    if packet[at] <= 1:
        raise Refused(DropReason.TTL_EXPIRED)
    return _with_field(packet, 0, at, bytes((packet[at] - 1,)))


def _with_addresses(packet: bytes, source: AnyAddress, destination: AnyAddress) -> bytes:
    """And with what follows from them: the header's checksum, and that of the upper layer."""
    at, ends = (12 if source.version == 4 else 8), source.packed + destination.packed
    old = packet[at : at + len(ends)]
    packet = _with_field(packet, 0, at, ends)
    upper = upper_of(packet)
    payload = packet[upper.at :]
    if upper.protocol == _ICMP6:
        sum = update(int.from_bytes(payload[2:4]), old, ends).to_bytes(2)
        payload = payload[:2] + sum + payload[4:]
    return packet[: upper.at] + follow_addresses(upper.protocol, payload, old, ends)


def _with_field(packet: bytes, header: int, at: int, new: bytes) -> bytes:
    """A field of a header that begins at `header`, and its checksum if it is one of IPv4."""
    at += header
    changed = packet[:at] + new + packet[at + len(new) :]
    if packet[header] >> 4 == 6:
        return changed
    first, end = at & ~1, at + len(new) + (at + len(new)) % 2  # whole words
    where = header + 10
    sum = update(int.from_bytes(packet[where : where + 2]), packet[first:end], changed[first:end])
    return changed[:where] + sum.to_bytes(2) + changed[where + 2 :]


# ---- in ICMP errors ----


def _clamped(packet: bytes) -> bytes:
    """Packet Too Big tells no more than the own link, and no less than IPv6 has."""
    upper = upper_of(packet)
    if packet[0] >> 4 == 4 or packet[upper.at] != 2:
        return packet
    told = int.from_bytes(packet[upper.at + 4 : upper.at + 8])
    fresh = max(rfc8200.MINIMUM_MTU, min(told, MTU)).to_bytes(4)
    changed = packet[: upper.at + 4] + fresh + packet[upper.at + 8 :]
    return _summed(packet, changed, upper)


def _with_quoted_addresses(packet: bytes, new: Ends) -> bytes:
    upper = upper_of(packet)
    quote = packet[upper.at + _ICMP_HEADER_BYTES : upper.end]
    at, ends = (12, new.source.packed) if packet[0] >> 4 == 4 else (8, new.source.packed)
    ends += new.destination.packed
    old = quote[at : at + len(ends)]
    fresh = _with_field(quote, 0, at, ends)
    inner = upper_of(quote)
    whole = quote_of(packet) or b""
    fresh = fresh[: inner.at] + _followed(inner, fresh, whole, old, ends)
    head = packet[: upper.at + _ICMP_HEADER_BYTES]
    return _summed(packet, head + fresh + packet[upper.end :], upper)


def _with_quoted_ports(packet: bytes, ports: bytes) -> bytes:
    upper = upper_of(packet)
    quote = packet[upper.at + _ICMP_HEADER_BYTES : upper.end]
    inner = _upper_of_quote(quote)
    whole = quote_of(packet) or b""
    payload = _followed(inner, quote, whole, quote[inner.at : inner.at + 4], ports)
    fresh = quote[: inner.at] + ports + payload[4:]
    head = packet[: upper.at + _ICMP_HEADER_BYTES]
    return _summed(packet, head + fresh + packet[upper.end :], upper)


def _upper_of_quote(quote: bytes) -> Upper:
    """Also of a fragment of IPv4 that no IPv6 sender would have cut so."""
    if quote[0] >> 4 == 6 and quote[6] == proto.FRAGMENT:
        return Upper(rfc8200.HEADER_BYTES + rfc8200.FRAGMENT_BYTES, quote[40], len(quote), True)
    return upper_of(quote)


def _followed(inner: Upper, quote: bytes, whole: bytes, old: bytes, new: bytes) -> bytes:
    """The quoted upper layer, its checksum updated where it is quoted; `whole`: what is quote."""
    payload = quote[inner.at :]
    if inner.at + _CHECKSUM_AT[inner.protocol] + 2 > len(whole):
        return payload
    return follow_addresses(inner.protocol, payload, old, new)


def _summed(was: bytes, now: bytes, upper: Upper) -> bytes:
    """`now` with the ICMP checksum that follows from what has changed of the message."""
    at = upper.at + 2
    old, new = was[upper.at : upper.end], now[upper.at : upper.end]
    field = update(int.from_bytes(was[at : at + 2]), old, new)
    return now[:at] + field.to_bytes(2) + now[at + 2 :]


def own_echo(packet: bytes) -> bytes:
    """The answer to an echo request that has not been damaged in its headers."""
    source, destination = addresses_of(packet)
    upper = upper_of(packet)
    turned = _with_addresses(packet, destination, source)
    kind = bytes((0 if upper.protocol == _ICMP4 else 129,)) + packet[upper.at + 1 : upper.at + 2]
    answer = turned[: upper.at] + kind + turned[upper.at + 2 :]
    return _summed(turned, answer, upper)
