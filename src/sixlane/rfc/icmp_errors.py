# SPDX-License-Identifier: Apache-2.0
"""ICMP errors that the translator sends itself (RFC 7915 sections 4.4 and 5.4).

RFC 1812 section 4.3.2 and RFC 4443 section 2.4 say what they quote and when none is sent.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from sixlane.rfc import icmp, rfc791, rfc8200
from sixlane.rfc import protocol as proto
from sixlane.rfc.checksum import checksum
from sixlane.rfc.outcome import Answer, Refused
from sixlane.rfc.transport import pseudo_header

LARGEST_ICMPV4: Final = 576
LARGEST_ICMPV6: Final = rfc8200.MINIMUM_MTU

_TTL: Final = 64
_INTERNETWORK_CONTROL: Final = 0xC0  # the precedence that RFC 1812 section 4.3.2.5 asks for


def icmpv4_error(answer: Answer, packet: bytes, source: IPv4Address) -> bytes | None:
    """Return the ICMPv4 error packet about `packet`, or None where none may be sent.

    `packet` has passed `rfc791.check_packet`; bytes after its total length are not quoted. BIG TCP
    has none, and no bytes after it.
    """
    header = rfc791.parse(packet)
    packet = packet[: header.total_length or len(packet)]
    if not _may_answer4(header, packet):
        return None
    room = LARGEST_ICMPV4 - rfc791.HEADER_BYTES - icmp.HEADER_BYTES
    message = _message(answer, packet[:room], pseudo=b"")
    outer = rfc791.Header(
        tos=_INTERNETWORK_CONTROL,
        total_length=rfc791.HEADER_BYTES + len(message),
        identification=0,
        dont_fragment=True,
        more_fragments=False,
        offset_bytes=0,
        ttl=_TTL,
        protocol=proto.ICMPV4,
        source=source,
        destination=header.source,
    )
    return outer.pack() + message


def icmpv6_error(answer: Answer, packet: bytes, source: IPv6Address) -> bytes | None:
    """Return the ICMPv6 error packet about `packet`, or None where none may be sent.

    `packet` holds all of its payload length; bytes after that are not quoted. BIG TCP has none,
    and no bytes after it.
    """
    header = rfc8200.parse(packet)
    if header.payload_length == 0 and header.next_header == proto.HOP_BY_HOP:
        header = replace(header, payload_length=len(packet) - rfc8200.HEADER_BYTES)
    packet = packet[: rfc8200.HEADER_BYTES + header.payload_length]
    if not _may_answer6(header, packet):
        return None
    room = LARGEST_ICMPV6 - rfc8200.HEADER_BYTES - icmp.HEADER_BYTES
    length = icmp.HEADER_BYTES + len(packet[:room])
    pseudo = pseudo_header(source, header.source, length, proto.ICMPV6)
    outer = rfc8200.Header(
        traffic_class=0,
        payload_length=length,
        next_header=proto.ICMPV6,
        hop_limit=_TTL,
        source=source,
        destination=header.source,
    )
    return outer.pack() + _message(answer, packet[:room], pseudo)


def _message(answer: Answer, quote: bytes, pseudo: bytes) -> bytes:
    head, tail = bytes((answer.type, answer.code)), answer.rest.to_bytes(4) + quote
    return head + checksum(pseudo + head + b"\0\0" + tail).to_bytes(2) + tail


def _may_answer4(header: rfc791.Header, packet: bytes) -> bool:
    """Tell whether RFC 1122 section 3.2.2 allows an error about this packet."""
    if header.offset_bytes or rfc791.is_illegal_source(header.source):
        return False
    message = packet[header.header_bytes :]
    return header.protocol != proto.ICMPV4 or (bool(message) and not icmp.is_error4(message[0]))


def _may_answer6(header: rfc8200.Header, packet: bytes) -> bool:
    """Tell whether RFC 4443 section 2.4 (e) allows an error about this packet.

    Where the upper layer can not be found, it might be an ICMPv6 error: silence is safe.
    """
    try:
        chain = rfc8200.walk(header, packet, through_source_route=True)
    except Refused:
        return False
    if not chain.has_upper_header or rfc8200.is_illegal_source(header.source):
        return False
    message = packet[rfc8200.HEADER_BYTES + chain.extension_bytes :]
    return chain.protocol != proto.ICMPV6 or (bool(message) and not icmp.is_error6(message[0]))
