# SPDX-License-Identifier: Apache-2.0
"""Work kept to a share of the time."""

import pytest

from sixlane.agent.pace import Pace


def test_work_is_followed_by_a_rest_that_is_as_many_times_as_long() -> None:
    clock, spent = [100.0], [7.0]
    pace = Pace(20, now=lambda: clock[0], spent=lambda: spent[0])
    assert pace.left() == 0
    with pace.work():
        spent[0] += 2
        clock[0] += 30  # most of which it waited
    assert pace.left() == 40
    clock[0] += 39
    assert pace.left() == 1
    clock[0] += 5
    assert pace.left() == 0


def test_work_that_fails_is_work_too_and_the_shortest_rest_is_kept() -> None:
    clock = [100.0]
    pace = Pace(20, least_s=1, now=lambda: clock[0], spent=lambda: 7)
    with pytest.raises(ZeroDivisionError), pace.work():
        raise ZeroDivisionError
    assert pace.left() == 1
