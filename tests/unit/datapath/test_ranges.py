# SPDX-License-Identifier: Apache-2.0
"""The trie of what is known of each IPv4 address."""

from bisect import bisect_right
from ipaddress import IPv4Address

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sixlane.datapath.ranges import Words, build_trie, look_up

LAST = 2**32 - 1
ROOT_BLOCKS = 256


def trie_of(*known: tuple[str, int]) -> Words:
    """Of addresses and what is known from there on."""
    edges = [int(IPv4Address(text)) for text, _ in known]
    return build_trie(np.array(edges, np.uint64), np.array([word for _, word in known], np.uint32))


def at(trie: Words, text: str) -> int:
    return look_up(trie, int(IPv4Address(text)))


def test_nothing_is_known_of_an_empty_world() -> None:
    trie = trie_of()
    assert trie.shape == (ROOT_BLOCKS, 256)
    assert at(trie, "0.0.0.0") == at(trie, "255.255.255.255") == 0


def test_all_addresses() -> None:
    trie = trie_of(("0.0.0.0", 7))
    assert trie.shape == (ROOT_BLOCKS, 256), "no block but the root"
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
    assert len(trie) == ROOT_BLOCKS + 3 + 2, "a block for each /16 and /24 with an edge inside"
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
    assert len(trie_of(("10.1.0.0", 1), ("10.1.0.5", 1), ("10.2.0.0", 0))) == ROOT_BLOCKS


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
    trie = build_trie(
        np.array(edges, np.uint64), np.array([known[edge] for edge in edges], np.uint32)
    )
    near = [edge + step for edge in edges for step in (-1, 0, 1)]
    for address in [*asked, *near]:
        if 0 <= address <= LAST:
            place = bisect_right(edges, address)
            assert look_up(trie, address) == (known[edges[place - 1]] if place else 0)
