# SPDX-License-Identifier: Apache-2.0
"""Rise, fall and damping, by a clock that a test sets."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.health.verdict import DAMPED_ABOVE, FREE_BELOW, Rules, Verdict, Word, judge

RULES = Rules(rise=2, fall=3, half_life_s=120.0)


def after(results: str, verdict: Verdict | None = None, rules: Rules = RULES) -> Verdict:
    """After results one second apart: + is well, - is not."""
    now = verdict.at if verdict else 0.0
    verdict = verdict or Verdict("unknown", 0.0)
    for one in results:
        now += 1
        verdict = judge(verdict, one == "+", rules, now)
    return verdict


@pytest.mark.parametrize(
    ("start", "results", "word"),
    [
        ("unknown", "", "unknown"),
        ("unknown", "+", "well"),
        ("unknown", "-", "quarantined"),
        ("unknown", "-+", "quarantined"),
        ("unknown", "-++", "well"),
        ("well", "--", "well"),
        ("well", "---", "quarantined"),
        ("well", "--+--", "well"),
        ("quarantined", "+", "quarantined"),
        ("quarantined", "++", "well"),
        ("quarantined", "+-+", "quarantined"),
        ("quarantined", "+-++", "well"),
    ],
)
def test_so_many_in_a_row_change_it(start: Word, results: str, word: str) -> None:
    assert after(results, Verdict(start, 0.0)).word == word


def test_since_is_when_it_changed() -> None:
    assert after("---+", Verdict("well", 0.0)).since == 3
    assert after("---++-", Verdict("well", 0.0)).since == 5


def falls(times: int, apart_s: float) -> Verdict:
    """That many falls, each `apart_s` behind the one before, and well between them."""
    rules = Rules(1, 1, RULES.half_life_s)
    verdict = Verdict("well", 0.0)
    for number in range(times):
        now = number * apart_s
        verdict = judge(verdict, False, rules, now)
        if number + 1 < times:
            verdict = judge(verdict, True, rules, now + apart_s / 2)
    return verdict


@pytest.mark.parametrize(
    ("times", "apart_s", "damped"),
    [
        (1, 1, False),
        (2, 1, False),  # a restart that goes wrong once
        (3, 1, True),  # 1 + 2^(-1/120) + 2^(-2/120) = 2.98
        (3, 30, True),  # 1 + 0.841 + 0.707 = 2.55
        (3, 35, False),  # 1 + 0.817 + 0.667 = 2.48
        (4, 60, True),  # 1 + 0.707 + 0.5 + 0.354 = 2.56
        (50, 120, False),  # below 1 + 1/2 + 1/4 + ... = 2
    ],
)
def test_who_falls_again_and_again_is_damped(times: int, apart_s: float, damped: bool) -> None:
    assert falls(times, apart_s).damped == damped


def test_who_is_damped_stays_out_however_well_it_does() -> None:
    fallen = falls(3, 1)
    assert fallen.damped
    # 2.98 falls to 0.75 within 120 * log2(2.98 / 0.75) = 239 seconds.
    held = after("+" * 235, fallen)
    assert (held.word, held.damped) == ("quarantined", True)
    free = after("+" * 8, held)
    assert (free.word, free.damped) == ("well", False)
    assert free.penalty < FREE_BELOW


def test_when_it_is_over_the_last_results_count() -> None:
    free = after("-" * 250, falls(3, 1))
    assert (free.word, free.damped) == ("quarantined", False)
    assert after("++", free).word == "well"


def test_nobody_is_damped_for_ever() -> None:
    """The penalty has a ceiling: 120 * log2(4 / 0.75) = 290 seconds."""
    worst = falls(1000, 0.01)
    assert worst.penalty <= 4
    assert after("+" * 291, worst).word == "well"


def test_seldom_checks_are_damped_for_longer_within_bounds() -> None:
    assert [Rules.of(2, 3, seconds).half_life_s for seconds in (1, 5, 3600)] == [24, 120, 600]


def test_a_clock_that_goes_back_adds_no_penalty() -> None:
    fallen = falls(2, 1)
    assert judge(fallen, False, RULES, fallen.at - 1000).penalty == fallen.penalty


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 300)), max_size=200),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(["unknown", "well", "quarantined"]),
)
def test_whatever_comes(
    results: list[tuple[bool, float]], rise: int, fall: int, start: Word
) -> None:
    rules = Rules(rise, fall, 120.0)
    verdict, now, seen = Verdict(start, 0.0), 0.0, []
    for is_well, later in results:
        now += later
        before, verdict = verdict, judge(verdict, is_well, rules, now)
        seen.append(is_well)
        row = [list(group) for _, group in groupby(seen)][-1]
        assert abs(verdict.row) == len(row)
        assert 0 <= verdict.penalty <= 4
        assert verdict.changes - before.changes == (verdict.word != before.word)
        assert verdict.word != "unknown"
        if verdict.damped:
            assert verdict.word == "quarantined"
            assert verdict.penalty > FREE_BELOW - 1e-9
        if not before.damped and verdict.damped:
            assert verdict.penalty > DAMPED_ABOVE
        if before.word == "well" and verdict.word == "quarantined":
            assert len(row) >= fall and not is_well
        if before.word == "quarantined" and verdict.word == "well":
            assert len(row) >= rise and is_well
        if before.word == "quarantined" and is_well and len(row) >= rise and not verdict.damped:
            assert verdict.word == "well"
