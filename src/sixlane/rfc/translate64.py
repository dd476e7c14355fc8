# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 section 5: an IPv6 packet becomes an IPv4 packet."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from sixlane.rfc import icmp, rfc791, rfc8200, transport
from sixlane.rfc import protocol as proto
from sixlane.rfc.addresses import AddressMap
from sixlane.rfc.outcome import Answer, DropReason, Forward, Pass, PassReason, Refused, SlowPath
from sixlane.rfc.path import Path
from sixlane.rfc.transport import pseudo_header

LARGEST_WITHOUT_DONT_FRAGMENT: Final = 1260
"""IPv4 packets up to this size may be fragmented on their way (section 5.1)."""

_PROHIBITED: Final = Answer(type=1, code=1)
_HOP_LIMIT_EXPIRED: Final = Answer(type=3, code=0)


@dataclass(frozen=True)
class _IcmpError:
    """An ICMPv6 error in the words of ICMPv4, and the IPv6 packet that it quotes."""

    error: icmp.Error
    mtu: int
    header: rfc8200.Header
    chain: rfc8200.Chain
    payload: bytes


@dataclass(frozen=True)
class _Ends:
    source: IPv4Address
    destination: IPv4Address


def translate64(packet: bytes, addresses: AddressMap, path: Path) -> Forward | Pass | SlowPath:
    """Translate `packet`, bytes of an IPv6 packet and perhaps more behind it.

    The first rule that the packet breaks is raised as Refused.
    """
    header = rfc8200.parse(packet)
    if not addresses.is_ours(header.destination):
        return Pass(PassReason.NOT_OURS)
    if addresses.is_native(header.destination):
        return Pass(PassReason.NATIVE)

    if rfc8200.HEADER_BYTES + header.payload_length > len(packet):
        raise Refused(DropReason.TRUNCATED)
    if rfc8200.is_illegal_source(header.source):
        raise Refused(DropReason.ILLEGAL_SOURCE)
    chain = rfc8200.walk(header, packet)
    payload = packet[rfc8200.HEADER_BYTES :][: header.payload_length][chain.extension_bytes :]

    _check_protocol(chain)
    icmp_error = _read_icmp(payload, path) if chain.protocol == proto.ICMPV6 else None

    ends = _map_ends(header, addresses)
    entry = addresses.serving(ends.source)
    if entry is None:
        raise Refused(DropReason.SOURCE_NOT_MAPPABLE, _PROHIBITED)
    quoted_ends = _map_quoted_ends(icmp_error.header, addresses) if icmp_error else None

    if header.hop_limit <= 1:
        raise Refused(DropReason.TTL_EXPIRED, _HOP_LIMIT_EXPIRED)
    if chain.has_upper_header:
        transport.check_header(chain.protocol, payload)

    if icmp_error and quoted_ends:
        payload4 = _translate_error(payload, icmp_error, quoted_ends, header, path)
    else:
        payload4 = _translate_payload(header, chain, payload, ends)

    upper_bytes = len(payload4)
    if not chain.is_fragment:
        upper_bytes = transport.segment_bytes(chain.protocol, payload4, path.segment_bytes)
    bytes4 = rfc791.HEADER_BYTES + upper_bytes
    bytes6 = rfc8200.HEADER_BYTES + chain.extension_bytes + upper_bytes
    total_length = rfc791.HEADER_BYTES + len(payload4)

    if bytes4 > path.mtu4 and bytes6 <= rfc8200.MINIMUM_MTU:
        return SlowPath()  # its sender can not send less: IPv4 has to fragment
    if bytes4 > path.mtu4 or total_length > rfc791.LARGEST_DATAGRAM:
        growth = rfc8200.HEADER_BYTES - rfc791.HEADER_BYTES
        mtu = max(rfc8200.MINIMUM_MTU, path.mtu4 + growth)
        raise Refused(DropReason.TOO_BIG, Answer(icmp.TOO_BIG6, 0, rest=mtu))

    header4 = _header4(header, chain, ends, header.hop_limit - 1, total_length, bytes4, path)
    return Forward(header4.pack() + payload4, 64, entry.name)


def _check_protocol(chain: rfc8200.Chain) -> None:
    """Refuse what has no counterpart: ICMPv4 in IPv6, and ICMPv6 fragments (section 1.2)."""
    if chain.protocol == proto.ICMPV4:
        raise Refused(DropReason.PROTOCOL)
    if chain.protocol == proto.ICMPV6 and chain.is_fragment:
        raise Refused(DropReason.ICMP_FRAGMENT)


def _read_icmp(message: bytes, path: Path) -> _IcmpError | None:
    """Read an ICMPv6 message (section 5.2). None: an echo. Refused: what is not translated."""
    if len(message) < icmp.HEADER_BYTES:
        raise Refused(DropReason.TRUNCATED)
    if message[0] in icmp.ECHO_64:
        return None
    rest = int.from_bytes(message[4:8])
    error = icmp.error_64(message[0], message[1], pointer=rest)
    if error is None:
        raise Refused(DropReason.ICMP_TYPE)

    quote = message[icmp.HEADER_BYTES :]
    quoted = rfc8200.parse(quote)
    chain = rfc8200.walk(quoted, quote)
    payload = quote[rfc8200.HEADER_BYTES + chain.extension_bytes :]
    _check_quoted_protocol(chain, payload)

    mtu = icmp.fragmentation_needed_mtu(
        rest, quoted_fragment=chain.fragment is not None, mtu4=path.mtu4, mtu6=path.mtu6
    )
    return _IcmpError(error, mtu, quoted, chain, payload)


def _check_quoted_protocol(chain: rfc8200.Chain, payload: bytes) -> None:
    """Refuse quotes that could not be results of translation (section 5.3)."""
    if rfc791.HEADER_BYTES + chain.upper_bytes > rfc791.LARGEST_DATAGRAM:
        raise Refused(DropReason.MALFORMED)  # no IPv4 packet is as long
    if chain.protocol == proto.ICMPV6 and not chain.has_upper_header:
        return  # only the protocol number is to be translated
    _check_protocol(chain)
    if chain.protocol == proto.ICMPV6:
        if payload and icmp.is_error6(payload[0]):
            raise Refused(DropReason.ICMP_NESTED)
        if not payload or payload[0] not in icmp.ECHO_64:
            raise Refused(DropReason.ICMP_TYPE)


def _map_ends(header: rfc8200.Header, addresses: AddressMap) -> _Ends:
    """Map the addresses of a packet that is to be forwarded."""
    for address in (header.source, header.destination):
        if addresses.breaks_well_known_64(address):
            raise Refused(DropReason.NOT_GLOBAL, _PROHIBITED)
    source, destination = addresses.to_ipv4(header.source), addresses.to_ipv4(header.destination)
    if source is None:
        raise Refused(DropReason.SOURCE_NOT_MAPPABLE, _PROHIBITED)
    assert destination is not None, "a destination is ours only if it is mappable"
    return _Ends(source, destination)


def _map_quoted_ends(header: rfc8200.Header, addresses: AddressMap) -> _Ends:
    """Map the addresses of a quoted packet. Nobody is told if that fails (section 5.2)."""
    for address in (header.source, header.destination):
        if addresses.breaks_well_known_64(address):
            raise Refused(DropReason.NOT_GLOBAL)
    source, destination = addresses.to_ipv4(header.source), addresses.to_ipv4(header.destination)
    if source is None:
        raise Refused(DropReason.SOURCE_NOT_MAPPABLE)
    if destination is None:
        raise Refused(DropReason.DESTINATION_NOT_MAPPABLE)
    return _Ends(source, destination)


def _header4(
    header: rfc8200.Header,
    chain: rfc8200.Chain,
    ends: _Ends,
    ttl: int,
    total_length: int,
    wire_bytes: int,
    path: Path,
) -> rfc791.Header:
    """Return the IPv4 header of a packet or quote (sections 5.1 and 5.1.1).

    A Fragment header, even that of an atomic fragment, gives identification and flags, and
    leaves DF clear. `wire_bytes` is the size of one packet: `total_length` or a segment's.
    """
    fragment = chain.fragment
    return rfc791.Header(
        tos=header.traffic_class,
        total_length=total_length,
        identification=fragment.identification & 0xFFFF if fragment else path.identification,
        dont_fragment=fragment is None and wire_bytes > LARGEST_WITHOUT_DONT_FRAGMENT,
        more_fragments=fragment is not None and fragment.more,
        offset_bytes=fragment.offset_bytes if fragment else 0,
        ttl=ttl,
        protocol=_protocol4(chain),
        source=ends.source,
        destination=ends.destination,
    )


def _protocol4(chain: rfc8200.Chain) -> int:
    return proto.ICMPV4 if chain.protocol == proto.ICMPV6 else chain.protocol


def _translate_payload(
    header: rfc8200.Header, chain: rfc8200.Chain, payload: bytes, ends: _Ends
) -> bytes:
    """Translate the upper layer of a packet or quote, except for ICMP errors (section 5.5)."""
    if not chain.has_upper_header:
        return payload
    length = chain.upper_bytes
    old = pseudo_header(header.source, header.destination, length, chain.protocol)
    if chain.protocol == proto.ICMPV6:
        return transport.translate_echo(payload, icmp.ECHO_64, old, b"")
    new = pseudo_header(ends.source, ends.destination, length, chain.protocol)
    return transport.follow_addresses(chain.protocol, payload, old, new)


def _translate_error(
    message: bytes, icmp_error: _IcmpError, quoted_ends: _Ends, header: rfc8200.Header, path: Path
) -> bytes:
    """Translate an ICMPv6 error with the packet that it quotes (sections 5.2 and 5.3)."""
    error = icmp_error.error
    rest = error.pointer << 24
    if (error.type, error.code) == (icmp.UNREACHABLE4, icmp.FRAGMENTATION_NEEDED):
        rest = icmp_error.mtu
    quote = _translate_quote(icmp_error, quoted_ends, path)
    translated = bytes((error.type, error.code)) + message[2:4] + rest.to_bytes(4) + quote
    pseudo = pseudo_header(header.source, header.destination, len(message), proto.ICMPV6)
    return transport.translate_icmp(message, translated, pseudo, b"")


def _translate_quote(icmp_error: _IcmpError, ends: _Ends, path: Path) -> bytes:
    """Translate a quoted packet; its hop limit stays, it is not forwarded (section 5.3)."""
    header, chain = icmp_error.header, icmp_error.chain
    bytes4 = rfc791.HEADER_BYTES + chain.upper_bytes
    header4 = _header4(header, chain, ends, header.hop_limit, bytes4, bytes4, path)
    return header4.pack() + _translate_payload(header, chain, icmp_error.payload, ends)
