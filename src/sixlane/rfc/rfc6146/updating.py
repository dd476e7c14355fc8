# SPDX-License-Identifier: Apache-2.0
"""Filtering, and updating of binding and session information (RFC 6146 section 3.5).

What a packet opens, extends or is refused by; and the tuple with which it goes on.
"""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from sixlane.rfc import icmp, rfc6052
from sixlane.rfc.rfc6146.config import Config
from sixlane.rfc.rfc6146.memory import PORT_UNREACHABLE4, Memory
from sixlane.rfc.rfc6146.outcome import DropReason, Refused
from sixlane.rfc.rfc6146.packets import (
    Endpoint4,
    Endpoint6,
    Flags,
    Packet4,
    Packet6,
    Protocol,
)
from sixlane.rfc.rfc6146.pool4 import Candidates, Choose, judge
from sixlane.rfc.rfc6146.tables import Binding, Session, StoredSyn, session_end
from sixlane.rfc.rfc6146.tcp import Segment, Side, TcpState, step

ADDRESS_UNREACHABLE6: Final = (icmp.UNREACHABLE6, 3)
HOST_UNREACHABLE4: Final = (icmp.UNREACHABLE4, 1)
PROHIBITED4: Final = (icmp.UNREACHABLE4, 13)


class Updating:
    """The rules over what is remembered. Who breaks one is Refused, and changes nothing."""

    def __init__(self, config: Config, memory: Memory, *, strict: bool) -> None:
        self._config = config
        self._memory = memory
        self._strict = strict

    # From IPv6 to IPv4

    def from_inside(
        self, packet: Packet6, pref64: IPv6Network, destination: Endpoint4, choose: Choose
    ) -> Packet4:
        """Return what `packet` to `destination` under `pref64` becomes. Refused if nothing."""
        session = self._memory.tables.session6(packet.protocol, packet.source, pref64, destination)
        if session is not None:
            return self._refresh(session, Side.V6, packet.flags).from_inside4(packet.flags)
        binding = self._memory.tables.binding6(packet.protocol, packet.source)
        if packet.protocol is Protocol.TCP and Segment.of(packet.flags) is not Segment.SYN:
            return self._closed_from_inside(packet, binding, destination)
        if binding is not None:
            self._check_tuple_is_free(binding, destination)
        self._check_session_limits(packet.source.address, ADDRESS_UNREACHABLE6)
        if binding is None:
            binding = self._bind(packet, pref64, destination, choose)
        opened = self._open_from_inside(binding, pref64, destination)
        return opened.from_inside4(packet.flags)

    def _closed_from_inside(
        self, packet: Packet6, binding: Binding | None, destination: Endpoint4
    ) -> Packet4:
        """CLOSED, no SYN: translated by the binding, if there is one; nothing is remembered."""
        if binding is None:
            raise Refused(DropReason.NO_BINDING)
        return Packet4(packet.protocol, binding.ipv4, destination, packet.flags)

    def _bind(
        self, packet: Packet6, pref64: IPv6Network, destination: Endpoint4, choose: Choose
    ) -> Binding:
        """Make a BIB entry; the choice of (T,t) is another's, but is judged here."""
        client = self._config.client_of(packet.source.address)
        reason = self._memory.full_for_binding(client)
        if reason is not None:
            raise Refused(reason, ADDRESS_UNREACHABLE6)
        candidates = self._candidates(packet, client, destination)
        if candidates.lowest() is None:
            raise Refused(DropReason.NO_PORT, ADDRESS_UNREACHABLE6)
        chosen = choose(candidates)
        judge(candidates, chosen, strict=self._strict)
        binding = Binding(packet.protocol, packet.source, chosen, pref64)
        self._memory.bind(binding)
        return binding

    def _candidates(
        self, packet: Packet6, client: IPv6Network, destination: Endpoint4
    ) -> Candidates:
        protocol, node = packet.protocol, packet.source
        is_tcp = protocol is Protocol.TCP
        return Candidates(
            protocol,
            node.port,
            client,
            self._config.pools_of(node.address),
            self._memory.holdings,
            is_free=lambda one: self._memory.tables.binding4(protocol, one) is None,
            stored_syns=self._memory.stored_for(destination) if is_tcp else frozenset(),
            node_addresses=self._config.static_addresses_of(node.address),
        )

    def _open_from_inside(
        self, binding: Binding, pref64: IPv6Network, destination: Endpoint4
    ) -> Session:
        if binding.protocol is not Protocol.TCP:
            lifetime = self._config.lifetimes.of_protocol(binding.protocol)
            return self._open(binding, pref64, destination, None, lifetime)
        # Simultaneous open: the stored SYN goes, its sender will repeat it (RFC 5382 REQ-4).
        if self._memory.stored.pop((binding.ipv4, destination), None) is not None:
            lifetime = self._config.lifetimes.tcp_est
            return self._open(binding, pref64, destination, TcpState.ESTABLISHED, lifetime)
        lifetime = self._config.lifetimes.tcp_trans
        return self._open(binding, pref64, destination, TcpState.V6_INIT, lifetime)

    # From IPv4 to IPv6

    def from_outside(self, packet: Packet4) -> Packet6 | None:
        """Return what `packet` becomes, None if it is stored. Refused if neither."""
        tables = self._memory.tables
        session = tables.session4(packet.protocol, packet.destination, packet.source)
        if session is not None:
            return self._refresh(session, Side.V4, packet.flags).to_inside6(packet.flags)
        if packet.protocol is Protocol.TCP:
            return self._closed_from_outside(packet)
        return self._first_from_outside(packet)

    def _first_from_outside(self, packet: Packet4) -> Packet6:
        """UDP, or a query, without a session: it needs a binding and has to pass the filter."""
        binding = self._memory.tables.binding4(packet.protocol, packet.destination)
        if binding is None:
            is_query = packet.protocol is Protocol.ICMP
            answer = HOST_UNREACHABLE4 if is_query else PORT_UNREACHABLE4
            raise Refused(DropReason.NO_BINDING, self._to_stranger(answer))
        self._filter(binding, packet.source.address)
        lifetime = self._config.lifetimes.of_protocol(packet.protocol)
        return self._open_from_outside(binding, packet, None, lifetime).to_inside6(packet.flags)

    def _closed_from_outside(self, packet: Packet4) -> Packet6 | None:
        """CLOSED: a SYN opens a session or is stored, anything else goes by the binding."""
        binding = self._memory.tables.binding4(packet.protocol, packet.destination)
        if Segment.of(packet.flags) is Segment.SYN:
            return self._syn_from_outside(packet, binding)
        if binding is None:
            raise Refused(DropReason.NO_BINDING)
        self._filter(binding, packet.source.address)
        check_global(binding.pref64, packet.source.address, PROHIBITED4)
        address = rfc6052.embed(binding.pref64, packet.source.address)
        source = Endpoint6(address, packet.source.port)
        return Packet6(packet.protocol, source, binding.ipv6, packet.flags)

    def _syn_from_outside(self, packet: Packet4, binding: Binding | None) -> Packet6 | None:
        if self._config.drop_external_syns:
            raise Refused(DropReason.FILTERED)
        if (packet.destination, packet.source) in self._memory.stored:
            raise Refused(DropReason.SYN_IS_STORED)
        if binding is None or self._config.address_dependent_filtering:
            self._store(packet)
            return None
        lifetime = self._config.lifetimes.tcp_trans
        opened = self._open_from_outside(binding, packet, TcpState.V4_INIT, lifetime)
        return opened.to_inside6(packet.flags)

    def _store(self, packet: Packet4) -> None:
        if self._memory.full_for_syn(packet.source):
            raise Refused(DropReason.STORED_SYN_LIMIT)
        lifetime = self._config.lifetimes.tcp_incoming_syn
        self._memory.store(StoredSyn(packet, self._memory.now + lifetime))

    def _open_from_outside(
        self, binding: Binding, packet: Packet4, state: TcpState | None, lifetime: float
    ) -> Session:
        check_global(binding.pref64, packet.source.address, PROHIBITED4)
        self._check_session_limits(binding.ipv6.address)
        return self._open(binding, binding.pref64, packet.source, state, lifetime)

    # What both directions do

    def _open(
        self,
        binding: Binding,
        pref64: IPv6Network,
        destination: Endpoint4,
        state: TcpState | None,
        lifetime: float,
    ) -> Session:
        end = session_end(binding.protocol, destination)
        deadline = self._memory.now + lifetime
        session = Session(
            binding.protocol, binding.ipv6, binding.ipv4, end, pref64, state, deadline
        )
        self._memory.open(session)
        return session

    def _refresh(self, session: Session, side: Side, flags: Flags) -> Session:
        """Return what a packet makes of its session."""
        state, lifetime = self._step(session, side, flags)
        if side is Side.V4 and state is session.state and not self._config.refresh_from_outside:
            lifetime = None
        deadline = session.deadline if lifetime is None else self._memory.now + lifetime
        refreshed = replace(session, state=state, deadline=deadline)
        self._memory.keep(refreshed)
        return refreshed

    def _step(
        self, session: Session, side: Side, flags: Flags
    ) -> tuple[TcpState | None, float | None]:
        """The state after a packet, and the lifetime that it gives, None: none."""
        lifetimes = self._config.lifetimes
        if session.state is None:
            return None, lifetimes.of_protocol(session.protocol)
        state, timer = step(session.state, side, Segment.of(flags))
        return state, lifetimes.of_timer(timer)

    def _filter(self, binding: Binding, source: IPv4Address) -> None:
        """Address-dependent filtering: in comes who has been sent something (section 3.5.1)."""
        if not self._config.address_dependent_filtering:
            return
        if not self._memory.tables.knows(binding, source):
            raise Refused(DropReason.FILTERED, self._to_stranger(PROHIBITED4))

    def _to_stranger(self, answer: tuple[int, int]) -> tuple[int, int] | None:
        return answer if self._config.answer_strangers else None

    def _check_tuple_is_free(self, binding: Binding, destination: Endpoint4) -> None:
        """Two Pref64s cannot share an IPv4 tuple: answers would not know the way back."""
        tables = self._memory.tables
        if tables.session4(binding.protocol, binding.ipv4, destination) is not None:
            raise Refused(DropReason.PREF64_CONFLICT, ADDRESS_UNREACHABLE6)

    def _check_session_limits(
        self, node: IPv6Address, answer: tuple[int, int] | None = None
    ) -> None:
        reason = self._memory.full_for_session(self._config.client_of(node))
        if reason is not None:
            raise Refused(reason, answer)


def check_global(
    pref64: IPv6Network, address: IPv4Address, answer: tuple[int, int] | None = None
) -> None:
    """Refuse what 64:ff9b::/96 must not stand for (RFC 6052 section 3.1)."""
    if pref64 == rfc6052.WELL_KNOWN and not rfc6052.is_global(address):
        raise Refused(DropReason.NOT_GLOBAL, answer)
