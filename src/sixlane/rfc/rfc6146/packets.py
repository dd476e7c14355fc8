# SPDX-License-Identifier: Apache-2.0
"""Packets as RFC 6146 looks at them: tuples and TCP flags (section 2, "5-tuple", "3-tuple").

They are whole and sane: fragments were put together and malformed packets dropped before.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple


class Protocol(StrEnum):
    """What has a BIB and a session table of its own (section 3.1); ICMP stands for its queries."""

    TCP = "TCP"
    UDP = "UDP"
    ICMP = "ICMP"


class Endpoint6(NamedTuple):
    """An IPv6 transport address; of an ICMP query, `port` is the identifier."""

    address: IPv6Address
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}"


class Endpoint4(NamedTuple):
    """An IPv4 transport address; of an ICMP query, `port` is the identifier."""

    address: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Flags:
    """The TCP flags that sections 3.5.2.2 asks for."""

    syn: bool = False
    ack: bool = False
    fin: bool = False
    rst: bool = False


NO_FLAGS: Final = Flags()
SYN: Final = Flags(syn=True)
ACK: Final = Flags(ack=True)


@dataclass(frozen=True)
class Packet6:
    """An IPv6 packet of TCP, UDP or an ICMPv6 query, which has its identifier at both ends."""

    protocol: Protocol
    source: Endpoint6
    destination: Endpoint6
    flags: Flags = NO_FLAGS

    def __post_init__(self) -> None:
        _check(self.protocol, self.source.port, self.destination.port, self.flags)


@dataclass(frozen=True)
class Packet4:
    """An IPv4 packet of TCP, UDP or an ICMPv4 query, which has its identifier at both ends."""

    protocol: Protocol
    source: Endpoint4
    destination: Endpoint4
    flags: Flags = NO_FLAGS

    def __post_init__(self) -> None:
        _check(self.protocol, self.source.port, self.destination.port, self.flags)


@dataclass(frozen=True)
class Icmp6Error:
    """An ICMPv6 error from `source`, a host or a router.

    `quoted`: the packet that it is about, None where no tuple can be read of it: it is another
    ICMP error, of another protocol, or cut too short (section 3.4).
    """

    source: IPv6Address
    destination: IPv6Address
    quoted: Packet6 | None


@dataclass(frozen=True)
class Icmp4Error:
    """An ICMPv4 error from `source`, a host or a router; `quoted` as in `Icmp6Error`."""

    source: IPv4Address
    destination: IPv4Address
    quoted: Packet4 | None


@dataclass(frozen=True)
class Other6:
    """An IPv6 packet of a protocol that has no sessions (section 3.4)."""

    source: IPv6Address
    destination: IPv6Address


@dataclass(frozen=True)
class Other4:
    """An IPv4 packet of a protocol that has no sessions."""

    source: IPv4Address
    destination: IPv4Address


Received6 = Packet6 | Icmp6Error | Other6
Received4 = Packet4 | Icmp4Error | Other4


def _check(protocol: Protocol, source_port: int, destination_port: int, flags: Flags) -> None:
    if protocol is Protocol.ICMP and source_port != destination_port:
        raise ValueError(f"a query has one identifier, not {source_port} and {destination_port}")
    if protocol is not Protocol.TCP and flags != NO_FLAGS:
        raise ValueError(f"{protocol} has no flags")
