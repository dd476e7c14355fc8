# SPDX-License-Identifier: Apache-2.0
"""Lists of IPv4 ranges, and the sets of addresses they are."""

from ipaddress import IPv4Network
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.model import RangeList, Spans
from sixlane.model.addresses import parse_ipv4_network, parse_ipv4_ranges

networks = st.builds(
    lambda address, length: IPv4Network((address >> (32 - length) << (32 - length), length)),
    st.one_of(st.integers(0, 2**32 - 1), st.integers(0x0A000000, 0x0A000FFF)),
    st.integers(0, 32),
)
lists = st.lists(networks, max_size=12)


def test_it_reads_as_it_was_given() -> None:
    ranges = parse_ipv4_ranges(["10.0.0.0/8", "192.0.2.7", "10.0.0.0/8"])
    assert list(ranges) == [
        IPv4Network("10.0.0.0/8"),
        IPv4Network("192.0.2.7/32"),
        IPv4Network("10.0.0.0/8"),
    ]
    assert ranges.texts == ("10.0.0.0/8", "192.0.2.7/32", "10.0.0.0/8")
    assert ranges[-2] == IPv4Network("192.0.2.7/32")
    assert ranges[1:] == RangeList.of_texts(["192.0.2.7", "10.0.0.0/8"])
    with pytest.raises(IndexError):
        ranges[3]


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0/08", "10.0.0.0/8"],
)
def test_uncommon_forms_are_the_same_ranges(text: str) -> None:
    assert parse_ipv4_ranges([text]) == RangeList.of([IPv4Network("10.0.0.0/8")])
    assert parse_ipv4_ranges([text]).texts == ("10.0.0.0/8",)


def test_equal_is_the_same_ranges_in_the_same_order() -> None:
    one, two = RangeList.of_texts(["10.0.0.0/8", "11.0.0.0/8"]), ["11.0.0.0/8", "10.0.0.0/8"]
    assert one == RangeList.of_texts(["10.0.0.0/8", "11.0.0.0/8"])
    assert one.digest == RangeList.of_texts(["10.0.0.0/8", "11.0.0.0/8"]).digest
    assert one != RangeList.of_texts(two)
    assert one != RangeList.of_texts(["10.0.0.0/8", "11.0.0.0/9"])
    assert RangeList.of_texts(["10.0.0.0/8"]).digest != RangeList.of_texts(["10.0.0.0/9"]).digest


@given(
    st.one_of(
        st.from_regex(r"[0-9.]{1,15}(/[0-9]{1,3})?", fullmatch=True),
        st.builds(str, networks),
        st.text(max_size=20),
    )
)
def test_the_quick_reader_takes_nothing_that_the_slow_one_refuses(text: str) -> None:
    try:
        quick = RangeList.of_texts([text])
    except (ValueError, KeyError, OSError):
        return
    assert list(quick) == [parse_ipv4_network(text)]
    assert quick.texts == (str(quick[0]),)


@given(lists)
def test_a_list_of_networks_and_one_of_texts(given_networks: list[IPv4Network]) -> None:
    ranges = RangeList.of(given_networks)
    assert ranges == RangeList.of_texts([str(network) for network in given_networks])
    assert list(ranges) == given_networks


@given(lists)
def test_spans_rise_and_do_not_touch(given_networks: list[IPv4Network]) -> None:
    spans = RangeList.of(given_networks).spans
    sides = [int(side) for pair in zip(spans.starts, spans.ends, strict=True) for side in pair]
    assert all(a < b for a, b in pairwise(sides))


def in_any(address: int, given_networks: list[IPv4Network]) -> bool:
    return any(int(network[0]) <= address <= int(network[-1]) for network in given_networks)


@given(lists, lists)
def test_sets_of_addresses(one: list[IPv4Network], two: list[IPv4Network]) -> None:
    a, b = RangeList.of(one).spans, RangeList.of(two).spans
    edges = [int(network[at]) for network in one + two for at in (0, -1)]
    near = [edge + step for edge in edges for step in (-1, 0, 1) if 0 <= edge + step < 2**32]
    asked = np.array(near, np.uint64)
    assert a.holds(asked).tolist() == [in_any(address, one) for address in near]
    assert a.joined(b).holds(asked).tolist() == [in_any(address, one + two) for address in near]
    shared = any(x.overlaps(y) for x in one for y in two)
    assert a.overlap(b) is b.overlap(a) is shared


def test_nothing_overlaps_nothing() -> None:
    nothing = RangeList().spans
    assert not nothing.overlap(RangeList.of_texts(["0.0.0.0/0"]).spans)
    assert isinstance(nothing.joined(nothing), Spans)
