# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 section 4: an IPv4 packet becomes an IPv6 packet."""

from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Final

from sixlane.rfc import icmp, rfc791, rfc4884, rfc8200, rfc9293, transport
from sixlane.rfc import protocol as proto
from sixlane.rfc.addresses import AddressMap, Prefix
from sixlane.rfc.outcome import Answer, DropReason, Forward, Pass, PassReason, Refused, SlowPath
from sixlane.rfc.path import Path
from sixlane.rfc.policy import Policy
from sixlane.rfc.transport import pseudo_header

_REFUSED_PROTOCOLS: Final = frozenset(
    {
        # These would be read as IPv6 headers after translation.
        proto.HOP_BY_HOP,
        proto.ROUTING,
        proto.FRAGMENT,
        proto.ICMPV6,
        proto.DESTINATION_OPTIONS,
    }
)

_SOURCE_ROUTE_FAILED: Final = Answer(type=3, code=5)
_PROHIBITED: Final = Answer(type=3, code=13)
_TTL_EXPIRED: Final = Answer(type=11, code=0)


@dataclass(frozen=True)
class _IcmpError:
    """An ICMP error in the words of ICMPv6, and the IPv4 packet that it quotes."""

    error: icmp.Error
    mtu: int
    header: rfc791.Header
    payload: bytes
    extension: bytes


@dataclass(frozen=True)
class _Ends:
    source: IPv6Address
    destination: IPv6Address


def translate46(
    packet: bytes, addresses: AddressMap, path: Path, policy: Policy
) -> Forward | Pass | SlowPath:
    """Translate `packet`, bytes of an IPv4 packet and perhaps more behind it.

    The first rule that the packet breaks is raised as Refused.
    """
    header = rfc791.parse(packet)
    if header.total_length == 0 and path.segment_bytes is not None:  # BIG TCP
        header = replace(header, total_length=len(packet))
    entry = addresses.serving(header.destination)
    if entry is None:
        return Pass(PassReason.NOT_OURS)

    rfc791.check_packet(header, packet)
    options = packet[rfc791.HEADER_BYTES : header.header_bytes]
    payload = packet[header.header_bytes : header.total_length]

    _check_protocol(header)
    icmp_error = _read_icmp(payload, header, path) if header.protocol == proto.ICMPV4 else None

    if rfc791.is_illegal_source(header.source) and icmp_error is None:
        raise Refused(DropReason.ILLEGAL_SOURCE)
    if rfc791.is_source_routed(options):
        raise Refused(DropReason.SOURCE_ROUTE, _SOURCE_ROUTE_FAILED)

    ends = _map_ends(header, addresses, entry, source_is_peer=icmp_error is None)
    quoted_ends = None
    if icmp_error:
        quoted_ends = _map_ends(icmp_error.header, addresses, entry, destination_is_peer=True)

    # An ICMP error belongs to the flow that it quotes, whichever router sent it.
    if not entry.allows(icmp_error.header.destination if icmp_error else header.source):
        raise Refused(DropReason.SOURCE_NOT_ALLOWED, _PROHIBITED)
    if header.ttl <= 1:
        raise Refused(DropReason.TTL_EXPIRED, _TTL_EXPIRED)
    if header.offset_bytes == 0:
        if _may_compute(header, payload, path, policy):
            payload = transport.add_udp_checksum(payload, header.source, header.destination)
        transport.check_header(header.protocol, payload, _PROHIBITED)

    if icmp_error and quoted_ends:
        payload6 = _translate_error(payload, icmp_error, quoted_ends, ends, path)
    else:
        payload6 = _translate_payload(header, payload, ends)
        if header.protocol == proto.TCP and header.offset_bytes == 0:
            payload6 = rfc9293.clamp(payload6, entry.max_segment)
    extension = _fragment_header(header)

    if _needs_fragmentation(header, len(extension), payload6, path):
        return SlowPath()

    header6 = rfc8200.Header(
        traffic_class=header.tos if policy.traffic_class is None else policy.traffic_class,
        payload_length=len(extension) + len(payload6),
        next_header=proto.FRAGMENT if extension else _protocol6(header),
        hop_limit=header.ttl - 1,
        source=ends.source,
        destination=ends.destination,
    )
    return Forward(header6.pack() + extension + payload6, 46, entry.name)


def _check_protocol(header: rfc791.Header) -> None:
    """Refuse what has no counterpart: IGMP, IPv6 extensions, ICMP fragments (section 1.2)."""
    if header.protocol == proto.IGMP:
        raise Refused(DropReason.PROTOCOL)
    if header.protocol in _REFUSED_PROTOCOLS:
        raise Refused(DropReason.PROTOCOL, _PROHIBITED)
    if header.protocol == proto.ICMPV4 and header.is_fragment:
        raise Refused(DropReason.ICMP_FRAGMENT, _PROHIBITED)


def _may_compute(header: rfc791.Header, payload: bytes, path: Path, policy: Policy) -> bool:
    """Tell whether a missing UDP checksum may be made: of whole datagrams, by those who want it."""
    return (
        policy.udp_compute
        and header.protocol == proto.UDP
        and len(payload) >= transport.UDP_HEADER_BYTES
        and not header.is_fragment
        and path.segment_bytes is None
    )


def _read_icmp(message: bytes, header: rfc791.Header, path: Path) -> _IcmpError | None:
    """Read an ICMP message (section 4.2). None: an echo. Refused: all that is not translated."""
    if len(message) < icmp.HEADER_BYTES:
        raise Refused(DropReason.TRUNCATED)
    if message[0] in icmp.ECHO_46:
        return None
    if not icmp.is_error4(message[0]) or message[0] in icmp.SILENT4:
        raise Refused(DropReason.ICMP_TYPE)
    if header.total_length > rfc4884.LARGEST_RECEIVED:
        raise Refused(DropReason.TOO_BIG)
    error = icmp.error_46(message[0], message[1], pointer=message[4])
    if error is None:
        raise Refused(DropReason.ICMP_TYPE)

    body = rfc4884.split4(message)
    quote = body.quote
    quoted = rfc791.parse(quote)
    rfc791.check_quote(quoted, quote)
    payload = quote[quoted.header_bytes :]
    _check_quoted_protocol(quoted, payload)

    mtu = int.from_bytes(message[6:8])
    mtu = icmp.packet_too_big_mtu(mtu, quoted.total_length, mtu4=path.mtu4, mtu6=path.mtu6)
    return _IcmpError(error, mtu, quoted, payload, body.extension)


def _check_quoted_protocol(quoted: rfc791.Header, payload: bytes) -> None:
    """Refuse quotes that could not have been translated on their way out (section 4.3)."""
    if quoted.protocol == proto.ICMPV4 and quoted.offset_bytes > 0:
        return  # only the protocol number is to be translated
    _check_protocol(quoted)
    if quoted.protocol == proto.ICMPV4:
        if payload and icmp.is_error4(payload[0]):
            raise Refused(DropReason.ICMP_NESTED)
        if not payload or payload[0] not in icmp.ECHO_46:
            raise Refused(DropReason.ICMP_TYPE)


def _map_ends(
    header: rfc791.Header,
    addresses: AddressMap,
    entry: Prefix,
    *,
    source_is_peer: bool = False,
    destination_is_peer: bool = False,
) -> _Ends:
    """Map both addresses; of the peer, RFC 7757 section 4.2.1 says more."""
    source, destination = header.source, header.destination
    if addresses.breaks_well_known_46(
        source, entry, peer=source_is_peer
    ) or addresses.breaks_well_known_46(destination, entry, peer=destination_is_peer):
        raise Refused(DropReason.NOT_GLOBAL, _PROHIBITED)
    return _Ends(
        addresses.to_ipv6(source, entry, peer=source_is_peer),
        addresses.to_ipv6(destination, entry, peer=destination_is_peer),
    )


def _needs_fragmentation(
    header: rfc791.Header, extension_bytes: int, payload6: bytes, path: Path
) -> bool:
    """Tell whether the packet is to be fragmented before translation (section 4).

    Refused: TOO_BIG where the sender forbids it, or where no IPv6 packet could be as long.
    """
    upper_bytes = len(payload6)
    if not header.is_fragment:
        upper_bytes = transport.segment_bytes(header.protocol, payload6, path.segment_bytes)
    bytes6 = rfc8200.HEADER_BYTES + extension_bytes + upper_bytes
    overhead = rfc8200.HEADER_BYTES - rfc791.HEADER_BYTES + extension_bytes
    too_long = extension_bytes + len(payload6) > rfc8200.LARGEST_PAYLOAD

    # A jumbo header would be needed (BIG TCP): it is cut first.
    if too_long and path.segment_bytes is not None:
        return True

    # Fragments of ICMP are not translated (section 1.2): whole or not at all.
    may_fragment = not header.dont_fragment and header.protocol != proto.ICMPV4

    if not may_fragment and (bytes6 > path.mtu6 or too_long):
        mtu = max(0, min(path.mtu6 - overhead, 0xFFFF))
        answer = Answer(icmp.UNREACHABLE4, icmp.FRAGMENTATION_NEEDED, rest=mtu)
        raise Refused(DropReason.TOO_BIG, answer)
    return may_fragment and bytes6 > path.lowest_ipv6_mtu


def _protocol6(header: rfc791.Header) -> int:
    return proto.ICMPV6 if header.protocol == proto.ICMPV4 else header.protocol


def _fragment_header(header: rfc791.Header) -> bytes:
    """Return the Fragment header of a fragment; whole packets get none (RFC 8021)."""
    if not header.is_fragment:
        return b""
    fragment = rfc8200.Fragment(header.offset_bytes, header.more_fragments, header.identification)
    return fragment.pack(next_header=_protocol6(header))


def _translate_payload(header: rfc791.Header, payload: bytes, ends: _Ends) -> bytes:
    """Translate the upper layer of a packet or quote, except for ICMP errors (section 4.5)."""
    if header.offset_bytes > 0:
        return payload
    length, protocol6 = header.payload_bytes, _protocol6(header)
    new = pseudo_header(ends.source, ends.destination, length, protocol6)
    if header.protocol == proto.ICMPV4:
        return transport.translate_echo(payload, icmp.ECHO_46, b"", new)
    old = pseudo_header(header.source, header.destination, length, header.protocol)
    return transport.follow_addresses(header.protocol, payload, old, new)


def _translate_error(
    message: bytes, icmp_error: _IcmpError, quoted_ends: _Ends, ends: _Ends, path: Path
) -> bytes:
    """Translate an ICMP error with the packet that it quotes (sections 4.2 and 4.3)."""
    quote = _translate_quote(icmp_error.header, icmp_error.payload, quoted_ends)
    error = icmp_error.error
    largest = min(rfc8200.MINIMUM_MTU, path.mtu6)
    body, length = rfc4884.fit(
        rfc4884.Body(quote, icmp_error.extension),
        extensible=rfc4884.is_extensible6(error.type),
        room=largest - rfc8200.HEADER_BYTES - icmp.HEADER_BYTES,
        unit=rfc4884.UNIT6,
    )
    rest = icmp_error.mtu if error.type == icmp.TOO_BIG6 else error.pointer
    rest |= length << 24
    head = bytes((error.type, error.code)) + message[2:4] + rest.to_bytes(4)
    translated = head + body.quote + body.extension
    pseudo = pseudo_header(ends.source, ends.destination, len(translated), proto.ICMPV6)
    return transport.translate_icmp(message, translated, b"", pseudo)


def _translate_quote(header: rfc791.Header, payload: bytes, ends: _Ends) -> bytes:
    """Translate a quoted packet; its TTL stays, since it is not forwarded (section 4.3)."""
    extension = _fragment_header(header)
    header6 = rfc8200.Header(
        traffic_class=header.tos,
        payload_length=len(extension) + header.payload_bytes,
        next_header=proto.FRAGMENT if extension else _protocol6(header),
        hop_limit=header.ttl,
        source=ends.source,
        destination=ends.destination,
    )
    return header6.pack() + extension + _translate_payload(header, payload, ends)
