# SPDX-License-Identifier: Apache-2.0
"""The IPv4 sources that a prefix lets in, as the trie that the data path looks up (struct
source_node): strides 8, 8, 8, 8, a bit for each part of a node."""

import numpy as np
from numpy.typing import NDArray

from sixlane.datapath import layout

Numbers = NDArray[np.uint64]
Nodes = NDArray[np.void]
"""Of the type of struct source_node."""

_NODE = np.dtype(layout.SourceNode)
_SHIFTS = (24, 16, 8, 0)  # bits of an address behind the part, from the root down


def build_nodes(starts: Numbers, ends: Numbers) -> Nodes:
    """The nodes, the root first. Let in is all from each of `starts` to before its one of `ends`;
    both rise, and no end is the next start."""
    edges = np.stack((starts, ends), axis=1).ravel()
    parts = [_split_parts(edges, shift) for shift in _SHIFTS[:-1]]
    numbers = [np.zeros(1, np.uint64), *parts]  # of each level's nodes: their addresses' first bits
    levels = [_level(edges, nodes, shift) for nodes, shift in zip(numbers, _SHIFTS, strict=True)]
    behind = 1
    for level, nodes, children in zip(levels, numbers, parts, strict=False):
        _link(level, nodes, children, behind)
        behind += len(children)
    return np.concatenate(levels)


def look_up(nodes: Nodes, address: int) -> bool:
    """What source_is_in() in addr.h answers."""
    number = 0
    for shift in _SHIFTS:
        node = nodes[number]
        word, bit = divmod(address >> shift & 0xFF, 64)
        child = int(node["child"][word])
        if not child >> bit & 1:
            return bool(int(node["let_in"][word]) >> bit & 1)
        number = int(node["first"][word]) + (child & (1 << bit) - 1).bit_count()
    raise ValueError("a leaf has a child")


def _split_parts(edges: Numbers, shift: int) -> Numbers:
    """Numbers of those parts of 2**shift addresses inside of which there is an edge."""
    inside = edges[edges & np.uint64((1 << shift) - 1) != 0]
    return np.unique(inside >> np.uint64(shift))


def _level(edges: Numbers, numbers: Numbers, shift: int) -> Nodes:
    """One level's nodes with what their parts' first addresses are; no children yet."""
    nodes = np.zeros(len(numbers), _NODE)
    if not len(numbers):
        return nodes
    starts = numbers << np.uint64(shift + 8)
    row = np.searchsorted(starts, edges, "right") - 1
    row = np.maximum(row, 0)
    step = np.uint64(1 << shift)
    part = (edges - starts[row] + (step - np.uint64(1))) // step
    turns = np.zeros((len(numbers), 4), np.uint64)  # a bit where it is let in or no longer
    fits = (part < 256) & (edges > starts[row])
    part, row = part[fits], row[fits]
    bits = np.uint64(1) << (part & np.uint64(63))
    np.bitwise_xor.at(turns, (row, (part >> np.uint64(6)).astype(np.int64)), bits)
    inside = np.searchsorted(edges, starts, "right").astype(np.uint64) & np.uint64(1)
    turns[:, 0] ^= inside
    nodes["let_in"] = _parity_up_to(turns)
    return nodes


def _parity_up_to(turns: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """For each bit of rows of 256, whether an odd number of bits is set up to it."""
    for shift in (1, 2, 4, 8, 16, 32):
        turns = turns ^ turns << np.uint64(shift)
    for word in (1, 2, 3):
        turns[:, word] ^= np.uint64(0) - (turns[:, word - 1] >> np.uint64(63))
    return turns


def _link(level: Nodes, numbers: Numbers, children: Numbers, behind: int) -> None:
    """Sets what leads from a level to the next, whose nodes are numbered from `behind` on."""
    row = np.searchsorted(numbers, children >> np.uint64(8))
    part = children & np.uint64(0xFF)
    bits = np.zeros((len(numbers), 4), np.uint64)
    np.bitwise_or.at(
        bits,
        (row, (part >> np.uint64(6)).astype(np.int64)),
        np.uint64(1) << (part & np.uint64(63)),
    )
    level["child"] = bits
    level["let_in"] &= ~bits
    words = numbers[:, None] << np.uint64(8) | np.arange(0, 256, 64, dtype=np.uint64)
    level["first"] = behind + np.searchsorted(children, words)
