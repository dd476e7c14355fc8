# SPDX-License-Identifier: Apache-2.0
"""What tests/diff/strategies.py reaches, and that no packet makes the reference raise."""

import random
from collections import Counter
from functools import cache

import hypothesis
import pytest
from hypothesis import strategies as st

from sixlane.rfc.rfc7915 import Drop, DropReason, Forward, Outcome, Pass, PassReason, Translator
from tests.diff.strategies import CONFIGURATIONS, build_packet, cases

SEEDS = 5000


def kind(outcome: Outcome) -> str:
    match outcome:
        case Drop(reason=reason) | Pass(reason=reason):
            return reason
        case Forward(direction=direction):
            return f"FORWARD_{direction}"
        case _:
            return "SLOW_PATH"


@cache
def outcomes() -> Counter[str]:
    counter: Counter[str] = Counter()
    for seed in range(SEEDS):
        translator = CONFIGURATIONS[seed % len(CONFIGURATIONS)]
        packet = build_packet(random.Random(seed), translator)
        counter[kind(translator.translate(packet))] += 1
    return counter


@pytest.mark.parametrize(
    "expected",
    [
        *(reason for reason in DropReason if reason != DropReason.NO_ROUTE),  # has no routes
        *PassReason,
        "FORWARD_46",
        "FORWARD_64",
        "FORWARD_66",
        "SLOW_PATH",
    ],
)
def test_every_outcome_is_reached(expected: str) -> None:
    assert outcomes()[expected] >= 3


def test_most_packets_are_translated() -> None:
    counter = outcomes()
    assert counter["FORWARD_46"] > SEEDS / 6
    assert counter["FORWARD_64"] > SEEDS / 6


@hypothesis.given(
    case=cases(),
    mtu4=st.integers(68, 65536),
    mtu6=st.integers(1280, 65536),
    segment_bytes=st.none() | st.integers(1, 1500),
)
@hypothesis.settings(deadline=None, max_examples=500)
def test_no_packet_raises(
    case: tuple[Translator, bytes], mtu4: int, mtu6: int, segment_bytes: int | None
) -> None:
    translator, packet = case
    outcome = translator.translate(packet, mtu4=mtu4, mtu6=mtu6, segment_bytes=segment_bytes)
    if isinstance(outcome, Forward):
        assert outcome.packet[0] >> 4 == (4 if outcome.direction == 64 else 6)


@hypothesis.given(st.sampled_from(CONFIGURATIONS), st.binary(max_size=128))
def test_no_bytes_raise(translator: Translator, packet: bytes) -> None:
    for version in (b"\x45", b"\x60", b""):
        translator.translate(version + packet)
