# SPDX-License-Identifier: Apache-2.0
"""Counters: per-CPU values added up, by the names of enum reason and of the prefixes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sixlane.bpf import Map
from sixlane.datapath import layout
from sixlane.datapath.layout import Direction, Reason

_KEYS: dict[Literal[46, 64], Direction] = {46: Direction.DIRECTION_46, 64: Direction.DIRECTION_64}


@dataclass(frozen=True)
class Counter:
    """`bytes` of layer 3, as received."""

    packets: int
    bytes: int


@dataclass(frozen=True)
class Counters:
    """`reasons`: by enum reason in lower case ("forward_46", "drop_ttl_expired", ...), all of them.

    `prefixes`: translated packets by the prefix's name and direction.
    """

    reasons: dict[str, Counter]
    prefixes: dict[str, dict[Literal[46, 64], Counter]]


def read_counters(reasons: Map, prefixes: Map, ids: Mapping[str, int]) -> Counters:
    """`ids`: the prefixes' names and the ids of their counters."""
    by_reason = _read(reasons)
    by_prefix = _read(prefixes)
    return Counters(
        {
            reason.name.lower(): by_reason[reason]
            for reason in Reason
            if reason not in (Reason.REASON_NONE, Reason.REASON_COUNT)
        },
        {
            name: {
                direction: by_prefix[id * Direction.DIRECTION_COUNT + index]
                for direction, index in _KEYS.items()
            }
            for name, id in ids.items()
        },
    )


def clear_prefix(prefixes: Map, id: int) -> None:
    """Both directions back to zero: the id is about to get another name."""
    for index in _KEYS.values():
        key = (id * Direction.DIRECTION_COUNT + index).to_bytes(4, "little")
        values = prefixes.lookup_per_cpu(key) or []
        prefixes.update_per_cpu(key, [bytes(len(value)) for value in values])


def _read(map: Map) -> dict[int, Counter]:
    return {int.from_bytes(key, "little"): _sum(values) for key, values in map.items_per_cpu()}


def _sum(values: list[bytes]) -> Counter:
    read = [layout.Counter.from_buffer_copy(value) for value in values]
    return Counter(sum(counter.pkts for counter in read), sum(counter.bytes for counter in read))
