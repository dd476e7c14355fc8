# SPDX-License-Identifier: Apache-2.0
"""Where rings have their places."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sixlane.datapath.rings import Extent, Gaps
from sixlane.errors import ConfigError

ROOM = 100
USED = [Extent(35, 25), Extent(10, 20)]
"""Free are 0 to 9, 30 to 34 and 60 to 99."""


@pytest.mark.parametrize(
    ("sizes", "firsts"),
    [
        ([5], [0]),
        ([10], [0]),
        ([11], [60]),
        ([40], [60]),
        ([8, 5, 2, 1, 39], [0, 30, 8, 60, 61]),
        ([], []),
    ],
)
def test_as_far_in_front_as_it_fits(sizes: list[int], firsts: list[int]) -> None:
    found = Gaps(USED, ROOM).fit(sizes)
    assert found == [Extent(first, size) for first, size in zip(firsts, sizes, strict=True)]


@pytest.mark.parametrize(
    ("used", "sizes", "left"),
    [
        (USED, [41], "55 are free, 40 of them in a row"),
        (USED, [40, 11], "15 are free, 10 of them in a row"),
        ([Extent(0, 100)], [1], "0 are free, 0 of them in a row"),
        ([Extent(90, 20)], [91], "90 are free, 90 of them in a row"),
        ([], [60, 41], "40 are free, 40 of them in a row"),
    ],
)
def test_no_place(used: list[Extent], sizes: list[int], left: str) -> None:
    with pytest.raises(ConfigError, match=f"no place for {sizes[-1]} entries; .* 100 .* {left}"):
        Gaps(used, ROOM).fit(sizes)


_sizes = st.integers(1, 30)


@given(
    st.lists(st.builds(Extent, st.integers(0, ROOM + 10), _sizes), max_size=6),
    st.lists(_sizes, max_size=6),
)
@example([Extent(54, 30), Extent(101, 1)], [8, 30, 17])
def test_beside_what_is_in_use_and_each_other(used: list[Extent], sizes: list[int]) -> None:
    """By entries, one after the other: each in front of the next place where it would fit."""
    free = [not any(first <= at < first + size for first, size in used) for at in range(ROOM)]
    expected = []
    for size in sizes:
        fits = (at for at in range(ROOM - size + 1) if all(free[at : at + size]))
        first = next(fits, None)
        if first is None:
            with pytest.raises(ConfigError):
                Gaps(used, ROOM).fit(sizes)
            return
        free[first : first + size] = [False] * size
        expected.append(Extent(first, size))
    assert Gaps(used, ROOM).fit(sizes) == expected


@given(st.lists(st.integers(0, 19), max_size=30))
def test_what_is_taken_and_given_back(places: list[int]) -> None:
    """Each time a place of five entries changes hands, what is free is what the entries say."""
    gaps, used = Gaps([], ROOM), set[int]()
    for place in places:
        extent = Extent(place * 5, 5)
        (gaps.give if place in used else gaps.take)(extent)
        used ^= {place}
        assert gaps._gaps == Gaps([Extent(one * 5, 5) for one in used], ROOM)._gaps
