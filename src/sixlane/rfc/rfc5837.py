# SPDX-License-Identifier: Apache-2.0
"""RFC 5837: an ICMP extension that names an interface, here by its IPv6 address alone."""

import struct
from ipaddress import IPv6Address
from typing import Final

from sixlane.rfc.checksum import checksum

_VERSION: Final = 2 << 4  # of the extension structure (RFC 4884 section 7)
_INTERFACE_INFORMATION: Final = 2
_ADDRESS_OF_THE_INCOMING_INTERFACE: Final = 0x04
_AFI_IPV6: Final = 2


def interface_address(address: IPv6Address) -> bytes:
    """Return an extension structure with one Interface Information Object (section 4)."""
    address_object = struct.pack("!HH", _AFI_IPV6, 0) + address.packed
    header = struct.pack(
        "!HBB",
        4 + len(address_object),
        _INTERFACE_INFORMATION,
        _ADDRESS_OF_THE_INCOMING_INTERFACE,
    )
    body = header + address_object
    start = struct.pack("!BBH", _VERSION, 0, 0)
    return struct.pack("!BBH", _VERSION, 0, checksum(start + body)) + body
