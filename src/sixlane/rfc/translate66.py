# SPDX-License-Identifier: Apache-2.0
"""RFC 7757 section 4: from a node inside to a node inside, by its IPv4 address.

What 46 after 64 would make, but that nothing is lost on the way: only addresses, hop limit and
checksums change. The source is called by its IPv4 address under the entry that serves the
destination, never by an explicit mapping, so that the answer takes the same way back.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from sixlane.rfc import icmp, rfc6052, rfc8200, rfc9293, transport
from sixlane.rfc import protocol as proto
from sixlane.rfc.addresses import AddressMap, Prefix, cannot_embed
from sixlane.rfc.checksum import update
from sixlane.rfc.outcome import Answer, DropReason, Forward, Refused
from sixlane.rfc.path import Path
from sixlane.rfc.received6 import (
    PROHIBITED,
    Ends,
    SourceNotMappable,
    check_error,
    map_ends,
    map_quoted_ends,
    read_quote,
    wire_header_bytes,
)
from sixlane.rfc.transport import pseudo_header

_HOP_LIMIT_EXPIRED: Final = Answer(type=3, code=0)
_ADDRESSES: Final = slice(8, 40)
_HOP_LIMIT: Final = 7

_CHECKSUM_OFFSET: Final = {proto.TCP: 16, proto.UDP: 6, proto.ICMPV6: 2}

Ends6 = tuple[IPv6Address, IPv6Address]


def is_hairpin(header: rfc8200.Header, addresses: AddressMap) -> bool:
    """Tell whether a packet that is ours, and not native, is for a node inside."""
    destination = addresses.to_ipv4(header.destination)
    return destination is not None and addresses.serving(destination) is not None


def translate66(
    header: rfc8200.Header,
    chain: rfc8200.Chain,
    packet: bytes,
    addresses: AddressMap,
    path: Path,
) -> Forward:
    """Translate `packet`; the first rule that it breaks is raised as Refused."""
    packet = packet[: rfc8200.HEADER_BYTES + header.payload_length]
    at = rfc8200.HEADER_BYTES + chain.extension_bytes
    payload = packet[at:]
    if chain.protocol == proto.ICMPV4:
        raise Refused(DropReason.PROTOCOL, PROHIBITED)
    if chain.protocol == proto.ICMPV6 and _is_error(chain, payload):
        return _translate_error(header, packet, at, addresses, path)

    ends4, _ = map_ends(header, addresses)
    ends, entry = _map_again(ends4, addresses)
    _admit(entry, ends4.source)
    if header.hop_limit <= 1:
        raise Refused(DropReason.TTL_EXPIRED, _HOP_LIMIT_EXPIRED)
    if chain.has_upper_header:
        transport.check_header(chain.protocol, payload, PROHIBITED)
        payload = _follow(chain, payload, (header.source, header.destination), ends)
        if chain.protocol == proto.TCP:
            payload = rfc9293.clamp(payload, entry.max_segment)

    upper_bytes = len(payload)
    if not chain.is_fragment:
        upper_bytes = transport.segment_bytes(chain.protocol, payload, path.segment_bytes)
    if wire_header_bytes(packet, chain, path) + upper_bytes > path.mtu6:
        mtu = max(rfc8200.MINIMUM_MTU, path.mtu6)
        raise Refused(DropReason.TOO_BIG, Answer(icmp.TOO_BIG6, 0, rest=mtu))
    head = _with_ends(packet[:at], ends, header.hop_limit - 1)
    return Forward(head + payload, 66, entry.name)


def _is_error(chain: rfc8200.Chain, message: bytes) -> bool:
    """Tell errors from echoes. Refused: what else ICMPv6 has, and fragments of errors."""
    if not chain.has_upper_header:
        return False
    if len(message) < icmp.HEADER_BYTES:
        raise Refused(DropReason.TRUNCATED)
    if message[0] in icmp.ERRORS6:
        if chain.is_fragment:
            raise Refused(DropReason.ICMP_FRAGMENT)
        return True
    if message[0] not in icmp.ECHO_64:
        raise Refused(DropReason.ICMP_TYPE)
    return False


def _map_again(ends4: Ends, addresses: AddressMap) -> tuple[Ends6, Prefix]:
    """Both addresses in IPv6 once more, by the entry that serves the destination."""
    entry = addresses.serving(ends4.destination)
    assert entry is not None, "else this is no hairpin"
    if addresses.breaks_well_known_46(ends4.destination, entry) or cannot_embed(
        ends4.source, entry
    ):
        raise Refused(DropReason.NOT_GLOBAL, PROHIBITED)
    source = rfc6052.embed(entry.network, ends4.source)
    return (source, addresses.to_ipv6(ends4.destination, entry)), entry


def _admit(entry: Prefix, client: IPv4Address) -> None:
    if not entry.allows(client):
        raise Refused(DropReason.SOURCE_NOT_ALLOWED, PROHIBITED)


def _translate_error(
    header: rfc8200.Header, packet: bytes, at: int, addresses: AddressMap, path: Path
) -> Forward:
    """An error is about a packet that went the other way, and both are translated back."""
    message = packet[at:]
    check_error(message, header)
    body, quoted, quoted_chain, quoted_payload = read_quote(message)

    ends4 = _ends_of_error(header, addresses)
    quoted4 = map_quoted_ends(quoted, addresses)
    if ends4:
        ends, entry = _map_again(ends4, addresses)
    else:
        ends, entry = _from_router(header, addresses)
    quoted_ends = _map_quote_back(quoted4, addresses)
    _admit(entry, quoted4.destination)
    if header.hop_limit <= 1:
        raise Refused(DropReason.TTL_EXPIRED)
    if len(packet) > path.mtu6:
        raise Refused(DropReason.TOO_BIG)

    if quoted_chain.has_upper_header:
        before = (quoted.source, quoted.destination)
        quoted_payload = _follow(quoted_chain, quoted_payload, before, quoted_ends)
    quoted_at = rfc8200.HEADER_BYTES + quoted_chain.extension_bytes
    quote = _with_ends(body.quote[:quoted_at], quoted_ends, quoted.hop_limit) + quoted_payload
    rest = message[4:8]
    if message[0] == icmp.TOO_BIG6:
        mtu = max(rfc8200.MINIMUM_MTU, min(int.from_bytes(rest), path.mtu6))
        rest = mtu.to_bytes(4)
    translated = message[:4] + rest + quote + body.extension
    length = len(message)
    old = pseudo_header(header.source, header.destination, length, proto.ICMPV6)
    new = pseudo_header(*ends, length, proto.ICMPV6)
    translated = transport.translate_icmp(message, translated, old, new)
    return Forward(_with_ends(packet[:at], ends, header.hop_limit - 1) + translated, 66, entry.name)


def _ends_of_error(header: rfc8200.Header, addresses: AddressMap) -> Ends | None:
    """None: it comes from a router inside that has no IPv4 address."""
    try:
        return map_ends(header, addresses)[0]
    except SourceNotMappable:
        return None


def _from_router(header: rfc8200.Header, addresses: AddressMap) -> tuple[Ends6, Prefix]:
    """It keeps its own address, by which everybody inside can call it."""
    destination = addresses.to_ipv4(header.destination)
    entry = addresses.serving(destination) if destination else None
    assert destination is not None and entry is not None, "else this is no hairpin"
    return (header.source, addresses.to_ipv6(destination, entry)), entry


def _map_quote_back(ends4: Ends, addresses: AddressMap) -> Ends6:
    """The reverse of `_map_again`: the source is a node inside, and called the other end by its
    own entry."""
    entry = addresses.serving(ends4.source)
    if entry is None:
        raise Refused(DropReason.SOURCE_NOT_MAPPABLE)
    if addresses.breaks_well_known_46(ends4.source, entry) or cannot_embed(
        ends4.destination, entry
    ):
        raise Refused(DropReason.NOT_GLOBAL)
    return addresses.to_ipv6(ends4.source, entry), rfc6052.embed(entry.network, ends4.destination)


def _follow(chain: rfc8200.Chain, payload: bytes, before: Ends6, after: Ends6) -> bytes:
    """The checksum follows the addresses; nothing else of the upper layer changes."""
    length = chain.upper_bytes
    old = pseudo_header(*before, length, chain.protocol)
    new = pseudo_header(*after, length, chain.protocol)
    if chain.protocol != proto.ICMPV6:
        return transport.follow_addresses(chain.protocol, payload, old, new)
    if len(payload) < 4:
        return payload
    field = update(int.from_bytes(payload[2:4]), old, new)
    return payload[:2] + field.to_bytes(2) + payload[4:]


def _with_ends(headers: bytes, ends: Ends6, hop_limit: int) -> bytes:
    """The IPv6 header and what follows it, with other addresses and hop limit."""
    source, destination = ends
    start = headers[:_HOP_LIMIT] + bytes((hop_limit,))
    return start + source.packed + destination.packed + headers[_ADDRESSES.stop :]
