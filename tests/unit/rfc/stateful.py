# SPDX-License-Identifier: Apache-2.0
"""A stateful NAT64 to replay scenarios with, and short words for what happens in them.

Endpoints are text: `[2001:db8:1::7]:40001` inside, `192.0.2.1:40001` in pool4 and outside. A
packet from inside is sent to an IPv4 endpoint, which is embedded in Pref64. Of queries, the port
is the identifier, and stands at the node's end only.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from sixlane.rfc import rfc6052
from sixlane.rfc.rfc6146 import (
    ALL_PORTS,
    Candidates,
    Choose,
    Config,
    Drop,
    DropReason,
    Endpoint4,
    Endpoint6,
    Flags,
    Forward,
    Nat64,
    Outcome,
    Packet4,
    Packet6,
    Pool4,
    Protocol,
    Sent,
    Session,
    lowest,
)
from sixlane.rfc.rfc6146.packets import Received4, Received6

PREF64 = IPv6Network("2001:db8:64::/96")
OTHER_PREF64 = IPv6Network("2001:db8:46::/48")

NODE = "[2001:db8:1::7]:40001"
SIBLING = "[2001:db8:1::8]:40002"  # of the same client: the same /64
STRANGER = "[2001:db8:2::7]:40003"  # another client
BOUND = "192.0.2.1:40001"  # what NODE gets by `own_port`
SERVER = "198.51.100.80:80"
OTHER = "203.0.113.5:443"

PORTS = {
    Protocol.TCP: ((1024, 65535),),
    Protocol.UDP: ((1024, 65535),),
    Protocol.ICMP: (ALL_PORTS,),
}


def pool4(addresses: str = "192.0.2.1/32", sources: str = "::/0", **ports: Any) -> Pool4:
    """One entry; `tcp=(first, last)` and so on in place of 1024 to 65535."""
    own = {Protocol(name.upper()): (some,) for name, some in ports.items()}
    return Pool4((IPv4Network(addresses),), PORTS | own, IPv6Network(sources))


CONFIG = Config(pool6=(PREF64,), pool4=(pool4(),))
FILTERING = replace(CONFIG, address_dependent_filtering=True)


def end4(text: str) -> Endpoint4:
    address, _, port = text.rpartition(":")
    return Endpoint4(IPv4Address(address), int(port))


def end6(text: str) -> Endpoint6:
    address, _, port = text.rpartition(":")
    return Endpoint6(IPv6Address(address.strip("[]")), int(port))


def embedded(text: str, pref64: IPv6Network = PREF64) -> Endpoint6:
    """An IPv4 endpoint as nodes inside call it."""
    end = end4(text)
    return Endpoint6(rfc6052.embed(pref64, end.address), end.port)


def flags(letters: str) -> Flags:
    """Of `S`, `A`, `F` and `R`."""
    return Flags("S" in letters, "A" in letters, "F" in letters, "R" in letters)


def tcp6(
    letters: str, source: str = NODE, to: str = SERVER, pref64: IPv6Network = PREF64
) -> Packet6:
    return Packet6(Protocol.TCP, end6(source), embedded(to, pref64), flags(letters))


def tcp4(letters: str, source: str = SERVER, to: str = BOUND) -> Packet4:
    return Packet4(Protocol.TCP, end4(source), end4(to), flags(letters))


def udp6(source: str = NODE, to: str = SERVER, pref64: IPv6Network = PREF64) -> Packet6:
    return Packet6(Protocol.UDP, end6(source), embedded(to, pref64))


def udp4(source: str = SERVER, to: str = BOUND) -> Packet4:
    return Packet4(Protocol.UDP, end4(source), end4(to))


def ping6(source: str = NODE, to: str = SERVER) -> Packet6:
    """The port of `to` does not count."""
    node = end6(source)
    return Packet6(Protocol.ICMP, node, embedded(to)._replace(port=node.port))


def ping4(source: str = SERVER, to: str = BOUND) -> Packet4:
    """The port of `source` does not count."""
    node = end4(to)
    return Packet4(Protocol.ICMP, end4(source)._replace(port=node.port), node)


def inside(packet: Packet4, node: str = NODE, pref64: IPv6Network = PREF64) -> Packet6:
    """What `node` gets of a packet from outside that comes to it."""
    address, to = rfc6052.embed(pref64, packet.source.address), end6(node)
    port = to.port if packet.protocol is Protocol.ICMP else packet.source.port
    return Packet6(packet.protocol, Endpoint6(address, port), to, packet.flags)


def own_port(candidates: Candidates) -> Endpoint4:
    """The node's own port where that is as good as any, so that scenarios read well."""
    best = lowest(candidates)
    own = best._replace(port=candidates.port)
    is_as_good = candidates.objection(own) is None and candidates.rank(own) == candidates.rank(best)
    return own if is_as_good else best


class Replay:
    """One NAT64 and its clock; each packet comes `after` so many seconds."""

    def __init__(self, config: Config = CONFIG, *, strict: bool = True, **changes: Any) -> None:
        self.nat64 = Nat64(replace(config, **changes), strict=strict)
        self.now = 0.0

    def receive(
        self, packet: Received6 | Received4, after: float = 0, choose: Choose = own_port
    ) -> Outcome:
        self.now += after
        return self.nat64.receive(packet, self.now, choose)

    def forwards(self, packet: Received6 | Received4, after: float = 0) -> Any:
        """What becomes of a packet that is sent on."""
        outcome = self.receive(packet, after)
        assert isinstance(outcome, Forward), outcome
        return outcome.packet

    def source(self, packet: Packet6, after: float = 0) -> str:
        """The endpoint of pool4 with which a packet from inside goes on."""
        return str(self.forwards(packet, after).source)

    def drops(
        self, packet: Received6 | Received4, after: float = 0
    ) -> tuple[DropReason, tuple[int, int] | None]:
        """Why a packet is dropped, type and code of the error to its sender."""
        outcome = self.receive(packet, after)
        assert isinstance(outcome, Drop), outcome
        if outcome.error is None:
            return outcome.reason, None
        assert outcome.error.about == packet
        return outcome.reason, (outcome.error.type, outcome.error.code)

    def wait(self, seconds: float) -> tuple[Sent, ...]:
        self.now += seconds
        return self.nat64.advance(self.now)

    @property
    def sessions(self) -> tuple[Session, ...]:
        return self.nat64.state(self.now).sessions

    @property
    def session(self) -> Session:
        """The only one."""
        (session,) = self.sessions
        return session

    @property
    def life(self) -> tuple[str | None, float]:
        """State and remaining seconds of the only session."""
        return self.session.state, self.session.remaining(self.now)

    @property
    def bound(self) -> set[tuple[str, str, str]]:
        """All of the BIBs: protocol, inside, pool4."""
        bindings = self.nat64.state(self.now).bindings
        return {(str(one.protocol), str(one.ipv6), str(one.ipv4)) for one in bindings}
