# SPDX-License-Identifier: Apache-2.0
"""The trie of what is known of each IPv4 address."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from sixlane.datapath.ranges import Layers, build_trie, look_up

LAST = 2**32 - 1


def _trie_of(*layers: list[str]) -> "list[int]":
    overlay = Layers()
    for networks in layers:
        overlay.add(map(IPv4Network, networks))
    return list(build_trie(overlay.walk()))


def _at(words: "list[int]", text: str) -> int:
    from array import array

    return look_up(array("I", words), int(IPv4Address(text)))


def test_nothing_is_known_of_an_empty_world() -> None:
    words = _trie_of()
    assert len(words) == 65536
    assert _at(words, "0.0.0.0") == _at(words, "255.255.255.255") == 0


def test_all_addresses() -> None:
    words = _trie_of(["0.0.0.0/0"])
    assert len(words) == 65536, "no block but the root"
    assert _at(words, "0.0.0.0") == _at(words, "255.255.255.255") == 1


def test_edges_of_each_stride() -> None:
    words = _trie_of(["10.1.0.0/16", "10.2.3.0/24", "10.4.5.6/32", "255.255.255.255/32"])
    for text, known in {
        "10.0.255.255": 0,
        "10.1.0.0": 1,
        "10.1.255.255": 1,
        "10.2.0.0": 0,
        "10.2.2.255": 0,
        "10.2.3.0": 1,
        "10.2.3.255": 1,
        "10.2.4.0": 0,
        "10.4.5.5": 0,
        "10.4.5.6": 1,
        "10.4.5.7": 0,
        "255.255.255.254": 0,
        "255.255.255.255": 1,
    }.items():
        assert _at(words, text) == known, text


def test_layers_lie_over_each_other() -> None:
    words = _trie_of(["10.0.0.0/8"], ["10.20.0.0/16", "10.20.30.0/24"], ["10.20.30.40/32"])
    for text, layers in {
        "10.19.255.255": 0b001,
        "10.20.29.255": 0b011,
        "10.20.30.39": 0b011,
        "10.20.30.40": 0b111,
        "10.20.30.41": 0b011,
        "10.21.0.0": 0b001,
        "11.0.0.0": 0,
    }.items():
        assert _at(words, text) == layers, text


networks = st.builds(
    lambda address, length: IPv4Network((address >> (32 - length) << (32 - length), length)),
    st.integers(0, LAST),
    st.integers(1, 32),
)


@given(st.lists(st.lists(networks, max_size=8), max_size=5), st.data())
def test_against_asking_every_network(layers: list[list[IPv4Network]], data: st.DataObject) -> None:
    overlay = Layers()
    for networks in layers:
        overlay.add(networks)
    trie = build_trie(overlay.walk())
    edges = [
        int(network[index]) + step
        for networks in layers
        for network in networks
        for index, step in ((0, -1), (0, 0), (-1, 0), (-1, 1))
    ]
    for address in [*edges, data.draw(st.integers(0, LAST))]:
        address = min(max(address, 0), LAST)
        expected = sum(
            1 << number
            for number, networks in enumerate(layers)
            if any(IPv4Address(address) in network for network in networks)
        )
        assert look_up(trie, address) == expected
