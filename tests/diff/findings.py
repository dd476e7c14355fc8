# SPDX-License-Identifier: Apache-2.0
"""Where the data path is known to be wrong: packets that the comparison leaves out until it is not.

Each has a test in test_session_findings.py that fails strictly: whoever mends one takes both away.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sixlane.rfc import rfc6052
from sixlane.rfc.rfc6146 import (
    Endpoint4,
    Icmp6Error,
    Other6,
    Packet4,
    Packet6,
    Protocol,
    Segment,
    Session,
)

if TYPE_CHECKING:
    from tests.diff.gateways import Gateway
    from tests.diff.twin import Any46, Twin


def hairpin_errors(twin: "Twin", packet: "Any46") -> bool:
    """ICMP errors about hairpins are sent out as IPv4, to an address of pool4."""
    if not isinstance(packet, Icmp6Error):
        return False
    pref64 = twin.config.pref64_of(packet.destination)
    return pref64 is not None and twin.config.serves_address(
        rfc6052.extract(pref64, packet.destination)
    )


def filtered_syns(twin: "Twin", packet: "Any46") -> bool:
    """With address-dependent filtering, SYNs from known addresses are let in."""
    if not twin.config.address_dependent_filtering or not isinstance(packet, Packet4 | Packet6):
        return False
    if packet.protocol is not Protocol.TCP or Segment.of(packet.flags) is not Segment.SYN:
        return False
    end = called(twin, packet)
    return end is not None and session_to(twin, packet, end) is None


def not_global_sources_inside(twin: "Twin", packet: "Any46") -> bool:
    """A source in 64:ff9b::/96 that is not global is told so, and not dropped silently."""
    if not isinstance(packet, Packet6 | Other6):
        return False
    source = packet.source.address if isinstance(packet, Packet6) else packet.source
    pref64 = twin.config.pref64_of(source)
    return pref64 == rfc6052.WELL_KNOWN and not rfc6052.is_global(rfc6052.extract(pref64, source))


def not_global_from_outside(twin: "Twin", packet: "Any46") -> bool:
    """Packets from sources for which 64:ff9b::/96 cannot stand are dropped, but make a session."""
    return (
        isinstance(packet, Packet4)
        and not rfc6052.is_global(packet.source.address)
        and called(twin, packet) is not None
        and rfc6052.WELL_KNOWN in twin.config.pool6
    )


def bindings_of_ended_tcp(twin: "Twin", packet: "Any46") -> bool:
    """Before somebody sweeps, a binding of TCP lives as long as its connection would have lived if
    it had not ended."""
    if not isinstance(packet, Packet4 | Packet6) or packet.protocol is not Protocol.TCP:
        return False
    ends = {packet.source, called(twin, packet)}
    return any(
        one.protocol is Protocol.TCP and (one.ipv6 in ends or one.ipv4 in ends)
        for one in twin.ghosts
    )


OPEN: Final[tuple[Callable[["Twin", "Any46"], bool], ...]] = (
    hairpin_errors,
    filtered_syns,
    not_global_sources_inside,
    not_global_from_outside,
    bindings_of_ended_tcp,
)


def ports_of_the_other_class(gateway: "Gateway") -> bool:
    """A client that has blocks of both classes gets ports of either, whichever it asks for."""
    return any(
        first < 1024 <= last
        for pool in gateway.pools
        for first, last in pool.ports.by_protocol().values()
    )


def resets(packet: "Any46") -> bool:
    """What was remembered of a flow stays for up to a second after an RST: segments that should
    lead out of TRANS go by and do not. So all is forgotten after one of these."""
    return isinstance(packet, Packet4 | Packet6) and packet.flags.rst


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


def session_to(twin: "Twin", packet: "Packet4 | Packet6", end: Endpoint4) -> Session | None:
    """The session by which a packet from outside, or a hairpin, would come in."""
    source = packet.source
    if isinstance(packet, Packet6):
        own = next(
            (
                one
                for one in twin.state().bindings
                if (one.protocol, one.ipv6) == (packet.protocol, source)
            ),
            None,
        )
        if own is None:
            return None
        source = own.ipv4
    return next(
        (
            one
            for one in twin.state().sessions
            if (one.protocol, one.source4, one.destination4) == (packet.protocol, end, source)
        ),
        None,
    )
