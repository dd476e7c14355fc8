# SPDX-License-Identifier: Apache-2.0
"""What a NAT64 remembers, taken out of one and put into another."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sixlane.rfc.rfc6146 import (
    Blocks,
    Config,
    Nat64,
    OwnError,
    Probe,
    Protocol,
    State,
    StaticEntry,
)
from tests.unit.rfc.stateful import (
    BOUND,
    CONFIG,
    NODE,
    OTHER,
    SIBLING,
    STRANGER,
    Replay,
    end4,
    end6,
    inside,
    ping6,
    tcp4,
    tcp6,
    udp4,
    udp6,
)

STATIC = StaticEntry(Protocol.UDP, end6(SIBLING), end4("192.0.2.1:5000"))
BUSY = replace(CONFIG, blocks=Blocks(64, 2), static=(STATIC,))


def busy() -> Replay:
    replay = Replay(BUSY)
    replay.forwards(udp6())
    replay.forwards(udp4(source=OTHER, to="192.0.2.1:5000"), after=10)
    replay.forwards(tcp6("S"), after=10)
    replay.forwards(tcp4("SA", to=str(replay.sessions[-1].source4)))
    replay.forwards(ping6(STRANGER))
    replay.receive(tcp4("S", OTHER, "192.0.2.1:60000"), after=2)
    return replay


def test_what_goes_on_elsewhere_is_the_same() -> None:
    before = busy()
    state = before.nat64.state(before.now)
    assert (len(state.bindings), len(state.sessions)) == (4, 4)
    assert (len(state.stored_syns), len(state.holdings)) == (1, 2)
    after = Nat64.restore(BUSY, state, before.now)
    assert after.state(before.now) == state
    assert before.nat64.receive(udp6(), before.now) == after.receive(udp6(), before.now)
    end = before.now + 20000
    assert before.nat64.advance(end) == after.advance(end)
    assert before.nat64.state(end) == after.state(end)


def test_remaining_lifetimes_move_to_another_clock() -> None:
    before = busy()
    state = before.nat64.state(before.now)
    after = Nat64.restore(BUSY, state, 1_000_000)
    lives = [one.remaining(before.now) for one in state.sessions]
    assert [one.remaining(1_000_000) for one in after.state(1_000_000).sessions] == lives
    sent = after.advance(1_000_000 + 7200)
    assert [(one.at - 1_000_000, type(one.what)) for one in sent] == [(6, OwnError), (7198, Probe)]


def test_holdings_may_be_left_out() -> None:
    before = busy()
    state = before.nat64.state(before.now)
    after = Nat64.restore(BUSY, replace(state, holdings=()), before.now)
    assert set(after.state(before.now).holdings) == set(state.holdings)


def test_counts_are_taken_over() -> None:
    """The last session takes its binding along, and that what the client held."""
    replay = Replay(replace(CONFIG, blocks=Blocks(64, 2)))
    replay.forwards(udp6())
    after = Nat64.restore(replace(CONFIG, blocks=Blocks(64, 2)), replay.nat64.state(0), 0)
    assert after.state(300) == State(300)


def test_what_was_sent_is_not_taken_along() -> None:
    replay = busy()
    state = replay.nat64.state(replay.now + 7200)
    assert Nat64.restore(BUSY, state, replay.now + 7200).advance(replay.now + 7200) == ()
    assert len(replay.wait(7200)) == 2


def test_answers_come_in_by_what_was_taken_over() -> None:
    replay = Replay()
    replay.forwards(udp6())
    after = Nat64.restore(CONFIG, replay.nat64.state(0), 5)
    outcome = after.receive(udp4(), 5)
    assert outcome == replay.receive(udp4(), 5)
    assert inside(udp4()) == getattr(outcome, "packet", None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: replace(state, sessions=()), "no session for"),
        (lambda state: replace(state, bindings=()), "no BIB entry for"),
        (lambda state: State(0, holdings=state.holdings), "no BIB entry for Holding"),
        (lambda state: replace(state, bindings=state.bindings * 2), "is bound twice"),
    ],
)
def test_what_contradicts_itself_is_refused(spoil: Callable[[State], State], message: str) -> None:
    config = replace(CONFIG, blocks=Blocks(64, 2))
    replay = Replay(config)
    replay.forwards(udp6())
    with pytest.raises(ValueError, match=message):
        Nat64.restore(config, spoil(replay.nat64.state(0)), 0)


def test_a_block_of_two_clients_is_refused() -> None:
    replay = Replay()
    replay.forwards(udp6(NODE))
    replay.forwards(udp6(STRANGER))
    assert {bound for _, _, bound in replay.bound} == {BOUND, "192.0.2.1:40003"}
    config: Config = replace(CONFIG, blocks=Blocks(64, 2))
    with pytest.raises(ValueError, match=r"it is in a block of 2001:db8:1::/64"):
        Nat64.restore(config, replay.nat64.state(0), 0)
