# SPDX-License-Identifier: Apache-2.0
"""The trie of what is known of each IPv4 address."""

from bisect import bisect_right
from ipaddress import IPv4Address

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sixlane.datapath.layout import RangeWord
from sixlane.datapath.ranges import Words, build_trie, look_up, native_pool6
from sixlane.errors import ConfigError

LAST = 2**32 - 1
FIXED_BLOCKS = 256 + 1  # the root, and the sets of pool6 prefixes
NO_SETS = np.zeros(1, np.uint64)


def trie_of(*known: tuple[str, int]) -> Words:
    """Of addresses and what is known from there on."""
    edges = [int(IPv4Address(text)) for text, _ in known]
    words = np.array([word for _, word in known], np.uint32)
    return build_trie(np.array(edges, np.uint64), words, NO_SETS)


def at(trie: Words, text: str) -> int:
    return look_up(trie, int(IPv4Address(text)))


def test_nothing_is_known_of_an_empty_world() -> None:
    trie = trie_of()
    assert trie.shape == (FIXED_BLOCKS, 256)
    assert at(trie, "0.0.0.0") == at(trie, "255.255.255.255") == 0


def test_all_addresses() -> None:
    trie = trie_of(("0.0.0.0", 7))
    assert trie.shape == (FIXED_BLOCKS, 256), "no block but those that are always there"
    assert at(trie, "0.0.0.0") == at(trie, "255.255.255.255") == 7


def test_edges_of_each_stride() -> None:
    trie = trie_of(
        ("10.1.0.0", 1),
        ("10.2.0.0", 0),
        ("10.2.3.0", 2),
        ("10.2.4.0", 0),
        ("10.4.5.6", 3),
        ("10.4.5.7", 0),
        ("255.255.255.255", 4),
    )
    assert len(trie) == FIXED_BLOCKS + 3 + 2, "a block for each /16 and /24 with an edge inside"
    for text, known in {
        "10.0.255.255": 0,
        "10.1.0.0": 1,
        "10.1.255.255": 1,
        "10.2.0.0": 0,
        "10.2.2.255": 0,
        "10.2.3.0": 2,
        "10.2.3.255": 2,
        "10.2.4.0": 0,
        "10.4.5.5": 0,
        "10.4.5.6": 3,
        "10.4.5.7": 0,
        "255.255.255.254": 0,
        "255.255.255.255": 4,
    }.items():
        assert at(trie, text) == known, text


def test_an_edge_that_changes_nothing_takes_no_block() -> None:
    assert len(trie_of(("10.1.0.0", 1), ("10.1.0.5", 1), ("10.2.0.0", 0))) == FIXED_BLOCKS


def test_sets_have_two_words_each() -> None:
    sets = [0, 1, 1 << 31, 1 << 32, 1 << 63 | 5]
    words = [number << RangeWord.RANGE_NATIVE_SHIFT | 1 for number in range(len(sets))]
    edges = [address << 24 for address in range(len(sets))]
    trie = build_trie(
        np.array(edges, np.uint64), np.array(words, np.uint32), np.array(sets, np.uint64)
    )
    assert [native_pool6(trie, look_up(trie, edge)) for edge in edges] == sets


def test_more_sets_than_there_is_room_for() -> None:
    nothing = np.zeros(0, np.uint64), np.zeros(0, np.uint32)
    build_trie(*nothing, np.arange(128, dtype=np.uint64))
    with pytest.raises(ConfigError, match="129 different sets of prefixes"):
        build_trie(*nothing, np.arange(129, dtype=np.uint64))


# Many edges in few places, so that they meet in blocks.
addresses = st.one_of(
    st.integers(0, LAST),
    st.builds(
        lambda high, middle, low: high << 24 | middle << 8 | low,
        st.sampled_from((0, 10, 255)),
        st.integers(0, 3),
        st.integers(0, 255),
    ),
    st.sampled_from((0, 1, 0xFFFF, 0x10000, LAST - 0xFF, LAST)),
)


@given(st.dictionaries(addresses, st.integers(0, 3), max_size=30), st.lists(addresses))
@example({0: 1, 255: 2, 256: 0}, [])
def test_against_a_sorted_list(known: dict[int, int], asked: list[int]) -> None:
    edges = sorted(known)
    words = np.array([known[edge] for edge in edges], np.uint32)
    trie = build_trie(np.array(edges, np.uint64), words, NO_SETS)
    near = [edge + step for edge in edges for step in (-1, 0, 1)]
    for address in [*asked, *near]:
        if 0 <= address <= LAST:
            place = bisect_right(edges, address)
            assert look_up(trie, address) == (known[edges[place - 1]] if place else 0)
