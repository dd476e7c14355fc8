# SPDX-License-Identifier: Apache-2.0
"""What is true of a stateful NAT64 whatever comes: random packets, choices and waits.

Choices of ports are random among the legal ones, as a real translator's may be.
"""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sixlane.rfc.rfc6146 import (
    Blocks,
    Candidates,
    Config,
    Drop,
    DropReason,
    Endpoint4,
    Forward,
    Icmp4Error,
    Icmp6Error,
    Limits,
    Nat64,
    Outcome,
    OwnError,
    Packet4,
    Packet6,
    Protocol,
    State,
    StaticEntry,
    Stored,
    TcpState,
)
from tests.unit.rfc.stateful import (
    OTHER_PREF64,
    PREF64,
    embedded,
    end4,
    end6,
    flags,
    ping4,
    ping6,
    pool4,
    tcp4,
    tcp6,
    udp4,
    udp6,
)

# Few of everything, so that packets meet: two clients, of which one has two nodes.
NODES = [
    f"[2001:db8:{client}::{host}]:{port}"
    for client, host in ((1, 7), (1, 8), (2, 7))
    for port in (1022, 1030, 1031)
]
CALLED = "[2001:db8:3::80]:8080"
STATIC = tuple(
    StaticEntry(protocol, end6(CALLED), end4("192.0.2.1:1026"))
    for protocol in (Protocol.TCP, Protocol.UDP)
)
PEERS = ["198.51.100.80:80", "198.51.100.80:81", "203.0.113.5:443"]
POOL = [f"192.0.2.{host}:{port}" for host in (0, 1) for port in range(1020, 1036)]
SMALL: dict[str, Any] = {"tcp": (1020, 1035), "udp": (1020, 1035), "icmp": (1020, 1035)}

LONGEST = {
    None: 300.0,
    TcpState.V4_INIT: 240.0,
    TcpState.V6_INIT: 240.0,
    TcpState.ESTABLISHED: 7200.0,
    TcpState.V4_FIN_RCV: 7200.0,
    TcpState.V6_FIN_RCV: 7200.0,
    TcpState.V4_FIN_V6_FIN_RCV: 240.0,
    TcpState.TRANS: 240.0,
}
"""The most that a session has left in each state, with the lifetimes of the RFC."""

nodes = st.sampled_from([*NODES, CALLED])
peers = st.sampled_from(PEERS)
ours = st.sampled_from(POOL)
letters = st.sampled_from(["S", "S", "S", "SA", "A", "A", "FA", "F", "R", "RA", ""])
waits = st.sampled_from([0.5, 3.0, 6.0, 59.0, 61.0, 239.0, 241.0, 299.0, 301.0, 7199.0, 7201.0])
configs = st.builds(
    Config,
    pool6=st.sampled_from([(PREF64,), (PREF64, OTHER_PREF64)]),
    pool4=st.sampled_from([(pool4("192.0.2.0/31", **SMALL),), (pool4("192.0.2.1/32", **SMALL),)]),
    static=st.sampled_from([(), STATIC]),
    blocks=st.sampled_from([None, Blocks(4, 1), Blocks(4, 2)]),
    limits=st.sampled_from(
        [
            Limits(),
            Limits(bindings=5, sessions=8, stored_syns=2),
            Limits(client_bindings=3, client_sessions=4),
        ]
    ),
    client_length=st.sampled_from([64, 128]),
    address_dependent_filtering=st.booleans(),
    drop_external_syns=st.booleans(),
    answer_strangers=st.booleans(),
    refresh_from_outside=st.booleans(),
)


class AnyTraffic(RuleBasedStateMachine):
    """Sends packets, waits, and checks each outcome against the state before."""

    nat64: Nat64
    config: Config
    now: float

    @initialize(config=configs)
    def start(self, config: Config) -> None:
        self.config = config
        self.nat64 = Nat64(config, strict=False)
        self.now = 0.0

    # What comes

    @rule(node=nodes, peer=st.one_of(peers, ours), how=letters, pick=st.randoms())
    def tcp_from_inside(self, node: str, peer: str, how: str, pick: Any) -> None:
        self.from_inside(tcp6(how, node, peer), pick)

    @rule(node=nodes, peer=st.one_of(peers, ours), pick=st.randoms(), other=st.booleans())
    def udp_from_inside(self, node: str, peer: str, pick: Any, other: bool) -> None:
        pref64 = self.config.pool6[-1] if other else PREF64
        self.from_inside(udp6(node, peer, pref64), pick)

    @rule(node=nodes, peer=st.one_of(peers, ours), pick=st.randoms())
    def query_from_inside(self, node: str, peer: str, pick: Any) -> None:
        self.from_inside(ping6(node, peer), pick)

    @rule(peer=peers, to=ours, how=letters)
    def tcp_from_outside(self, peer: str, to: str, how: str) -> None:
        self.from_outside(tcp4(how, peer, to))

    @rule(peer=peers, to=ours)
    def udp_from_outside(self, peer: str, to: str) -> None:
        self.from_outside(udp4(peer, to))

    @rule(peer=peers, to=ours)
    def query_from_outside(self, peer: str, to: str) -> None:
        self.from_outside(ping4(peer, to))

    @precondition(lambda self: self.state().sessions)
    @rule(data=st.data(), how=letters, inward=st.booleans())
    def of_a_session(self, data: st.DataObject, how: str, inward: bool) -> None:
        """The likeliest packet: it is sent on, extends the life, and its tuple is the session's."""
        session = data.draw(st.sampled_from(self.state().sessions))
        is_tcp = session.protocol is Protocol.TCP
        with_flags = flags(how if is_tcp else "")
        came: Packet4 | Packet6
        if inward:
            came, gone = session.to_inside4(with_flags), session.to_inside6(with_flags)
            assert self.nat64.receive(came, self.now) == Forward(gone)
        else:
            came = session.from_inside6(with_flags)
            outcome = self.nat64.receive(came, self.now)
            out = session.from_inside4(with_flags)
            if not self.config.serves(out.protocol, out.destination):
                assert outcome == Forward(out)

    @precondition(lambda self: self.state().sessions)
    @rule(data=st.data(), inward=st.booleans())
    def error_of_a_session(self, data: st.DataObject, inward: bool) -> None:
        """Both headers are mapped; nothing changes."""
        before = self.state()
        session = data.draw(st.sampled_from(before.sessions))
        none = flags("")
        if inward:
            quoted4 = session.from_inside4(none)
            error4 = Icmp4Error(quoted4.destination.address, quoted4.source.address, quoted4)
            quoted6 = session.from_inside6(none)
            error6 = Icmp6Error(quoted6.destination.address, quoted6.source.address, quoted6)
            assert self.nat64.receive(error4, self.now) == Forward(error6)
        else:
            quoted6 = session.to_inside6(none)
            error6 = Icmp6Error(quoted6.destination.address, quoted6.source.address, quoted6)
            quoted4 = session.to_inside4(none)
            error4 = Icmp4Error(quoted4.destination.address, quoted4.source.address, quoted4)
            outcome = self.nat64.receive(error6, self.now)
            if not self.config.serves(quoted4.protocol, quoted4.source):
                assert outcome == Forward(error4)
        assert self.state() == before

    @rule(seconds=waits)
    def wait(self, seconds: float) -> None:
        """Each ESTABLISHED that ends is probed, each stored SYN is answered, in order of time."""
        before = self.state()
        since, self.now = self.now, self.now + seconds
        self.nat64.advance(since)
        sent = self.nat64.advance(self.now)
        assert [one.at for one in sent] == sorted(one.at for one in sent)
        assert all(since < one.at <= self.now for one in sent)
        established = [one for one in before.sessions if one.state is TcpState.ESTABLISHED]
        probed = [one for one in established if one.deadline <= self.now]
        ended = [one for one in before.stored_syns if one.deadline <= self.now]
        errors = [one.what for one in sent if isinstance(one.what, OwnError)]
        assert len(sent) - len(errors) == len(probed)
        told = [one for one in ended if one.packet.source not in self.pool_ends()]
        assert [one for one in errors if isinstance(one.about, Packet4)] == [
            OwnError(3, 3, one.packet) for one in sorted(told, key=lambda one: one.deadline)
        ]

    @rule()
    def go_on_elsewhere(self) -> None:
        state = self.state()
        self.nat64 = Nat64.restore(self.config, state, self.now, strict=False)
        assert self.state() == state

    # What must come of it

    def from_inside(self, packet: Packet6, pick: Any) -> None:
        before = self.state()
        asked: list[Endpoint4] = []

        def choose(candidates: Candidates) -> Endpoint4:
            legal = list(candidates.legal())
            asked.append(pick.choice(legal))
            return asked[-1]

        outcome = self.nat64.receive(packet, self.now, choose)
        bound = {(one.protocol, one.ipv6): one.ipv4 for one in before.bindings}
        known = bound.get((packet.protocol, packet.source))
        assert not (known and asked), "same (X',x), same (T,t)"
        if isinstance(outcome, Forward) and isinstance(outcome.packet, Packet4):
            assert outcome.packet.source == (known or asked[0])
            assert embedded(str(outcome.packet.destination)).port == (
                packet.destination.port
                if packet.protocol is not Protocol.ICMP
                else outcome.packet.source.port
            )
        self.check_refusal(outcome, before, self.state())
        self.check_old_sessions(before)

    def from_outside(self, packet: Packet4) -> None:
        before = self.state()
        outcome = self.nat64.receive(packet, self.now)
        after = self.state()
        assert after.bindings == before.bindings, "the outside never makes a binding"
        if isinstance(outcome, Forward):
            bound = {(one.protocol, one.ipv4): one.ipv6 for one in before.bindings}
            assert isinstance(outcome.packet, Packet6)
            assert outcome.packet.destination == bound[packet.protocol, packet.destination]
            if self.config.address_dependent_filtering:
                assert packet.source.address in {
                    one.destination4.address
                    for one in before.sessions
                    if one.source4 == packet.destination and one.protocol is packet.protocol
                }
        elif not isinstance(outcome, Stored):
            assert after == before, "what is dropped leaves no trace"
        self.check_old_sessions(before)

    def check_refusal(self, outcome: Outcome, before: State, after: State) -> None:
        if not isinstance(outcome, Drop):
            return
        if outcome.reason in (
            DropReason.NO_PORT,
            DropReason.BINDING_LIMIT,
            DropReason.CLIENT_BINDING_LIMIT,
        ):
            assert outcome.error is not None
            assert (outcome.error.type, outcome.error.code) == (1, 3)
            assert after == before

    def check_old_sessions(self, before: State) -> None:
        """No packet ends a session, nor changes whose it is."""
        after = {session_key(one): one for one in self.state().sessions}
        for old in before.sessions:
            new = after[session_key(old)]
            assert (new.source6, new.pref64) == (old.source6, old.pref64)

    # What is always so

    def state(self) -> State:
        return self.nat64.state(self.now)

    def pool_ends(self) -> set[Endpoint4]:
        return {end4(one) for one in POOL}

    @invariant()
    def bindings_are_unique(self) -> None:
        bindings = self.state().bindings
        assert len({(one.protocol, one.ipv4) for one in bindings}) == len(bindings)
        assert len({(one.protocol, one.ipv6) for one in bindings}) == len(bindings)

    @invariant()
    def sessions_are_under_bindings(self) -> None:
        """And no dynamic binding is without one."""
        state = self.state()
        ends = {(one.protocol, one.ipv6, one.ipv4) for one in state.bindings}
        used = {(one.protocol, one.source6, one.source4) for one in state.sessions}
        assert used <= ends
        static = {(one.protocol, one.ipv6, one.ipv4) for one in self.config.static}
        assert ends - used <= static <= ends

    @invariant()
    def nothing_outlives_its_lifetime(self) -> None:
        state = self.state()
        for session in state.sessions:
            longest = 60.0 if session.protocol is Protocol.ICMP else LONGEST[session.state]
            assert 0 < session.remaining(self.now) <= longest
        for syn in state.stored_syns:
            assert 0 < syn.remaining(self.now) <= 6

    @invariant()
    def clients_keep_to_one_address_and_their_blocks(self) -> None:
        state = self.state()
        held = {one.client: one for one in state.holdings}
        for binding in state.bindings:
            if binding.static:
                continue
            holding = held[self.config.client_of(binding.ipv6.address)]
            assert binding.ipv4.address == holding.address
            if self.config.blocks is not None:
                size = self.config.blocks.size
                assert binding.ipv4.port // size * size in holding.blocks
        if self.config.blocks is not None:
            owned = [(one.address, block) for one in state.holdings for block in one.blocks]
            assert len(set(owned)) == len(owned), "a block has one owner"
            most = self.config.blocks.per_client
            assert all(1 <= len(one.blocks) <= most for one in state.holdings)

    @invariant()
    def limits_hold(self) -> None:
        state, limits = self.state(), self.config.limits
        dynamic = [one for one in state.bindings if not one.static]
        assert limits.bindings is None or len(dynamic) <= limits.bindings
        assert limits.sessions is None or len(state.sessions) <= limits.sessions
        assert limits.stored_syns is None or len(state.stored_syns) <= limits.stored_syns
        of_client = self.config.client_of
        for count, most in (
            ([of_client(one.ipv6.address) for one in dynamic], limits.client_bindings),
            ([of_client(one.source6.address) for one in state.sessions], limits.client_sessions),
        ):
            assert most is None or all(count.count(client) <= most for client in count)


def session_key(session: Any) -> tuple[Protocol, Endpoint4, Endpoint4]:
    return session.protocol, session.source4, session.destination4


@pytest.mark.conformance(74, 75, 76, 78, 79, 80, 82, 89, 94, 99, 100)
def test_any_traffic() -> None:
    run_state_machine_as_test(
        AnyTraffic,
        settings=settings(
            max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
        ),
    )
