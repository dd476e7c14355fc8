# SPDX-License-Identifier: Apache-2.0
"""A stateful NAT64, one packet after another: RFC 6146 sections 3.4, 3.6 and 3.8.

Which tuple a packet has, and where what becomes of it goes. Section 3.5 is in `updating`.
"""

from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Final

from sixlane.rfc import icmp, rfc6052
from sixlane.rfc.rfc6146.config import Config
from sixlane.rfc.rfc6146.memory import Memory
from sixlane.rfc.rfc6146.outcome import (
    Drop,
    DropReason,
    Forward,
    NotOurs,
    Outcome,
    OwnError,
    Refused,
    Sent,
    Stored,
)
from sixlane.rfc.rfc6146.packets import (
    Endpoint4,
    Icmp4Error,
    Icmp6Error,
    Other4,
    Other6,
    Packet4,
    Packet6,
    Received4,
    Received6,
)
from sixlane.rfc.rfc6146.pool4 import Choose, Holding, lowest
from sixlane.rfc.rfc6146.tables import Binding, Session, StoredSyn
from sixlane.rfc.rfc6146.updating import Updating, check_global

PORT_UNREACHABLE6: Final = (icmp.UNREACHABLE6, 4)
PROHIBITED6: Final = (icmp.UNREACHABLE6, 1)
PROTOCOL_UNREACHABLE4: Final = (icmp.UNREACHABLE4, 2)


@dataclass(frozen=True)
class State:
    """All that a NAT64 remembers, as of `at` seconds of its clock.

    `holdings` may be left out: what clients hold is then what their bindings show.
    """

    at: float
    bindings: tuple[Binding, ...] = ()
    sessions: tuple[Session, ...] = ()
    stored_syns: tuple[StoredSyn, ...] = ()
    holdings: tuple[Holding, ...] = ()


class Nat64:
    """A stateful NAT64 on a clock of seconds that its callers move, never backwards.

    `strict`: a choice that is allowed, but not of the best rank, is an error, too.
    What rfc7915 refuses for a reason of the packet's own (TTL, options, types of ICMP, illegal
    sources) must be refused before: it may not make state.
    """

    def __init__(self, config: Config, *, strict: bool = True) -> None:
        self._config = config
        self._memory = Memory(config)
        self._updating = Updating(config, self._memory, strict=strict)

    @classmethod
    def restore(cls, config: Config, state: State, now: float, *, strict: bool = True) -> "Nat64":
        """Go on from `state` at `now`; remaining lifetimes stay, static BIB entries are config's.

        ValueError where `state` contradicts itself or `config`.
        """
        nat64 = cls(config, strict=strict)
        nat64._memory.pass_time(now)
        nat64._take_over(state, now - state.at)
        return nat64

    def receive(
        self, packet: Received6 | Received4, now: float, choose: Choose = lowest
    ) -> Outcome:
        """Return what is done with `packet` at `now`.

        `choose` is asked where a new binding is made and at least one endpoint may be had.
        IllegalChoice if it takes one that may not.
        """
        self._memory.pass_time(now)
        try:
            return self._process(packet, choose)
        except Refused as refused:
            return Drop(refused.reason, self._error(packet, refused.answer))

    def advance(self, now: float) -> tuple[Sent, ...]:
        """Return what time alone has sent until `now`, and since it was asked for last."""
        self._memory.pass_time(now)
        sent = tuple(self._memory.sent)
        self._memory.sent.clear()
        return sent

    def state(self, now: float) -> State:
        """Return bindings, sessions, stored SYNs and holdings that live at `now`."""
        self._memory.pass_time(now)
        tables = self._memory.tables
        return State(
            now,
            tuple(tables.bindings()),
            tuple(tables.sessions()),
            tuple(self._memory.stored.values()),
            self._memory.holdings.all(),
        )

    def _take_over(self, state: State, later: float) -> None:
        memory = self._memory
        for holding in state.holdings:
            memory.holdings.hold(holding)
        for binding in state.bindings:
            if not binding.static:
                self._take_over_binding(binding)
        for session in state.sessions:
            bound = memory.tables.binding4(session.protocol, session.source4)
            if bound is None or bound.ipv6 != session.source6:
                raise ValueError(f"no BIB entry for {session}")
            memory.open(replace(session, deadline=session.deadline + later))
        for binding in memory.tables.bindings():
            if not binding.static and memory.tables.is_idle(binding):
                raise ValueError(f"no session for {binding}")
        for held in memory.holdings.all():
            if not memory.holdings.bindings_of(held.client):
                raise ValueError(f"no BIB entry for {held}")
        for syn in state.stored_syns:
            memory.store(replace(syn, deadline=syn.deadline + later))

    def _take_over_binding(self, binding: Binding) -> None:
        tables = self._memory.tables
        if (
            tables.binding6(binding.protocol, binding.ipv6) is not None
            or tables.binding4(binding.protocol, binding.ipv4) is not None
        ):
            raise ValueError(f"one of the ends is bound twice: {binding}")
        client = self._config.client_of(binding.ipv6.address)
        if (objection := self._memory.holdings.objection(client, binding.ipv4)) is not None:
            raise ValueError(f"{binding}: {objection}")
        self._memory.bind(binding)

    # What is received

    def _process(self, packet: Received6 | Received4, choose: Choose) -> Outcome:
        match packet:
            case Packet6():
                return self._packet6(packet, choose)
            case Packet4():
                return self._packet4(packet)
            case Icmp6Error():
                return self._error6(packet)
            case Icmp4Error():
                return self._error4(packet)
            case Other6():
                return self._other6(packet)
            case Other4():
                return self._other4(packet)

    def _error(
        self, packet: Received6 | Received4, answer: tuple[int, int] | None
    ) -> OwnError | None:
        match packet:
            case Packet4():
                return self._memory.error_outside(packet, answer)
            case Packet6() | Other6() | Other4():
                return OwnError(*answer, packet) if answer else None
            case Icmp6Error() | Icmp4Error():
                return None

    def _packet6(self, packet: Packet6, choose: Choose) -> Outcome:
        pref64 = self._config.pref64_of(packet.destination.address)
        if pref64 is None:
            return NotOurs()
        self._check_source6(packet.source.address)
        address = rfc6052.extract(pref64, packet.destination.address)
        check_global(pref64, address, PROHIBITED6)
        destination = Endpoint4(address, packet.destination.port)
        translated = self._updating.from_inside(packet, pref64, destination, choose)
        return self._send_outside(translated)

    def _send_outside(self, packet: Packet4) -> Outcome:
        """Outside, or back inside if pool4 has the destination (hairpinning, section 3.8)."""
        if not self._config.serves(packet.protocol, packet.destination):
            return Forward(packet)
        try:
            return self._packet4(packet)
        except Refused as refused:
            error = self._memory.error_outside(packet, refused.answer)
            return Drop(refused.reason, error)

    def _packet4(self, packet: Packet4) -> Outcome:
        if not self._config.serves(packet.protocol, packet.destination):
            return NotOurs()
        translated = self._updating.from_outside(packet)
        return Forward(translated) if translated else Stored()

    def _other6(self, packet: Other6) -> Outcome:
        pref64 = self._config.pref64_of(packet.destination)
        if pref64 is None:
            return NotOurs()
        self._check_source6(packet.source)
        check_global(pref64, rfc6052.extract(pref64, packet.destination), PROHIBITED6)
        raise Refused(DropReason.PROTOCOL, PORT_UNREACHABLE6)

    def _other4(self, packet: Other4) -> Outcome:
        if not self._config.serves_address(packet.destination):
            return NotOurs()
        raise Refused(DropReason.PROTOCOL, PROTOCOL_UNREACHABLE4)

    # ICMP errors (sections 3.4 and 3.6.1): translated by the session of what they quote, which
    # went the other way. They neither make state nor extend its life.

    def _error6(self, error: Icmp6Error) -> Outcome:
        pref64 = self._config.pref64_of(error.destination)
        if pref64 is None:
            return NotOurs()
        self._check_source6(error.source)
        quoted = error.quoted
        if quoted is None or quoted.source.address != error.destination:
            raise Refused(DropReason.ICMP_NO_SESSION)
        peer = Endpoint4(rfc6052.extract(pref64, error.destination), quoted.source.port)
        session = self._memory.tables.session6(quoted.protocol, quoted.destination, pref64, peer)
        if session is None:
            raise Refused(DropReason.ICMP_NO_SESSION)
        about = session.to_inside4(quoted.flags)
        # Whoever inside sends it, outside it comes from (T,t): nobody else has an IPv4 address.
        translated = Icmp4Error(session.source4.address, about.source.address, about)
        if self._config.serves(about.protocol, about.source):
            return self._error4(translated)
        return Forward(translated)

    def _error4(self, error: Icmp4Error) -> Outcome:
        if not self._config.serves_address(error.destination):
            return NotOurs()
        quoted = error.quoted
        if quoted is None or quoted.source.address != error.destination:
            raise Refused(DropReason.ICMP_NO_SESSION)
        if not self._config.serves(quoted.protocol, quoted.source):
            return NotOurs()
        tables = self._memory.tables
        session = tables.session4(quoted.protocol, quoted.source, quoted.destination)
        if session is None:
            raise Refused(DropReason.ICMP_NO_SESSION)
        # A router on the way keeps its own address, embedded, so that traces show it.
        check_global(session.pref64, error.source)
        source = rfc6052.embed(session.pref64, error.source)
        about = session.from_inside6(quoted.flags)
        return Forward(Icmp6Error(source, about.source.address, about))

    def _check_source6(self, source: IPv6Address) -> None:
        """A source inside a Pref64 would make packets go round (sections 3.5 and 5.4)."""
        if self._config.pref64_of(source) is not None:
            raise Refused(DropReason.SOURCE_IN_PREF64)
