# SPDX-License-Identifier: Apache-2.0
"""What is known of each IPv4 address, as the trie that the data path looks up (struct range_block).

Strides 16, 8, 8: the root's 65,536 words fill blocks 0 to 255; a word is either the answer or
another block of 256 words.
"""

from array import array
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, collapse_addresses

from sixlane.datapath.layout import RangeWord

Interval = tuple[int, int, int]
"""First address, first address behind, word (enum range_word without RANGE_BLOCK)."""

_BLOCK = 256
_ROOT_WORDS = 65536


class Layers:
    """Sets of addresses laid over each other, each with what it adds to an address's word."""

    def __init__(self) -> None:
        self._edges: list[tuple[int, int]] = []  # where which layer begins or ends
        self._layers = 0

    def add(self, networks: Iterable[IPv4Network]) -> int:
        """The number of a new layer that covers `networks`, which may overlap."""
        layer, self._layers = self._layers, self._layers + 1
        for network in collapse_addresses(networks):
            first = int(network.network_address)
            self._edges.append((first, layer))
            self._edges.append((first + network.num_addresses, layer))
        return layer

    def walk(self) -> Iterator[tuple[int, int, int]]:
        """First address, first behind, and the bit mask of layers, where that is not 0."""
        self._edges.sort()
        active, start = 0, 0
        for at, layer in self._edges:
            if active and at > start:
                yield start, at, active
            start = at
            active ^= 1 << layer


def build_trie(intervals: Iterable[Interval]) -> "array[int]":
    """The blocks' words, one block behind the other; `intervals` must be disjoint."""
    words = array("I", bytes(4 * _ROOT_WORDS))
    for first, behind, word in intervals:
        _paint(words, 0, 0, 16, first, behind, word)
    return words


def _paint(
    words: "array[int]", base: int, origin: int, shift: int, first: int, behind: int, word: int
) -> None:
    """Sets [first, behind) in a node whose words start at `base` and stand for 2**shift each."""
    slot, last = (first - origin) >> shift, (behind - 1 - origin) >> shift
    size = 1 << shift
    if first & (size - 1) or (slot == last and behind - first < size):
        edge = min(behind, origin + (slot + 1) * size)
        _paint(words, *_child(words, base, origin, shift, slot), first, edge, word)
        slot += 1
    if slot <= last and behind & (size - 1):
        _paint(
            words,
            *_child(words, base, origin, shift, last),
            origin + last * size,
            behind,
            word,
        )
        last -= 1
    if slot <= last:
        words[base + slot : base + last + 1] = array("I", [word]) * (last + 1 - slot)


def _child(
    words: "array[int]", base: int, origin: int, shift: int, slot: int
) -> tuple[int, int, int]:
    """Base, origin and shift of the block behind a slot, made if need be."""
    entry = words[base + slot]
    if not entry & RangeWord.RANGE_BLOCK:
        block = len(words) // _BLOCK
        words.extend([entry] * _BLOCK)
        entry = words[base + slot] = RangeWord.RANGE_BLOCK | block
    return (entry & ~RangeWord.RANGE_BLOCK) * _BLOCK, origin + (slot << shift), shift - 8


def look_up(words: "array[int]", address: int) -> int:
    """What range_of() in addr.h answers."""
    base, shift = 0, 16
    while True:
        entry = words[base + ((address >> shift) & (0xFFFF if shift == 16 else 0xFF))]
        if not entry & RangeWord.RANGE_BLOCK:
            return entry
        base, shift = (entry & ~RangeWord.RANGE_BLOCK) * _BLOCK, shift - 8
