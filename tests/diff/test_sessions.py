# SPDX-License-Identifier: Apache-2.0
"""The real programs equal the reference of RFC 6146 in whatever is sent, in whatever order."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sixlane.rfc import rfc6052
from sixlane.rfc.rfc6146 import (
    Drop,
    Endpoint4,
    Endpoint6,
    Flags,
    Forward,
    Icmp4Error,
    Icmp6Error,
    Other4,
    Other6,
    Outcome,
    Packet4,
    Packet6,
    Protocol,
)
from tests import needs
from tests.diff.gateways import GATEWAYS, ROOM, Gateway
from tests.diff.twin import Twin
from tests.diff.wire import Shape
from tests.world import Entry, World, raise_world

pytestmark = [pytest.mark.diff, needs.root]

STEPS = int(os.environ.get("STEPS", 3000))
"""Of each Gateway's long sequence."""
EXAMPLES = int(os.environ.get("EXAMPLES", 30))
"""Of hypothesis, for each Gateway."""

NODES: Final = tuple(
    IPv6Address(f"2001:db8:64:{client}::{host}") for client in (1, 2, 3) for host in (7, 8)
)
PORTS: Final = (1000, 1001, 5000, 5001, 5002, 5003, 5005, 5007, 5009)
REMOTES: Final = (
    Endpoint4(IPv4Address("193.0.14.129"), 53),
    Endpoint4(IPv4Address("193.0.14.129"), 80),
    Endpoint4(IPv4Address("193.0.15.1"), 53),
    Endpoint4(IPv4Address("192.0.2.33"), 443),  # not global
)
ROUTER: Final = IPv4Address("193.0.16.254")
FLAGS: Final = tuple(
    Flags("S" in letters, "A" in letters, "F" in letters, "R" in letters)
    for letters in ("S", "S", "S", "SA", "A", "A", "F", "FA", "R", "RA", "SF", "SR", "FR", "")
)
WAITS: Final = (0.4, 1.6, 2.5, 5.0, 50.0, 59.0, 100.0, 235.0, 239.0, 298.0, 3000.0, 7437.0)


@dataclass(frozen=True)
class Draw:
    """A few numbers from which a packet is made; each counts modulo what there is to choose."""

    numbers: tuple[int, ...]

    def pick(self, place: int, options: Any) -> Any:
        return options[self.numbers[place] % len(options)]


class Traffic:
    """What can happen, each by a few numbers."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin

    def inside(self, draw: Draw) -> Outcome | None:
        """Somebody inside sends something out."""
        return self._send(self._packet6(draw, draw.pick(3, REMOTES)), draw)

    def outside(self, draw: Draw) -> Outcome | None:
        """Somebody outside sends something to an endpoint of pool4, which is mostly bound."""
        protocol, end = self._bound(draw)
        remote = draw.pick(3, REMOTES)
        if protocol is Protocol.ICMP:
            remote = remote._replace(port=end.port)
        return self._send(Packet4(protocol, remote, end, self._flags(protocol, draw)), draw)

    def hairpin(self, draw: Draw) -> Outcome | None:
        """Somebody inside sends something to an endpoint of pool4."""
        protocol, end = self._bound(draw)
        return self._send(self._packet6(draw, end, protocol), draw)

    def again(self, draw: Draw) -> Outcome | None:
        """A packet of a session, from either side."""
        session = self._session(draw)
        if session is None:
            return None
        flags = self._flags(session.protocol, draw)
        if self.twin.config.serves(session.protocol, session.destination4):
            return self._send(session.from_inside6(flags), draw)
        packet = session.from_inside6(flags) if draw.pick(4, (0, 1)) else session.to_inside4(flags)
        return self._send(packet, draw)

    def knocks(self, draw: Draw) -> Outcome | None:
        """Somebody outside opens a connection, to whichever endpoint."""
        end = self._any_end(Protocol.TCP, draw)
        return self._send(Packet4(Protocol.TCP, draw.pick(3, REMOTES), end, Flags(syn=True)), draw)

    def meets(self, draw: Draw) -> Outcome | None:
        """Somebody inside calls the endpoint of which a SYN waits, or that sends it once more."""
        syns = self.twin.state().stored_syns
        if not syns:
            return None
        syn = draw.pick(3, syns).packet
        if draw.pick(4, range(4)) == 0 and not self.twin.config.serves_address(syn.source.address):
            return self._send(syn, draw)
        return self._send(self._packet6(draw, syn.source, Protocol.TCP), draw)

    def error_from_outside(self, draw: Draw) -> Outcome | None:
        """About a packet of a session, or about one that never was."""
        session = self._session(draw)
        if session is None or draw.pick(4, range(8)) == 0:
            protocol, end = self._bound(draw)
            remote = draw.pick(3, REMOTES)
            if protocol is Protocol.ICMP:
                remote = remote._replace(port=end.port)
            about = Packet4(protocol, end, remote, self._flags(protocol, draw))
        else:
            about = session.from_inside4(self._flags(session.protocol, draw))
        source = draw.pick(2, (ROUTER, about.destination.address))
        if self.twin.config.serves_address(source):
            source = ROUTER
        quoted = None if draw.pick(5, range(10)) == 0 else about
        return self._send(Icmp4Error(source, about.source.address, quoted), draw)

    def error_from_inside(self, draw: Draw) -> Outcome | None:
        """About a packet of a session, or about one that never was."""
        session = self._session(draw)
        if session is None or draw.pick(4, range(8)) == 0:
            sent = self._packet6(draw, draw.pick(3, REMOTES))
            about = Packet6(sent.protocol, sent.destination, sent.source, sent.flags)
        else:
            about = session.to_inside6(self._flags(session.protocol, draw))
        source = draw.pick(2, (about.destination.address, IPv6Address("2001:db8:64:1::1")))
        quoted = None if draw.pick(5, range(10)) == 0 else about
        return self._send(Icmp6Error(source, about.source.address, quoted), draw)

    def stray(self, draw: Draw) -> Outcome | None:
        """Other protocols, other destinations, sources that cannot be."""
        node, remote, pref64 = draw.pick(1, NODES), draw.pick(3, REMOTES), self._pref64(draw)
        protocol = draw.pick(0, tuple(Protocol))
        flags = self._flags(protocol, draw)
        port = draw.pick(2, PORTS)
        far_port = port if protocol is Protocol.ICMP else remote.port
        called = rfc6052.embed(pref64, remote.address)
        pool = draw.pick(5, self.twin.gateway.addresses)
        strays = (
            Other6(node, called),
            Other6(called, rfc6052.embed(pref64, REMOTES[0].address)),
            Other6(node, IPv6Address("2001:db8:99::1")),
            Other6(node, rfc6052.embed(pref64, pool)),
            Other4(remote.address, pool),
            Other4(remote.address, IPv4Address("193.0.20.1")),
            Packet6(protocol, Endpoint6(called, port), Endpoint6(called, far_port), flags),
            Packet6(
                protocol,
                Endpoint6(node, port),
                Endpoint6(IPv6Address("2001:db8:99::1"), far_port),
                flags,
            ),
            Packet4(
                protocol,
                Endpoint4(remote.address, port),
                Endpoint4(IPv4Address("193.0.20.1"), far_port),
                flags,
            ),
        )
        return self._send(draw.pick(4, strays), draw)

    def _send(self, packet: Any, draw: Draw) -> Outcome | None:
        errors = ((3, 1), (3, 3), (11, 0))
        shape = Shape(
            data=bytes(range(draw.pick(7, (9, 8, 1, 40)))),
            more_flags=draw.pick(7, (0, 0x08, 0x20, 0xC8)),
            is_request=isinstance(packet, Packet6) != (draw.pick(6, range(5)) == 0),
            error=draw.pick(7, errors),
        )
        entry: Entry = draw.pick(6, ("xdp", "tc"))
        return self.twin.send(packet, shape, entry)

    def _packet6(self, draw: Draw, to: Endpoint4, protocol: Protocol | None = None) -> Packet6:
        protocol = protocol or draw.pick(0, tuple(Protocol))
        source = Endpoint6(draw.pick(1, NODES), draw.pick(2, PORTS))
        address = rfc6052.embed(self._pref64(draw), to.address)
        port = source.port if protocol is Protocol.ICMP else to.port
        return Packet6(protocol, source, Endpoint6(address, port), self._flags(protocol, draw))

    def _flags(self, protocol: Protocol, draw: Draw) -> Flags:
        return draw.pick(5, FLAGS) if protocol is Protocol.TCP else Flags()

    def _pref64(self, draw: Draw) -> Any:
        return draw.pick(6, self.twin.gateway.pool6)

    def _bound(self, draw: Draw) -> tuple[Protocol, Endpoint4]:
        bindings = self.twin.state().bindings
        if bindings and draw.pick(4, range(8)):
            one = draw.pick(1, bindings)
            return one.protocol, one.ipv4
        protocol = draw.pick(0, tuple(Protocol))
        return protocol, self._any_end(protocol, draw)

    def _any_end(self, protocol: Protocol, draw: Draw) -> Endpoint4:
        first, last = self.twin.gateway.pools[0].ports.by_protocol()[protocol]
        address = draw.pick(1, self.twin.gateway.addresses)
        first, last = max(first - 2, 0), min(last + 2, 65535)  # some are none that clients get
        return Endpoint4(address, first + draw.numbers[2] % (last - first + 1))

    def _session(self, draw: Draw) -> Any:
        sessions = self.twin.state().sessions
        return draw.pick(1, sessions) if sessions else None


KINDS: Final = (
    (Traffic.inside, 8),
    (Traffic.outside, 4),
    (Traffic.hairpin, 3),
    (Traffic.again, 12),
    (Traffic.knocks, 4),
    (Traffic.meets, 6),
    (Traffic.error_from_outside, 3),
    (Traffic.error_from_inside, 3),
    (Traffic.stray, 1),
)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with raise_world(ROOM) as raised:
        yield raised


by_gateway = pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda one: one.name)


@by_gateway
def test_long_sequences(world: World, gateway: Gateway) -> None:
    gateway.configure(world)
    chance = random.Random(f"{os.environ.get('SEED', 6146)} {gateway.name}")
    twin = Twin(world, gateway)
    traffic = Traffic(twin)
    happened = [kind for kind, weight in KINDS for _ in range(weight)]
    forwarded, dropped = 0, set()
    for step in range(STEPS):
        draw = Draw(tuple(chance.randrange(1 << 16) for _ in range(8)))
        outcome = chance.choice(happened)(traffic, draw)
        forwarded += isinstance(outcome, Forward)
        if isinstance(outcome, Drop):
            dropped.add(outcome.reason)
        if step % 8 == 0:
            twin.wait(chance.choice(WAITS[: chance.choice((6, 10, len(WAITS)))]))
        if step % 5 == 0:
            twin.forget()
        if step % 20 == 0:
            twin.check_tables()
    assert forwarded > STEPS / 5, "it is about packets that go on"
    assert dropped >= gateway.reaches, "but not about these alone"
    twin.empty()


DRAWS = st.tuples(*[st.integers(0, 1 << 10)] * 8).map(Draw)


def machine(world: World, gateway: Gateway) -> type[RuleBasedStateMachine]:
    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.twin = Twin(world, gateway)
            self.traffic = Traffic(self.twin)

        @rule(draw=DRAWS)
        def inside(self, draw: Draw) -> None:
            self.traffic.inside(draw)

        @rule(draw=DRAWS)
        def outside(self, draw: Draw) -> None:
            self.traffic.outside(draw)

        @rule(draw=DRAWS)
        def hairpin(self, draw: Draw) -> None:
            self.traffic.hairpin(draw)

        @rule(draw=DRAWS)
        def again(self, draw: Draw) -> None:
            self.traffic.again(draw)

        @rule(draw=DRAWS)
        def knocks(self, draw: Draw) -> None:
            self.traffic.knocks(draw)

        @rule(draw=DRAWS)
        def meets(self, draw: Draw) -> None:
            self.traffic.meets(draw)

        @rule(draw=DRAWS)
        def error_from_outside(self, draw: Draw) -> None:
            self.traffic.error_from_outside(draw)

        @rule(draw=DRAWS)
        def error_from_inside(self, draw: Draw) -> None:
            self.traffic.error_from_inside(draw)

        @rule(draw=DRAWS)
        def stray(self, draw: Draw) -> None:
            self.traffic.stray(draw)

        @rule(seconds=st.sampled_from(WAITS))
        def wait(self, seconds: float) -> None:
            self.twin.wait(seconds)

        @rule()
        def forget(self) -> None:
            self.twin.forget()

        @invariant()
        def tables(self) -> None:
            if hasattr(self, "twin"):
                self.twin.check_tables()

        def teardown(self) -> None:
            if hasattr(self, "twin"):
                self.twin.empty()

    return Machine


@by_gateway
def test_hypothesis(world: World, gateway: Gateway) -> None:
    """What hypothesis finds it shrinks."""
    gateway.configure(world)
    run_state_machine_as_test(
        machine(world, gateway),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
