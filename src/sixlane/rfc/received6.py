# SPDX-License-Identifier: Apache-2.0
"""What comes in as IPv6: checks and addresses, wherever it goes (RFC 7915 section 5, RFC 7757)."""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from sixlane.rfc import icmp, rfc791, rfc4884, rfc8200
from sixlane.rfc import protocol as proto
from sixlane.rfc.addresses import AddressMap, Prefix
from sixlane.rfc.outcome import Answer, DropReason, Refused
from sixlane.rfc.path import Path

PROHIBITED: Final = Answer(type=1, code=1)
_JUMBO_HEADER_BYTES: Final = 8


@dataclass(frozen=True)
class Ends:
    """Both addresses of a packet, in IPv4."""

    source: IPv4Address
    destination: IPv4Address


class SourceNotMappable(Refused):
    """No IPv4 address that is served stands for the source (section 5.4)."""

    def __init__(self) -> None:
        super().__init__(DropReason.SOURCE_NOT_MAPPABLE, PROHIBITED)


def is_jumbo(header: rfc8200.Header, path: Path) -> bool:
    """Tell whether this is BIG TCP: a super-packet that says no length."""
    return (
        path.segment_bytes is not None
        and header.payload_length == 0
        and header.next_header == proto.HOP_BY_HOP
    )


def wire_header_bytes(packet: bytes, chain: rfc8200.Chain, path: Path) -> int:
    """Return the bytes of the IPv6 header with its extension headers, in each packet sent.

    The jumbo header of BIG TCP stays between kernel and driver.
    """
    jumbo = _JUMBO_HEADER_BYTES if is_jumbo(rfc8200.parse(packet), path) else 0
    return rfc8200.HEADER_BYTES + chain.extension_bytes - jumbo


def check_protocol(chain: rfc8200.Chain) -> None:
    """Refuse what has no counterpart: ICMPv4 in IPv6, and ICMPv6 fragments (section 1.2)."""
    if chain.protocol == proto.ICMPV4:
        raise Refused(DropReason.PROTOCOL, PROHIBITED)
    if chain.protocol == proto.ICMPV6 and chain.is_fragment:
        raise Refused(DropReason.ICMP_FRAGMENT, PROHIBITED)


def check_error(message: bytes, header: rfc8200.Header) -> None:
    """Refuse what is no error that could be translated, and what nobody may send."""
    if message[0] not in icmp.ERRORS6:
        raise Refused(DropReason.ICMP_TYPE)
    if rfc8200.HEADER_BYTES + header.payload_length > rfc4884.LARGEST_RECEIVED:
        raise Refused(DropReason.TOO_BIG)


def read_quote(
    message: bytes,
) -> tuple[rfc4884.Body, rfc8200.Header, rfc8200.Chain, bytes]:
    """Return quote and extension of an ICMPv6 error, the quoted headers, what is left behind."""
    body = rfc4884.split6(message)
    quoted = rfc8200.parse(body.quote)
    chain = rfc8200.walk(quoted, body.quote)
    payload = body.quote[rfc8200.HEADER_BYTES + chain.extension_bytes :]
    _check_quoted_protocol(chain, payload)
    return body, quoted, chain, payload


def _check_quoted_protocol(chain: rfc8200.Chain, payload: bytes) -> None:
    """Refuse quotes that could not be results of translation (section 5.3)."""
    if rfc791.HEADER_BYTES + chain.upper_bytes > rfc791.LARGEST_DATAGRAM:
        raise Refused(DropReason.MALFORMED)  # no IPv4 packet is as long
    if chain.protocol == proto.ICMPV6 and not chain.has_upper_header:
        return  # only the protocol number is to be translated
    check_protocol(chain)
    if chain.protocol == proto.ICMPV6:
        if payload and icmp.is_error6(payload[0]):
            raise Refused(DropReason.ICMP_NESTED)
        if not payload or payload[0] not in icmp.ECHO_64:
            raise Refused(DropReason.ICMP_TYPE)


def map_ends(header: rfc8200.Header, addresses: AddressMap) -> tuple[Ends, Prefix]:
    """Map the addresses of a packet that is to be forwarded; the entry that serves its source."""
    for address in (header.source, header.destination):
        if addresses.breaks_well_known_64(address):
            raise Refused(DropReason.NOT_GLOBAL, PROHIBITED)
    source, destination = addresses.to_ipv4(header.source), addresses.to_ipv4(header.destination)
    entry = addresses.serving(source) if source else None
    if source is None or entry is None:
        raise SourceNotMappable
    assert destination is not None, "a destination is ours only if it is mappable"
    return Ends(source, destination), entry


def map_quoted_ends(header: rfc8200.Header, addresses: AddressMap) -> Ends:
    """Map the addresses of a quoted packet. Nobody is told if that fails (section 5.2)."""
    for address in (header.source, header.destination):
        if addresses.breaks_well_known_64(address):
            raise Refused(DropReason.NOT_GLOBAL)
    source, destination = addresses.to_ipv4(header.source), addresses.to_ipv4(header.destination)
    if source is None:
        raise Refused(DropReason.SOURCE_NOT_MAPPABLE)
    if destination is None:
        raise Refused(DropReason.DESTINATION_NOT_MAPPABLE)
    return Ends(source, destination)
