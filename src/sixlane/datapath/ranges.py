# SPDX-License-Identifier: Apache-2.0
"""What is known of each IPv4 address, as the trie that the data path looks up (struct range_block).

Strides 16, 8, 8: the root's 65,536 words fill blocks 0 to 255; a word is either the answer or
another block of 256 words.
"""

import numpy as np
from numpy.typing import NDArray

from sixlane.datapath.layout import RangeWord

Numbers = NDArray[np.uint64]
Words = NDArray[np.uint32]

_BLOCK = 256
_ROOT_BLOCKS = 256


def build_trie(edges: Numbers, words: Words) -> Words:
    """The blocks, one a row.

    `words[n]` (enum range_word without RANGE_BLOCK) is known of the addresses from `edges[n]` to
    the next edge; edges rise, and nothing is known before the first.
    """
    edges, words = _without_repeats(edges, words)
    middle = _split_parts(edges, 16)
    leaves = _split_parts(edges, 8)
    root = _words_at(edges, words, np.zeros(1, np.uint64), 16, 1 << 16)
    first_leaf = _ROOT_BLOCKS + len(middle)
    root[0, middle.astype(np.int64)] = _blocks(_ROOT_BLOCKS, len(middle))
    between = _words_at(edges, words, middle << np.uint64(16), 8, _BLOCK)
    parents = np.searchsorted(middle, leaves >> np.uint64(8))
    between[parents, (leaves & np.uint64(0xFF)).astype(np.int64)] = _blocks(first_leaf, len(leaves))
    last = _words_at(edges, words, leaves << np.uint64(8), 0, _BLOCK)
    return np.concatenate((root.reshape(-1, _BLOCK), between, last))


def look_up(trie: Words, address: int) -> int:
    """What range_of() in addr.h answers."""
    block = address >> 24
    for shift in (16, 8, 0):
        word = int(trie[block, address >> shift & 0xFF])
        if not word & RangeWord.RANGE_BLOCK:
            return word
        block = word & ~RangeWord.RANGE_BLOCK
    raise ValueError("a leaf points to another block")


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
