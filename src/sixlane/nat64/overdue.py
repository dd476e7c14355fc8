# SPDX-License-Identifier: Apache-2.0
"""Packets that are sent because time has passed (RFC 6146 3.5.2.2). Pure."""

from sixlane.datapath.sweeps import Probe
from sixlane.rfc import icmp, protocol
from sixlane.rfc.checksum import checksum

_TOS = 0xC0  # RFC 1812 4.3.2.5: internetwork control
_TTL = 64
_DF = 0x4000
_ACK = 0x10
_TCP_WORDS = 5


def probe_segment(probe: Probe) -> bytes:
    """The IPv6 packet that asks a node inside whether it still has a connection: ACK alone, numbers
    of 0, no data. Whoever has it answers with the numbers that it waits for (RFC 9293 3.10.7.4).
    """
    ends = probe.source_port.to_bytes(2) + probe.destination_port.to_bytes(2)
    segment = ends + bytes(8) + bytes((_TCP_WORDS << 4, _ACK)) + bytes(6)
    return _ipv6(probe.source.packed, probe.destination.packed, protocol.TCP, segment, 16)


def port_unreachable(syn: bytes) -> bytes:
    """The answer to a SYN that nobody came to meet, to its sender, from where it was sent to.

    `syn`: its first bytes, with all of its IP header. Of a hairpin it is one of IPv6.
    """
    if syn[0] >> 4 == 4:
        error = bytes((icmp.UNREACHABLE4, 3)) + bytes(6) + syn
        return _ipv4(syn[16:20], syn[12:16], _summed(error, 2, b""))
    error = bytes((icmp.UNREACHABLE6, 4)) + bytes(6) + syn
    return _ipv6(syn[24:40], syn[8:24], protocol.ICMPV6, error, 2)


def _ipv4(source: bytes, destination: bytes, error: bytes) -> bytes:
    total = (20 + len(error)).to_bytes(2)
    header = bytes((0x45, _TOS)) + total + bytes(2) + _DF.to_bytes(2)
    header += bytes((_TTL, protocol.ICMPV4)) + bytes(2) + source + destination
    return _summed(header, 10, b"") + error


def _ipv6(source: bytes, destination: bytes, number: int, upper: bytes, place: int) -> bytes:
    ends = source + destination
    pseudo = ends + len(upper).to_bytes(4) + number.to_bytes(4)
    header = b"\x60\0\0\0" + len(upper).to_bytes(2) + bytes((number, _TTL)) + ends
    return header + _summed(upper, place, pseudo)


def _summed(data: bytes, place: int, pseudo: bytes) -> bytes:
    """With its checksum, which is zero as yet."""
    return data[:place] + checksum(pseudo + data).to_bytes(2) + data[place + 2 :]
