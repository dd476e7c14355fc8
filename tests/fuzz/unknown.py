# SPDX-License-Identifier: Apache-2.0
"""What the reference cannot know of a packet's way, and so may differ."""

from ipaddress import IPv4Address, IPv6Address

from sixlane.rfc.checksum import MODULUS, checksum
from sixlane.rfc.transport import pseudo_header
from tests.diff.test_datapath import has_no_route, is_too_short_for_a_test_run
from tests.world import OWN4, OWN6

_CHECKSUM_AT = {6: 16, 17: 6}  # of TCP and UDP
_ICMP_CHECKSUM_AT = {4: 22, 6: 42}  # of an error that is sent


def leads_nowhere(packet: bytes | None) -> bool:
    """Whether it would have to go where no packet can be forwarded to: there is no route, or it is
    for the gateway itself, or for a neighbour on one link. An error then stays unsent."""
    if packet is None:
        return False
    if packet[0] >> 4 == 4:
        return has_no_route(packet) or packet[16:20] == OWN4.packed
    destination = IPv6Address(packet[24:40])
    return destination.is_link_local or destination == OWN6


def looks_unfinished(packet: bytes) -> bool:
    """Whether tc takes the transport checksum for one that the NIC was to complete.

    Then the field holds the pseudo-header's sum: one in 65,536 fields does by chance (reject.h,
    quote_csum()).
    """
    if is_too_short_for_a_test_run(packet):
        return False
    if packet[0] >> 4 == 4:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        length = int.from_bytes(packet[2:4]) - start
        ends = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
        pseudo = pseudo_header(*ends, max(length, 0), protocol)
    else:
        start, protocol = 40, packet[6]
        ends6 = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
        pseudo = pseudo_header(*ends6, int.from_bytes(packet[4:6]), protocol)
    at = start + _CHECKSUM_AT.get(protocol, len(packet))
    return packet[at : at + 2] == (MODULUS - checksum(pseudo)).to_bytes(2)


def equal_but_for_the_sum(error: bytes, wanted: bytes) -> bool:
    """Two ICMP errors of our own, whose checksums are not looked at."""
    at = _ICMP_CHECKSUM_AT[wanted[0] >> 4]
    error = error[: len(wanted)]
    return error[:at] + error[at + 2 :] == wanted[:at] + wanted[at + 2 :]
