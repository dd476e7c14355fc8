# SPDX-License-Identifier: Apache-2.0
"""RFC 7915 section 5: an IPv6 packet becomes an IPv4 packet."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from sixlane.rfc import icmp, rfc791, rfc4884, rfc5837, rfc8200, rfc9293, transport
from sixlane.rfc import protocol as proto
from sixlane.rfc.addresses import AddressMap, Prefix
from sixlane.rfc.icmp_errors import LARGEST_ICMPV4
from sixlane.rfc.outcome import Answer, DropReason, Forward, Pass, PassReason, Refused, SlowPath
from sixlane.rfc.path import Path
from sixlane.rfc.policy import Policy
from sixlane.rfc.received6 import (
    PROHIBITED,
    Ends,
    SourceNotMappable,
    check_error,
    check_protocol,
    is_jumbo,
    map_ends,
    map_quoted_ends,
    read_quote,
    wire_header_bytes,
)
from sixlane.rfc.translate66 import is_hairpin, translate66
from sixlane.rfc.transport import pseudo_header

LARGEST_WITHOUT_DONT_FRAGMENT: Final = 1260
"""IPv4 packets up to this size may be fragmented on their way (section 5.1)."""

_HOP_LIMIT_EXPIRED: Final = Answer(type=3, code=0)


@dataclass(frozen=True)
class _IcmpError:
    """An ICMPv6 error in the words of ICMPv4, and the IPv6 packet that it quotes."""

    error: icmp.Error
    mtu: int
    header: rfc8200.Header
    chain: rfc8200.Chain
    payload: bytes
    extension: bytes


def translate64(
    packet: bytes, addresses: AddressMap, path: Path, policy: Policy
) -> Forward | Pass | SlowPath:
    """Translate `packet`, bytes of an IPv6 packet and perhaps more behind it.

    The first rule that the packet breaks is raised as Refused.
    """
    header = rfc8200.parse(packet)
    if is_jumbo(header, path):
        header = replace(header, payload_length=len(packet) - rfc8200.HEADER_BYTES)
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

    if policy.hairpin is not None and is_hairpin(header, addresses):
        return translate66(header, chain, packet, addresses, path)

    check_protocol(chain)
    icmp_error = None
    if chain.protocol == proto.ICMPV6:
        icmp_error = _read_icmp(payload, header, path)

    quoted_ends, origin = None, b""
    try:
        ends, entry = map_ends(header, addresses)
        if icmp_error:
            quoted_ends = map_quoted_ends(icmp_error.header, addresses)
    except SourceNotMappable:
        if icmp_error is None or not policy.icmp_pool:
            raise
        quoted_ends = map_quoted_ends(icmp_error.header, addresses)
        ends, entry = _from_pool(header, quoted_ends, addresses, policy, path)
        origin = rfc5837.interface_address(header.source) if policy.icmp_origin else b""

    if header.hop_limit <= 1:
        raise Refused(DropReason.TTL_EXPIRED, _HOP_LIMIT_EXPIRED)
    if chain.has_upper_header:
        transport.check_header(chain.protocol, payload, PROHIBITED)

    if icmp_error and quoted_ends:
        payload4 = _translate_error(payload, icmp_error, quoted_ends, header, path, origin)
    else:
        payload4 = _translate_payload(header, chain, payload, ends)
        if chain.protocol == proto.TCP and chain.has_upper_header:
            payload4 = rfc9293.clamp(payload4, entry.max_segment)

    upper_bytes = len(payload4)
    if not chain.is_fragment:
        upper_bytes = transport.segment_bytes(chain.protocol, payload4, path.segment_bytes)
    bytes4 = rfc791.HEADER_BYTES + upper_bytes
    # Of the upper layer as it came: what the extension of an ICMP error adds is no matter.
    bytes6 = wire_header_bytes(packet, chain, path) + upper_bytes
    total_length = rfc791.HEADER_BYTES + len(payload4)

    if bytes4 > path.mtu4 and bytes6 <= rfc8200.MINIMUM_MTU:
        return SlowPath()  # its sender can not send less: IPv4 has to fragment
    is_big_tcp = path.segment_bytes is not None
    too_long = total_length > rfc791.LARGEST_DATAGRAM and not is_big_tcp
    if bytes4 > path.mtu4 or too_long:
        growth = rfc8200.HEADER_BYTES - rfc791.HEADER_BYTES
        mtu = max(rfc8200.MINIMUM_MTU, path.mtu4 + growth)
        raise Refused(DropReason.TOO_BIG, Answer(icmp.TOO_BIG6, 0, rest=mtu))

    header4 = _header4(header, chain, ends, header.hop_limit - 1, total_length, bytes4, path)
    if policy.tos is not None:
        header4 = replace(header4, tos=policy.tos)
    return Forward(header4.pack() + payload4, 64, entry.name)


def _read_icmp(message: bytes, header: rfc8200.Header, path: Path) -> _IcmpError | None:
    """Read an ICMPv6 message (section 5.2). None: an echo. Refused: what is not translated."""
    if len(message) < icmp.HEADER_BYTES:
        raise Refused(DropReason.TRUNCATED)
    if message[0] in icmp.ECHO_64:
        return None
    rest = int.from_bytes(message[4:8])
    check_error(message, header)
    error = icmp.error_64(message[0], message[1], pointer=rest)
    if error is None:
        raise Refused(DropReason.ICMP_TYPE)

    body, quoted, chain, payload = read_quote(message)

    mtu = icmp.fragmentation_needed_mtu(
        rest, quoted_fragment=chain.fragment is not None, mtu4=path.mtu4, mtu6=path.mtu6
    )
    return _IcmpError(error, mtu, quoted, chain, payload, body.extension)


def _from_pool(
    header: rfc8200.Header, quoted: Ends, addresses: AddressMap, policy: Policy, path: Path
) -> tuple[Ends, Prefix]:
    """The ends of an error whose router has no IPv4 address (RFC 6791 section 3).

    It belongs to the entry that serves the node to which the quoted packet was sent.
    """
    entry = addresses.serving(quoted.destination)
    destination = addresses.to_ipv4(header.destination)
    if entry is None or destination is None:
        raise SourceNotMappable
    return Ends(_drawn(policy.icmp_pool, path.pool_pick), destination), entry


def _drawn(pool: tuple[IPv4Network, ...], pick: int) -> IPv4Address:
    for network in pool:
        if pick < network.num_addresses:
            return network[pick]
        pick -= network.num_addresses
    raise ValueError("the pool has fewer addresses")


def _header4(
    header: rfc8200.Header,
    chain: rfc8200.Chain,
    ends: Ends,
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
    header: rfc8200.Header, chain: rfc8200.Chain, payload: bytes, ends: Ends
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
    message: bytes,
    icmp_error: _IcmpError,
    quoted_ends: Ends,
    header: rfc8200.Header,
    path: Path,
    origin: bytes,
) -> bytes:
    """Translate an ICMPv6 error with the packet that it quotes (sections 5.2 and 5.3)."""
    error = icmp_error.error
    rest = error.pointer << 24
    if (error.type, error.code) == (icmp.UNREACHABLE4, icmp.FRAGMENTATION_NEEDED):
        rest = icmp_error.mtu
    quote = _translate_quote(icmp_error, quoted_ends, path)
    largest = min(LARGEST_ICMPV4, path.mtu4)
    body, length = rfc4884.fit(
        rfc4884.Body(quote, icmp_error.extension or origin),
        extensible=rfc4884.is_extensible4(error.type, error.code),
        room=largest - rfc791.HEADER_BYTES - icmp.HEADER_BYTES,
        unit=rfc4884.UNIT4,
    )
    rest |= length << 16
    head = bytes((error.type, error.code)) + message[2:4] + rest.to_bytes(4)
    translated = head + body.quote + body.extension
    pseudo = pseudo_header(header.source, header.destination, len(message), proto.ICMPV6)
    return transport.translate_icmp(message, translated, pseudo, b"")


def _translate_quote(icmp_error: _IcmpError, ends: Ends, path: Path) -> bytes:
    """Translate a quoted packet; its hop limit stays, it is not forwarded (section 5.3)."""
    header, chain = icmp_error.header, icmp_error.chain
    bytes4 = rfc791.HEADER_BYTES + chain.upper_bytes
    header4 = _header4(header, chain, ends, header.hop_limit, bytes4, bytes4, path)
    return header4.pack() + _translate_payload(header, chain, icmp_error.payload, ends)
