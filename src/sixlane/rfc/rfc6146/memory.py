# SPDX-License-Identifier: Apache-2.0
"""What a NAT64 remembers, and what time does to it (RFC 6146 sections 3.1, 3.5.2.2 and 5.3)."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Network
from typing import Final

from sixlane.rfc import icmp
from sixlane.rfc.rfc6146.config import Config
from sixlane.rfc.rfc6146.outcome import DropReason, OwnError, Probe, Sent
from sixlane.rfc.rfc6146.packets import ACK, Endpoint4, Packet4
from sixlane.rfc.rfc6146.pool4 import Holdings
from sixlane.rfc.rfc6146.tables import Binding, Session, StoredSyn, Tables
from sixlane.rfc.rfc6146.tcp import TcpState

PORT_UNREACHABLE4: Final = (icmp.UNREACHABLE4, 3)


class Memory:
    """Tables, stored SYNs and what clients hold, always as of `now`.

    `sent`: what time alone has sent, until somebody asks for it.
    """

    def __init__(self, config: Config) -> None:
        self.now = 0.0
        self.tables = Tables()
        self.holdings = Holdings(config.blocks)
        self.stored: dict[tuple[Endpoint4, Endpoint4], StoredSyn] = {}
        self.sent: list[Sent] = []
        self._config = config
        self._sessions_of: Counter[IPv6Network] = Counter()
        self._session_count = 0
        self._binding_count = 0
        self._earliest = math.inf
        for entry in config.static:
            pref64 = entry.pref64 or config.pool6[0]
            self.tables.add_binding(
                Binding(entry.protocol, entry.ipv6, entry.ipv4, pref64, static=True)
            )

    def pass_time(self, now: float) -> None:
        """End what is due until `now`, each at its own time. ValueError if `now` is in the past."""
        if now < self.now:
            raise ValueError(f"the clock stands at {self.now}, which is later than {now}")
        self.now = now
        # Again, for what is over as ESTABLISHED may be over as TRANS, too.
        while now >= self._earliest:
            due = (one for one in self._mortal() if one.deadline <= now)
            for one in sorted(due, key=_deadline):
                self._expire(one)
            self._earliest = min(map(_deadline, self._mortal()), default=math.inf)

    def bind(self, binding: Binding) -> None:
        """Add a dynamic BIB entry, which was found to be allowed; a session must follow."""
        self.tables.add_binding(binding)
        self.holdings.take(self._client(binding), binding.ipv4)
        self._binding_count += 1

    def open(self, session: Session) -> None:
        """Add a new session under its binding."""
        self._sessions_of[self._client_of(session)] += 1
        self._session_count += 1
        self.keep(session)

    def keep(self, session: Session) -> None:
        """Put a session in place of what it was before."""
        self.tables.put(session)
        self._earliest = min(self._earliest, session.deadline)

    def store(self, syn: StoredSyn) -> None:
        """Keep a SYN from outside."""
        self.stored[syn.packet.destination, syn.packet.source] = syn
        self._earliest = min(self._earliest, syn.deadline)

    def stored_for(self, source: Endpoint4) -> frozenset[Endpoint4]:
        """Return the endpoints of pool4 to which `source` has sent SYNs that are stored."""
        return frozenset(ours for ours, theirs in self.stored if theirs == source)

    def full_for_binding(self, client: IPv6Network) -> DropReason | None:
        """Return which limit one more dynamic binding would break."""
        limits = self._config.limits
        if _is_reached(limits.bindings, self._binding_count):
            return DropReason.BINDING_LIMIT
        if _is_reached(limits.client_bindings, self.holdings.bindings_of(client)):
            return DropReason.CLIENT_BINDING_LIMIT
        return None

    def full_for_session(self, client: IPv6Network) -> DropReason | None:
        """Return which limit one more session would break."""
        limits = self._config.limits
        if _is_reached(limits.sessions, self._session_count):
            return DropReason.SESSION_LIMIT
        if _is_reached(limits.client_sessions, self._sessions_of[client]):
            return DropReason.CLIENT_SESSION_LIMIT
        return None

    def full_for_syn(self, source: Endpoint4) -> bool:
        """Tell whether one more stored SYN, from `source`, would be too many."""
        limits = self._config.limits
        return _is_reached(limits.stored_syns, len(self.stored)) or _is_reached(
            limits.peer_syns, len(self.stored_for(source))
        )

    def error_outside(self, about: Packet4, answer: tuple[int, int] | None) -> OwnError | None:
        """Return the error about a packet that came by IPv4.

        That of a hairpin came from inside: its sender gets what becomes of the error on its way
        back (section 3.8), None where no session leads there any more.
        """
        if answer is None:
            return None
        if not self._config.serves(about.protocol, about.source):
            return OwnError(*answer, about)
        session = self.tables.session4(about.protocol, about.source, about.destination)
        error = icmp.error_46(*answer, 0)
        if session is None or error is None:
            return None
        return OwnError(error.type, error.code, session.from_inside6(about.flags))

    def _mortal(self) -> Iterator[Session | StoredSyn]:
        yield from self.tables.sessions()
        yield from self.stored.values()

    def _expire(self, what: Session | StoredSyn) -> None:
        if isinstance(what, StoredSyn):
            self._expire_syn(what)
        elif what.state is TcpState.ESTABLISHED:
            self._probe(what)
        else:
            self._close(what)

    def _expire_syn(self, syn: StoredSyn) -> None:
        """V4 INIT is over: Port Unreachable, with the stored SYN in it."""
        del self.stored[syn.packet.destination, syn.packet.source]
        error = self.error_outside(syn.packet, PORT_UNREACHABLE4)
        if error is not None:
            self.sent.append(Sent(syn.deadline, error))

    def _probe(self, session: Session) -> None:
        """ESTABLISHED is over: whoever lives answers the probe while the session is in TRANS."""
        probe = Probe(session.to_inside6(ACK), session.from_inside4(ACK))
        self.sent.append(Sent(session.deadline, probe))
        deadline = session.deadline + self._config.lifetimes.tcp_trans
        self.tables.put(replace(session, state=TcpState.TRANS, deadline=deadline))

    def _close(self, session: Session) -> None:
        """Take it out, and a dynamic binding with its last session (section 3.1)."""
        self.tables.remove(session)
        self._session_count -= 1
        self._sessions_of[self._client_of(session)] -= 1
        binding = self.tables.binding4(session.protocol, session.source4)
        assert binding is not None, "a session is under a binding"
        if not binding.static and self.tables.is_idle(binding):
            self.tables.remove_binding(binding)
            self.holdings.give_back(self._client(binding), binding.ipv4)
            self._binding_count -= 1

    def _client(self, binding: Binding) -> IPv6Network:
        return self._config.client_of(binding.ipv6.address)

    def _client_of(self, session: Session) -> IPv6Network:
        return self._config.client_of(session.source6.address)


def _deadline(what: Session | StoredSyn) -> float:
    return what.deadline


def _is_reached(limit: int | None, count: int) -> bool:
    return limit is not None and count >= limit
