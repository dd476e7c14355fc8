# SPDX-License-Identifier: Apache-2.0
"""Where the data path is known to be wrong: packets that the comparison leaves out until it is not.

Each has a test in test_session_findings.py that fails strictly: whoever mends one takes both away.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sixlane.rfc import rfc6052
from sixlane.rfc.rfc6146 import (
    Endpoint4,
    Packet4,
    Packet6,
)

if TYPE_CHECKING:
    from tests.diff.twin import Any46, Twin


OPEN: Final[tuple[Callable[["Twin", "Any46"], bool], ...]] = ()


def called(twin: "Twin", packet: "Packet4 | Packet6") -> Endpoint4 | None:
    """The endpoint of pool4 that a packet is for, from outside or as a hairpin."""
    if isinstance(packet, Packet4):
        return (
            packet.destination if twin.config.serves_address(packet.destination.address) else None
        )
    pref64 = twin.config.pref64_of(packet.destination.address)
    if pref64 is None:
        return None
    address = rfc6052.extract(pref64, packet.destination.address)
    if not twin.config.serves_address(address):
        return None
    return Endpoint4(address, packet.destination.port)
