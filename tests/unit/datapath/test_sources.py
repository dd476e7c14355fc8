# SPDX-License-Identifier: Apache-2.0
"""The trie of the sources that a prefix lets in."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixlane.datapath.sources import Nodes, build_nodes, look_up
from sixlane.model import RangeList

LAST = 2**32 - 1


def nodes_of(*texts: str) -> Nodes:
    spans = RangeList.of_texts(texts).spans
    return build_nodes(spans.starts, spans.ends)


def let_in(nodes: Nodes, text: str) -> bool:
    return look_up(nodes, int(IPv4Address(text)))


@pytest.mark.parametrize(("texts", "expected"), [((), False), (("0.0.0.0/0",), True)])
def test_nobody_and_everybody(texts: tuple[str, ...], expected: bool) -> None:
    nodes = nodes_of(*texts)
    assert len(nodes) == 1
    for text in ("0.0.0.0", "10.64.128.192", "255.255.255.255"):
        assert let_in(nodes, text) is expected


def test_edges_of_each_stride() -> None:
    nodes = nodes_of("10.0.0.0/8", "11.64.0.0/10", "12.1.192.0/18", "13.1.2.64/26", "14.0.0.0/32")
    assert len(nodes) == 1 + 4 + 3 + 2, "a node for each /8, /16 and /24 with an edge inside"
    for text, expected in {
        "9.255.255.255": False,
        "10.0.0.0": True,
        "10.255.255.255": True,
        "11.63.255.255": False,
        "11.64.0.0": True,
        "11.127.255.255": True,
        "11.128.0.0": False,
        "12.1.191.255": False,
        "12.1.192.0": True,
        "12.1.255.255": True,
        "12.2.0.0": False,
        "13.1.2.63": False,
        "13.1.2.64": True,
        "13.1.2.127": True,
        "13.1.2.128": False,
        "13.255.255.255": False,
        "14.0.0.0": True,
        "14.0.0.1": False,
    }.items():
        assert let_in(nodes, text) is expected, text


def test_the_last_addresses() -> None:
    nodes = nodes_of("255.255.255.254/31")
    assert [let_in(nodes, f"255.255.255.{last}") for last in (253, 254, 255)] == [False, True, True]
    assert not let_in(nodes, "0.0.0.0")


networks = st.builds(
    lambda address, length: IPv4Network((address >> (32 - length) << (32 - length), length)),
    st.one_of(
        st.integers(0, LAST),
        st.builds(lambda near: 0x0A00FF00 + near, st.integers(0, 0x2FF)),
        st.just(LAST),
    ),
    st.integers(1, 32),
)


@given(st.lists(networks, max_size=20), st.integers(0, LAST))
def test_against_asking_every_network(networks: list[IPv4Network], other: int) -> None:
    spans = RangeList.of(networks).spans
    nodes = build_nodes(spans.starts, spans.ends)
    edges = [
        int(network[index]) + step
        for network in networks
        for index, step in ((0, -1), (0, 0), (-1, 0), (-1, 1))
    ]
    for address in [*edges, other]:
        if 0 <= address <= LAST:
            expected = any(IPv4Address(address) in network for network in networks)
            assert look_up(nodes, address) == expected
