# SPDX-License-Identifier: Apache-2.0
"""What is known of each IPv4 address, as the trie that the data path looks up (struct range_block).

Strides 16, 8, 8: the root's 65,536 words fill blocks 0 to 255; a word is either the answer or
another block of 256 words. Block 256 holds the sets of pool6 prefixes that words have numbers of.
"""

import numpy as np
from numpy.typing import NDArray

from sixlane.datapath.layout import RangeWord
from sixlane.errors import ConfigError

Numbers = NDArray[np.uint64]
Words = NDArray[np.uint32]

_BLOCK = 256
_FIRST_BLOCK = RangeWord.RANGE_NATIVE_SETS + 1  # behind the root and the sets
_MOST_SETS = _BLOCK // 2


def build_trie(edges: Numbers, words: Words, sets: Numbers) -> Words:
    """The blocks, one a row.

    `words[n]` (enum range_word without RANGE_BLOCK) is known of the addresses from `edges[n]` to
    the next edge; edges rise, and nothing is known before the first. `sets[n]`: set n of pool6
    prefixes, a bit for each index; the first is empty. ConfigError if there are too many.
    """
    edges, words = _without_repeats(edges, words)
    middle = _split_parts(edges, 16)
    leaves = _split_parts(edges, 8)
    root = _words_at(edges, words, np.zeros(1, np.uint64), 16, 1 << 16)
    first_leaf = _FIRST_BLOCK + len(middle)
    root[0, middle.astype(np.int64)] = _blocks(_FIRST_BLOCK, len(middle))
    between = _words_at(edges, words, middle << np.uint64(16), 8, _BLOCK)
    parents = np.searchsorted(middle, leaves >> np.uint64(8))
    between[parents, (leaves & np.uint64(0xFF)).astype(np.int64)] = _blocks(first_leaf, len(leaves))
    last = _words_at(edges, words, leaves << np.uint64(8), 0, _BLOCK)
    return np.concatenate((root.reshape(-1, _BLOCK), _sets_block(sets), between, last))


def look_up(trie: Words, address: int) -> int:
    """What range_of() in addr.h answers."""
    block = address >> 24
    for shift in (16, 8, 0):
        word = int(trie[block, address >> shift & 0xFF])
        if not word & RangeWord.RANGE_BLOCK:
            return word
        block = word & ~RangeWord.RANGE_BLOCK
    raise ValueError("a leaf points to another block")


def native_pool6(trie: Words, word: int) -> int:
    """The set that a word has the number of, as range_is_native() in addr.h reads it."""
    number = (word & RangeWord.RANGE_NATIVE_MASK) >> RangeWord.RANGE_NATIVE_SHIFT
    low, high = trie[RangeWord.RANGE_NATIVE_SETS, number * 2 : number * 2 + 2].tolist()
    return int(low | high << 32)


def _sets_block(sets: Numbers) -> Words:
    """Two words a set, the low one first."""
    if len(sets) > _MOST_SETS:
        raise ConfigError(
            f"native routes: {len(sets)} different sets of prefixes have them, of {_MOST_SETS}",
            "routes below fewer pool6 prefixes at once",
        )
    block = np.zeros((1, _BLOCK), np.uint32)
    block[0, 0 : 2 * len(sets) : 2] = sets & np.uint64(0xFFFFFFFF)
    block[0, 1 : 2 * len(sets) : 2] = sets >> np.uint64(32)
    return block


def _without_repeats(edges: Numbers, words: Words) -> tuple[Numbers, Words]:
    """Something is known from 0 on, and every edge changes it."""
    edges = np.concatenate((np.zeros(1, np.uint64), edges))
    words = np.concatenate((np.zeros(1, np.uint32), words))
    last = np.append(edges[1:] != edges[:-1], True)
    edges, words = edges[last], words[last]
    changes = np.append(True, words[1:] != words[:-1])
    return edges[changes], words[changes]


def _split_parts(edges: Numbers, shift: int) -> Numbers:
    """Numbers of those parts of 2**shift addresses inside of which there is an edge."""
    inside = edges[edges & np.uint64((1 << shift) - 1) != 0]
    return np.unique(inside >> np.uint64(shift))


def _words_at(edges: Numbers, words: Words, starts: Numbers, shift: int, parts: int) -> Words:
    """For each node that begins at one of `starts`: what is known of the first address of each of
    its `parts`, of 2**shift addresses each."""
    size = np.uint64(parts << shift)
    known = np.zeros(len(starts) * parts, np.int64)  # places in `words`, rising
    known[::parts] = np.searchsorted(edges, starts, "right") - 1
    if len(starts):
        row = np.searchsorted(starts, edges, "right") - 1
        inside = np.flatnonzero((row >= 0) & (edges - starts[row] < size))
        row = row[inside]
        step = np.uint64(1 << shift)
        part = (edges[inside] - starts[row] + (step - np.uint64(1))) // step
        fits = part < parts
        known[row[fits] * parts + part[fits].astype(np.int64)] = inside[fits]  # the last one stays
    return words[np.maximum.accumulate(known)].reshape(len(starts), parts)


def _blocks(first: int, count: int) -> Words:
    return np.arange(first, first + count, dtype=np.uint32) | np.uint32(RangeWord.RANGE_BLOCK)
