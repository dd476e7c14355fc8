# SPDX-License-Identifier: Apache-2.0
"""BIBs and session tables (RFC 6146 section 3.1), for all protocols side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network

from sixlane.rfc import rfc6052
from sixlane.rfc.rfc6146.packets import Endpoint4, Endpoint6, Flags, Packet4, Packet6, Protocol
from sixlane.rfc.rfc6146.tcp import TcpState


@dataclass(frozen=True)
class Binding:
    """A BIB entry: (X',x) and (T,t).

    `pref64`: what sessions that begin outside are given; that of the packet which made the entry.
    """

    protocol: Protocol
    ipv6: Endpoint6
    ipv4: Endpoint4
    pref64: IPv6Network
    static: bool = False


@dataclass(frozen=True)
class Session:
    """A session table entry (STE); of ICMP queries, the ports of both destinations are 0.

    `source6`: (X',x), inside. `source4`: (T,t), of pool4. `destination4`: (Z,z), outside.
    `state`: None but for TCP. `deadline`: in seconds of the virtual clock.
    """

    protocol: Protocol
    source6: Endpoint6
    source4: Endpoint4
    destination4: Endpoint4
    pref64: IPv6Network
    state: TcpState | None
    deadline: float

    @property
    def destination6(self) -> Endpoint6:
        """(Y',y): by its Pref64, whatever suffix a packet's own destination has."""
        address = rfc6052.embed(self.pref64, self.destination4.address)
        return Endpoint6(address, self.destination4.port)

    def from_inside6(self, flags: Flags) -> Packet6:
        """What the node inside sends, as it leaves it."""
        return Packet6(self.protocol, self.source6, self._peer6, flags)

    def from_inside4(self, flags: Flags) -> Packet4:
        """What the node inside sends, translated."""
        return Packet4(self.protocol, self.source4, self._peer4, flags)

    def to_inside4(self, flags: Flags) -> Packet4:
        """What the node inside is sent, as it comes."""
        return Packet4(self.protocol, self._peer4, self.source4, flags)

    def to_inside6(self, flags: Flags) -> Packet6:
        """What the node inside is sent, translated."""
        return Packet6(self.protocol, self._peer6, self.source6, flags)

    def remaining(self, now: float) -> float:
        """Return the seconds that it has left."""
        return self.deadline - now

    @property
    def _peer6(self) -> Endpoint6:
        """The other end as a packet shows it: with the identifier of a query."""
        is_query = self.protocol is Protocol.ICMP
        return Endpoint6(
            self.destination6.address, (self.source6 if is_query else self.destination6).port
        )

    @property
    def _peer4(self) -> Endpoint4:
        is_query = self.protocol is Protocol.ICMP
        return Endpoint4(
            self.destination4.address, (self.source4 if is_query else self.destination4).port
        )


@dataclass(frozen=True)
class StoredSyn:
    """A SYN from outside that waits for one from inside; its connection is in V4 INIT.

    The RFC makes a session table entry of it, which may lack (X',x). Here it is one of these.
    """

    packet: Packet4
    deadline: float

    def remaining(self, now: float) -> float:
        """Return the seconds that it has left."""
        return self.deadline - now


def session_end(protocol: Protocol, peer: Endpoint4) -> Endpoint4:
    """Return the destination of a session whose packets go to and come from `peer`."""
    return Endpoint4(peer.address, 0) if protocol is Protocol.ICMP else peer


Key6 = tuple[Protocol, Endpoint6, Endpoint6]
Key4 = tuple[Protocol, Endpoint4, Endpoint4]


class Tables:
    """Bindings and sessions, found from either side; what is past its deadline is still there."""

    def __init__(self) -> None:
        self._bindings6: dict[tuple[Protocol, Endpoint6], Binding] = {}
        self._bindings4: dict[tuple[Protocol, Endpoint4], Binding] = {}
        self._sessions6: dict[Key6, Session] = {}
        self._sessions4: dict[Key4, Session] = {}
        self._under: dict[tuple[Protocol, Endpoint4], set[Key4]] = {}

    def binding6(self, protocol: Protocol, ipv6: Endpoint6) -> Binding | None:
        """Return the BIB entry of (X',x)."""
        return self._bindings6.get((protocol, ipv6))

    def binding4(self, protocol: Protocol, ipv4: Endpoint4) -> Binding | None:
        """Return the BIB entry of (T,t)."""
        return self._bindings4.get((protocol, ipv4))

    def session6(
        self, protocol: Protocol, source: Endpoint6, pref64: IPv6Network, peer: Endpoint4
    ) -> Session | None:
        """Return the session of (X',x) with the peer (Z,z) of a packet, called by `pref64`."""
        end = session_end(protocol, peer)
        destination = Endpoint6(rfc6052.embed(pref64, end.address), end.port)
        return self._sessions6.get((protocol, source, destination))

    def session4(self, protocol: Protocol, source: Endpoint4, peer: Endpoint4) -> Session | None:
        """Return the session of (T,t) with the peer (Z,z) of a packet."""
        return self._sessions4.get((protocol, source, session_end(protocol, peer)))

    def bindings(self) -> Iterator[Binding]:
        """Return all BIB entries."""
        return iter(self._bindings4.values())

    def sessions(self) -> Iterator[Session]:
        """Return all session table entries."""
        return iter(self._sessions4.values())

    def knows(self, binding: Binding, address: IPv4Address) -> bool:
        """Tell whether a session under `binding` has `address` outside."""
        keys = self._under[binding.protocol, binding.ipv4]
        return any(destination.address == address for _, _, destination in keys)

    def is_idle(self, binding: Binding) -> bool:
        """Tell whether `binding` has no sessions."""
        return not self._under[binding.protocol, binding.ipv4]

    def add_binding(self, binding: Binding) -> None:
        """Neither side may be bound already."""
        ends6, ends4 = (binding.protocol, binding.ipv6), (binding.protocol, binding.ipv4)
        assert ends6 not in self._bindings6 and ends4 not in self._bindings4
        self._bindings6[ends6] = self._bindings4[ends4] = binding
        self._under[ends4] = set()

    def remove_binding(self, binding: Binding) -> None:
        """It is idle."""
        assert self.is_idle(binding)
        del self._bindings6[binding.protocol, binding.ipv6]
        del self._bindings4[binding.protocol, binding.ipv4]
        del self._under[binding.protocol, binding.ipv4]

    def put(self, session: Session) -> None:
        """Add a session, or what became of it, under its binding."""
        key4 = (session.protocol, session.source4, session.destination4)
        self._sessions4[key4] = session
        self._sessions6[session.protocol, session.source6, session.destination6] = session
        self._under[session.protocol, session.source4].add(key4)

    def remove(self, session: Session) -> None:
        """Take the session out; its binding stays."""
        key4 = (session.protocol, session.source4, session.destination4)
        del self._sessions4[key4]
        del self._sessions6[session.protocol, session.source6, session.destination6]
        self._under[session.protocol, session.source4].remove(key4)
