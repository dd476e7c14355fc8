# SPDX-License-Identifier: Apache-2.0
"""Counters: per-CPU values added up, by the names of enum reason and of the prefixes.

What maps of another layout had counted lies beside them (`past_counters`, `past_prefixes`), by the
map that counted it: to take it over twice is to take it over once.
"""

from collections import defaultdict
from collections.abc import Container, Mapping
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

    def __add__(self, other: "Counter") -> "Counter":
        return Counter(self.packets + other.packets, self.bytes + other.bytes)


@dataclass(frozen=True)
class Counters:
    """`reasons`: by enum reason in lower case ("forward_46", "drop_ttl_expired", ...), all of them.

    `prefixes`: translated packets by the prefix's name and direction.
    """

    reasons: dict[str, Counter]
    prefixes: dict[str, dict[Literal[46, 64], Counter]]


PastReasons = Mapping[bytes, Counter]
"""By struct past_reason."""
PastPrefixes = Mapping[bytes, Counter]
"""By struct past_prefix."""


def read_counters(
    maps: Mapping[str, Map],
    ids: Mapping[str, int],
    past_reasons: PastReasons,
    past_prefixes: PastPrefixes,
) -> Counters:
    """`ids`: the prefixes' names and the ids of their counters. `past_*`: beside what is kept."""
    by_reason = read_reasons(maps["counters"])
    for key, counter in (_past(maps["past_counters"]) | _foreign(maps, past_reasons)).items():
        by_reason[layout.PastReason.from_buffer_copy(key).reason] += counter
    by_prefix = _read(maps["prefix_counters"])
    for key, counter in (_past(maps["past_prefixes"]) | _foreign(maps, past_prefixes)).items():
        prefix = layout.PastPrefix.from_buffer_copy(key)
        by_prefix[_index(prefix.id, prefix.direction)] += counter
    return Counters(
        {
            reason.name.lower(): by_reason[reason]
            for reason in Reason
            if reason not in (Reason.REASON_NONE, Reason.REASON_COUNT)
        },
        {
            name: {direction: by_prefix[_index(id, index)] for direction, index in _KEYS.items()}
            for name, id in ids.items()
        },
    )


def keep_past(
    maps: Mapping[str, Map], reasons: PastReasons, prefixes: PastPrefixes, ids: Container[int]
) -> None:
    """Takes over what was counted in maps that are about to go; `ids`: the prefixes to keep."""
    for key, counter in _foreign(maps, reasons).items():
        maps["past_counters"].update(key, _value(counter))
    for key, counter in _foreign(maps, prefixes).items():
        if layout.PastPrefix.from_buffer_copy(key).id in ids:
            maps["past_prefixes"].update(key, _value(counter))


def read_reasons(reasons: Map) -> dict[int, Counter]:
    """By enum reason; what the present map has counted."""
    return _read(reasons)


def clear_prefix(maps: Mapping[str, Map], id: int) -> None:
    """Both directions back to zero: the id is about to get another name."""
    for index in _KEYS.values():
        key = _index(id, index).to_bytes(4, "little")
        values = maps["prefix_counters"].lookup_per_cpu(key) or []
        maps["prefix_counters"].update_per_cpu(key, [bytes(len(value)) for value in values])
    for key in _past(maps["past_prefixes"]):
        if layout.PastPrefix.from_buffer_copy(key).id == id:
            maps["past_prefixes"].delete(key)


def _index(id: int, direction: int) -> int:
    return id * Direction.DIRECTION_COUNT + direction


def _read(counters: Map) -> dict[int, Counter]:
    return defaultdict(
        lambda: Counter(0, 0),
        {
            int.from_bytes(key, "little"): sum(map(_counter, values), Counter(0, 0))
            for key, values in counters.items_per_cpu()
        },
    )


def _past(kept: Map) -> dict[bytes, Counter]:
    return {key: _counter(value) for key, value in kept.items()}


def _foreign(maps: Mapping[str, Map], past: Mapping[bytes, Counter]) -> dict[bytes, Counter]:
    """Without what our own maps counted: another version may have taken that over, and lost."""
    ours = {maps[name].info.id for name in ("counters", "prefix_counters")}
    return {key: counter for key, counter in past.items() if _map_of(key) not in ours}


def _map_of(key: bytes) -> int:
    """The last field of either key."""
    return int.from_bytes(key[-4:], "little")


def _counter(value: bytes) -> Counter:
    read = layout.Counter.from_buffer_copy(value)
    return Counter(read.pkts, read.bytes)


def _value(counter: Counter) -> bytes:
    return bytes(layout.Counter(counter.packets, counter.bytes))
