# SPDX-License-Identifier: Apache-2.0
"""The data path and the stateful reference side by side: each packet goes through both, on one
clock, and so must come out of both; tables are compared, too.

Where the two may differ stands in `Twin.wait` (time) and `_forgives` (answers).
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any, Final

from sixlane.datapath import layout
from sixlane.datapath.clock import jiffies_per_second
from sixlane.datapath.layout import SessionProtocol, SessionState
from sixlane.datapath.pools import PORTS_OF_WORD
from sixlane.nat64 import port_unreachable, probe_segment
from sixlane.rfc.rfc6146 import (
    Binding,
    Candidates,
    Drop,
    DropReason,
    Endpoint4,
    Endpoint6,
    Forward,
    Nat64,
    NotOurs,
    Outcome,
    Packet4,
    Packet6,
    Probe,
    Protocol,
    Segment,
    Sent,
    Session,
    State,
    Stored,
    TcpState,
)
from tests.diff import wire
from tests.diff.gateways import LIFETIMES, NUMBERS, Gateway
from tests.diff.wire import Any4, Any6, Shape
from tests.index import INDICES, slots_of
from tests.world import Entry, Seen, World

UNSEEN_S = 2
"""How much longer a session may live than its lifetime says (UNSEEN_SECONDS in session.h)."""
ENDING_S = UNSEEN_S + 1
"""And a binding, whose end is kept in whole seconds."""
MARGIN_S = 0.5
"""A packet is not sent as close to the end of a session: time goes on while tests run."""

PROTOCOLS: Final = {number: protocol for protocol, number in NUMBERS.items()}
STATES: Final = {
    SessionState.SESSION_OPEN: None,
    SessionState.SESSION_V4_INIT: TcpState.V4_INIT,
    SessionState.SESSION_V6_INIT: TcpState.V6_INIT,
    SessionState.SESSION_ESTABLISHED: TcpState.ESTABLISHED,
    SessionState.SESSION_V4_FIN: TcpState.V4_FIN_RCV,
    SessionState.SESSION_V6_FIN: TcpState.V6_FIN_RCV,
    SessionState.SESSION_BOTH_FIN: TcpState.V4_FIN_V6_FIN_RCV,
    SessionState.SESSION_TRANS: TcpState.TRANS,
}
STATE_BITS: Final = int(SessionState.SESSION_STATE_BITS)
LIMITS: Final = (DropReason.SESSION_LIMIT, DropReason.CLIENT_SESSION_LIMIT)

PLAIN: Final = Shape()

Any46 = Any4 | Any6
Key = tuple[Protocol, Endpoint6]
Endpoint = Endpoint4 | Endpoint6


class Twin:
    """One Gateway, in both. `world` may be used again: the tables must be empty by then."""

    def __init__(self, world: World, gateway: Gateway) -> None:
        self.gateway = gateway
        self.world = world
        self.config = gateway.reference()
        self.nat64 = Nat64(self.config, strict=gateway.sweeps)
        self.now = 0.0
        self.story: list[str] = []
        """What was done, to be read where the two differ."""
        self._stored: dict[tuple[Endpoint, Endpoint], bytes] = {}
        """SYNs that wait, as they came, by their ends."""
        self._set_at = 0.0
        self._zero = self._jiffies()
        self._keep_time()

    # Time

    def wait(self, seconds: float, *, sweep: bool | None = None) -> None:
        """Let the clock go on by that, and as far beyond as nothing is about to end.

        There, sessions may live UNSEEN_S longer in the data path. What time has sent by then is
        compared, if somebody sweeps: nobody else would send it.
        """
        target = self.now + seconds
        while later := [end for begin, end in self._dubious() if begin < target < end]:
            target = max(later)
        self.story.append(f"wait({target - self.now})")
        self.now = target
        self.world.datapath.forget_next_hops()
        self._keep_time(exactly=True)
        if self.gateway.sweeps if sweep is None else sweep:
            self.sweep()

    def forget(self) -> None:
        """Have nothing be remembered of single flows: packets go by their sessions."""
        self.story.append("forget")
        self.world.datapath.forget_next_hops()

    def sweep(self) -> None:
        """Take out what has ended, as the agent does; it sends what the reference says."""
        sent, due = self.take_out(), self.nat64.advance(self.now)
        if not self.gateway.sweeps:
            return  # most of what was due then nobody sends any more
        wanted = [self._due(one) for one in due]
        assert sorted(map(wire.canonical, sent)) == sorted(
            wire.canonical(one) for one in wanted if one
        ), self._tell((sent, wanted))

    def take_out(self) -> list[bytes]:
        """What has ended; returns what is to be sent."""
        self._keep_time(exactly=True)
        datapath = self.world.datapath
        sent = [port_unreachable(syn) for syn in datapath.sweep_syns()]
        swept = datapath.sweep_sessions(0, self._map("sessions").info.max_entries)
        self._nobody_sweeps()
        return sent + [probe_segment(probe) for probe in swept.probes]

    def _due(self, sent: Sent) -> bytes | None:
        """What time has sent, as bytes; None: nobody sends it so late."""
        if isinstance(sent.what, Probe):
            is_over = sent.at + LIFETIMES.tcp_trans <= self.now
            return None if is_over else wire.probe(sent.what.to_inside)
        about = sent.what.about
        assert isinstance(about, Packet4 | Packet6)
        raw = self._stored.pop((about.source, about.destination))
        return wire.own_error(sent.what, raw, about.destination.address)

    def _dubious(self) -> Iterator[tuple[float, float]]:
        state = self.state()
        for syn in state.stored_syns:
            yield syn.deadline - MARGIN_S, syn.deadline + MARGIN_S
        for session in state.sessions:
            deadline = session.deadline
            yield deadline - MARGIN_S, deadline + ENDING_S + MARGIN_S
            if session.state is TcpState.ESTABLISHED:
                deadline += LIFETIMES.tcp_trans
                yield deadline - MARGIN_S, deadline + ENDING_S + MARGIN_S

    def _keep_time(self, *, exactly: bool = False) -> None:
        """Have the data path's clock stand where ours does."""
        if not exactly and time.monotonic() - self._set_at < MARGIN_S / 5:
            return
        wanted = self._zero + round(self.now * jiffies_per_second())
        clock = self._map("clock_offset")
        offset = int.from_bytes(clock.lookup(bytes(4)) or b"", "little")
        offset += wanted - self._jiffies()
        clock.update(bytes(4), (offset % (1 << 64)).to_bytes(8, "little"))
        self._set_at = time.monotonic()

    def _jiffies(self) -> int:
        program = self.world.datapath.program("sweep_sessions")
        _, told = program.call(layout.Sweep(first=0, count=0))
        return layout.Sweep.from_buffer_copy(told).now

    def _nobody_sweeps(self) -> None:
        """Unless somebody does: that was no agent, and new sessions look for those that ended."""
        if not self.gateway.sweeps:
            sweepings = self._map("sweepings")
            sweeping = layout.Sweeping.from_buffer_copy(sweepings.lookup(bytes(4)) or b"")
            sweeping.by_agent_jiffies = 0
            sweepings.update(bytes(4), bytes(sweeping))

    # Packets

    def state(self) -> State:
        """What the reference remembers by now."""
        return self.nat64.state(self.now)

    def send(self, packet: Any46, shape: Shape = PLAIN, entry: Entry = "xdp") -> Outcome:
        """Send it through both; AssertionError if they differ."""
        self.story.append(f"{entry} {packet} {shape}")
        self._keep_time()
        raw = wire.write(packet, shape)
        seen = self.world.send(raw, entry)
        outcome = self.nat64.receive(packet, self.now, lambda one: self._chosen(packet, one))
        self._compare(packet, raw, shape, seen, outcome)
        if isinstance(outcome, Stored):
            assert isinstance(packet, Packet4 | Packet6)
            self._stored[packet.source, packet.destination] = raw
        return outcome

    def _chosen(self, packet: Any46, candidates: Candidates) -> Endpoint4:
        assert isinstance(packet, Packet6)
        found = self._binding_of(packet.protocol, packet.source)
        assert found is not None, self._tell(f"no binding for {packet}")
        return Endpoint4(IPv4Address(found.pool), found.pool_port)

    def _compare(
        self, packet: Any46, raw: bytes, shape: Shape, seen: Seen, outcome: Outcome
    ) -> None:
        wanted = self._wanted(raw, shape, outcome)
        got = self._got(seen)
        if got != wanted and not _forgives(self.gateway, packet, outcome, seen):
            raise AssertionError(
                f"{self.gateway.name}: {packet}\nreference: {outcome}\n"
                f"seen: {seen.verdict} {self.world.counted()} {seen.packet.hex()}\n"
                f"got    {got}\nwanted {wanted}\n" + "\n".join(self.story[-12:])
            )

    def _wanted(self, raw: bytes, shape: Shape, outcome: Outcome) -> tuple[str, bytes]:
        match outcome:
            case NotOurs():
                return "pass", b""
            case Forward():
                packet = wire.write(outcome.packet, shape, wire.LIMIT - 1)
                return "redirect", wire.canonical(packet)
            case Drop(error=None) | Stored():
                return "drop", b""
            case Drop(error=error):
                assert error is not None
                translator = self.gateway.translator
                own: Any = translator.icmp_source4 if raw[0] >> 4 == 4 else translator.icmp_source6
                return "redirect", wire.canonical(wire.own_error(error, raw, own))
        raise AssertionError(f"{outcome} is not to be had")

    def _got(self, seen: Seen) -> tuple[str, bytes]:
        if seen.verdict != "redirect":
            return seen.verdict, b""
        return seen.verdict, wire.canonical(seen.packet)

    # Tables

    def check_tables(self) -> None:
        """Sessions, bindings, and what is counted of them."""
        self._keep_time(exactly=True)
        state = self.state()
        found = self._found_sessions()
        wanted = {_key(session): session for session in state.sessions}
        alive = {
            key: session for key, session in found.items() if session.deadline + UNSEEN_S > self.now
        }
        assert alive.keys() == wanted.keys(), self._tell(alive.keys() ^ wanted.keys())
        for key, session in wanted.items():
            one = alive[key]
            late = one.deadline - session.deadline
            assert -1 - MARGIN_S < late < MARGIN_S, self._tell((session, one, late))
            assert replace(one, deadline=session.deadline) == session, self._tell((one, session))
        self._check_bindings(state)
        if self.gateway.sweeps:
            assert len(found) == len(wanted)
            self._check_clients(state)

    def _tell(self, what: object) -> str:
        return f"{self.gateway.name}: {what}\n" + "\n".join(self.story[-12:])

    def _check_bindings(self, state: State) -> None:
        wanted = {(one.protocol, one.ipv6): one for one in state.bindings}
        found: dict[Key, Binding] = {}
        for record in self._bindings():
            protocol = PROTOCOLS[SessionProtocol(record.protocol)]
            inside = Endpoint6(_address(record.inside), record.inside_port)
            assert (protocol, inside) not in found, self._tell((protocol, inside))
            end = Endpoint4(IPv4Address(record.pool), record.pool_port)
            pref64 = self._pref64(record.prefix)
            found[protocol, inside] = Binding(protocol, inside, end, pref64)
            if self.gateway.sweeps:
                under = sum(
                    one.protocol is protocol and one.source6 == inside for one in state.sessions
                )
                assert record.sessions == under, self._tell((record.sessions, under, inside))
        if self.gateway.sweeps:
            assert found == wanted, self._tell((found, wanted))
        else:
            kept = {key: one for key, one in found.items() if key in wanted}
            assert kept == {
                key: replace(one, pref64=kept[key].pref64) for key, one in wanted.items()
            }, self._tell((kept, wanted))

    def _check_clients(self, state: State) -> None:
        found = {}
        for raw, value in self._map("clients").items():
            client = layout.Client.from_buffer_copy(value)
            network = IPv6Network((int(_address(layout.Addr.from_buffer_copy(raw))), 64))
            halves = (half >> shift & 0xFFFF for half in client.blocks for shift in (0, 16))
            blocks = frozenset((half - 1) * PORTS_OF_WORD for half in halves if half)
            found[network] = (self._pool_address(client.address), blocks)
            bindings = [
                one for one in state.bindings if self.config.client_of(one.ipv6.address) == network
            ]
            sessions = [
                one
                for one in state.sessions
                if self.config.client_of(one.source6.address) == network
            ]
            assert (client.bindings, client.sessions) == (len(bindings), len(sessions))
        wanted = {one.client: (one.address, one.blocks) for one in state.holdings}
        assert found == wanted, self._tell((found, wanted))

    def empty(self) -> None:
        """Let all end, and see that nothing is left of it."""
        self.wait(2 * LIFETIMES.tcp_est, sweep=True)
        state = self.state()
        assert not state.bindings and not state.sessions
        for name in INDICES:
            assert not slots_of(self._map(name)), self._tell(name)
        for name in ("clients", "filters4"):
            assert not list(self._map(name).items()), self._tell(name)
        assert not any(
            layout.StoredSyn.from_buffer_copy(v).until for _, v in self._map("syns").items()
        )
        for name in ("used4", "blocks4"):
            for key, value in self._map(name).items():
                number = int.from_bytes(value, "little")
                assert number in (0, 1 << 31), self._tell((name, key, value))

    def _found_sessions(self) -> dict[tuple[Any, ...], Session]:
        """By their keys of the reference; both indices lead to each. Deadlines are ours."""
        found: dict[tuple[Any, ...], Session] = {}
        slots = slots_of(self._map("sessions6"))
        assert slots == slots_of(self._map("sessions4")), self._tell("a session of one side alone")
        for slot in slots:
            value = self._map("sessions").lookup(slot.to_bytes(4, "little")) or b""
            record = layout.Session.from_buffer_copy(value)
            assert record.word, self._tell("a session that has gone")
            protocol = PROTOCOLS[SessionProtocol(record.protocol)]
            state, until = (
                SessionState(record.word & (1 << STATE_BITS) - 1),
                record.word >> STATE_BITS,
            )
            until -= self._zero
            lapsed = round(self.now * jiffies_per_second()) >= until
            if state is SessionState.SESSION_ESTABLISHED and lapsed:
                state = SessionState.SESSION_TRANS  # nobody has noted it
                until += round(LIFETIMES.tcp_trans * jiffies_per_second())
            session = Session(
                protocol,
                Endpoint6(_address(record.inside), record.inside_port),
                Endpoint4(IPv4Address(record.pool), record.pool_port),
                Endpoint4(IPv4Address(record.remote), record.remote_port),
                self._pref64(record.prefix),
                STATES[state],
                until / jiffies_per_second() - UNSEEN_S,
            )
            assert _key(session) not in found, self._tell(session)
            found[_key(session)] = session
        return found

    def _binding_of(self, protocol: Protocol, inside: Endpoint6) -> layout.Binding | None:
        wanted = (bytes(_addr(inside.address)), inside.port, NUMBERS[protocol])
        for record in self._bindings():
            if (bytes(record.inside), record.inside_port, record.protocol) == wanted:
                return record
        return None

    def _bindings(self) -> Iterator[layout.Binding]:
        for slot in slots_of(self._map("bindings6")):
            value = self._map("bindings").lookup(slot.to_bytes(4, "little")) or b""
            yield layout.Binding.from_buffer_copy(value)

    def _pool_address(self, index: int) -> IPv4Address:
        for pool in self.gateway.pools:
            for network, first in pool.networks.items():
                if 0 <= index - first < network.num_addresses:
                    return network[index - first]
        raise AssertionError(f"{index} is no address of pool4")

    def _pref64(self, id: int) -> IPv6Network:
        names = {number: name for name, number in self.world.datapath.prefix_ids().items()}
        return next(
            one.network for one in self.gateway.translator.prefixes if one.name == names[id]
        )

    def _map(self, name: str) -> Any:
        return self.world.datapath.maps()[name]


def _forgives(gateway: Gateway, packet: Any46, outcome: Outcome, seen: Seen) -> bool:
    """Differences that the RFC leaves open."""
    if isinstance(outcome, Drop) and outcome.reason is DropReason.NO_BINDING:
        return seen.verdict == "drop"  # "may send an ICMP error": the data path does not
    if isinstance(outcome, Drop) and outcome.reason in (DropReason.FILTERED, DropReason.NOT_GLOBAL):
        # Nor has a segment to be answered, from outside or of a hairpin; SYNs must not be.
        if not isinstance(packet, Packet4 | Packet6) or packet.protocol is not Protocol.TCP:
            return False
        told = isinstance(packet, Packet6) and Segment.of(packet.flags) is not Segment.SYN
        own = gateway.translator.icmp_source6
        return seen.verdict == "drop" or (told and wire.is_from(seen.packet, own))
    if isinstance(outcome, Drop) and outcome.reason in LIMITS and outcome.error is None:
        # Nothing is said of what is told to those who call somebody: the data path tells.
        translator = gateway.translator
        four = isinstance(packet, Packet4)
        return wire.is_from(
            seen.packet, translator.icmp_source4 if four else translator.icmp_source6
        )
    return False


def _key(session: Session) -> tuple[Any, ...]:
    return session.protocol, session.source6, session.destination6


def _address(addr: layout.Addr) -> IPv6Address:
    return IPv6Address(int(addr.hi) << 64 | int(addr.lo))


def _addr(address: IPv6Address) -> layout.Addr:
    return layout.Addr(int(address) >> 64, int(address) & (1 << 64) - 1)
