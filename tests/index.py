# SPDX-License-Identifier: Apache-2.0
"""What the indices of sessions and bindings hold (bpf/sixlane/index.h)."""

from sixlane.bpf import Map
from sixlane.datapath import layout

_SLOT = (1 << 32) - 1
INDICES = ("sessions6", "sessions4", "bindings6")


def slots_of(index: Map) -> list[int]:
    """Slots of the records that it leads to, by rising numbers."""
    found = [
        (cell & _SLOT) - 1
        for _, value in index.items()
        for cell in layout.IndexSet.from_buffer_copy(value).cells
        if cell
    ]
    return sorted(found)


def elsewhere(index: Map) -> int:
    """How many of them are in the other set of their keys."""
    return sum(layout.IndexSet.from_buffer_copy(value).elsewhere for _, value in index.items())
