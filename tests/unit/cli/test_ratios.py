# SPDX-License-Identifier: Apache-2.0
"""Ratios of rounds, and the interval around their median."""

import random

import pytest

from sixlane.cli.ratios import Interval, ratio, ratio_of_medians


def test_what_disturbs_both_in_a_round_is_not_seen() -> None:
    """The medians of the figures themselves would give 6 / 4."""
    assert ratio((2.0, 6.0, 90.0), (4.0, 3.0, 45.0)).median == 2.0
    assert ratio((2.0, 20.0, 7.0), (4.0, 40.0, 14.0)) == Interval(0.5, 0.5, 0.5)


def test_the_interval_is_between_the_outermost_ratios() -> None:
    """Of two rounds, three of four draws have the first one in them: each mean of two has its share
    above 2.5 %, and so the ends are the two ratios."""
    assert ratio((1.0, 3.0), (1.0, 1.0)) == Interval(1.0, 2.0, 3.0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(7)
    held = 0
    for _ in range(200):
        a = tuple(chance.gauss(3.0, 0.3) for _ in range(15))
        found = ratio(a, (1.0,) * 15)
        assert found.low <= found.median <= found.high
        held += found.low <= 3.0 <= found.high
    assert 180 <= held < 200, "95 % of 200, and neither all nor half of them"


def test_more_rounds_make_the_interval_narrower() -> None:
    chance = random.Random(8)
    few = ratio(tuple(chance.gauss(3.0, 0.3) for _ in range(7)), (1.0,) * 7)
    many = ratio(tuple(chance.gauss(3.0, 0.3) for _ in range(300)), (1.0,) * 300)
    assert many.high - many.low < (few.high - few.low) / 2


def test_the_same_figures_give_the_same_interval() -> None:
    chance = random.Random(9)
    a = tuple(chance.gauss(3.0, 0.3) for _ in range(9))
    assert ratio(a, (2.0,) * 9) == ratio(a, (2.0,) * 9)


@pytest.mark.parametrize(("a", "b"), [((1.0, 2.0), (1.0,)), ((), ())])
def test_rounds_that_do_not_match_are_refused(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rounds"):
        ratio(a, b)


def test_runs_at_different_times_may_have_other_rounds() -> None:
    found = ratio_of_medians((2.0, 2.0, 2.0, 2.0), (1.0, 1.0))
    assert found == Interval(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="rounds"):
        ratio_of_medians((), (1.0,))


def test_noise_of_both_is_in_the_interval() -> None:
    chance = random.Random(10)
    noisy = [chance.gauss(3.0, 0.5) for _ in range(15)]
    one, both = ratio_of_medians(noisy, [3.0] * 15), ratio_of_medians(noisy, noisy[::-1])
    assert both.high - both.low > one.high - one.low > 0
