# SPDX-License-Identifier: Apache-2.0
"""Counters: per-CPU values added up, by the names of enum reason and of the prefixes.

What maps of another layout had counted lies beside them (`past_counters`, `past_prefixes`), by the
map that counted it: to take it over twice is to take it over once.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from sixlane.bpf import Map
from sixlane.datapath import layout
from sixlane.datapath.layout import Direction, Protocol, Reason

_Key = tuple[int, int, int, int]
"""Prefix, direction, protocol and reason, as in struct past_prefix."""

_TRANSLATED: dict[Literal[46, 64], tuple[tuple[Direction, Reason], ...]] = {
    46: (
        (Direction.DIRECTION_46, Reason.FORWARD_46),
        # A hairpin is what comes in to the prefix that serves its destination.
        (Direction.DIRECTION_64, Reason.FORWARD_HAIRPIN),
    ),
    64: (
        (Direction.DIRECTION_64, Reason.FORWARD_64),
        # Translated, and then to be cut; the other way it is cut first.
        (Direction.DIRECTION_64, Reason.FORWARD_SLOW_PATH),
    ),
}


@dataclass(frozen=True)
class Counter:
    """`bytes` of layer 3, as received."""

    packets: int
    bytes: int

    def __add__(self, other: "Counter") -> "Counter":
        return Counter(self.packets + other.packets, self.bytes + other.bytes)


@dataclass(frozen=True)
class Kind:
    """Of packets that are counted together. `prefix`: None where a packet leaves before it is known
    which one serves it; `direction`: by the family that it came in as; `protocol`: tcp, udp, icmp
    or other; `reason`: as in `Counters.reasons`.
    """

    prefix: str | None
    direction: Literal[46, 64]
    protocol: str
    reason: str


@dataclass(frozen=True)
class Counters:
    """`reasons`: by enum reason in lower case ("forward_46", "drop_ttl_expired", ...), all of them.

    `prefixes`: translated packets by the prefix's name and direction. `traffic`: the same packets
    as in `reasons`, but for those of prefixes that are gone and for what is beside a packet's end;
    kinds of which there was none are left out.
    """

    reasons: dict[str, Counter]
    prefixes: dict[str, dict[Literal[46, 64], Counter]]
    traffic: dict[Kind, Counter]


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
    places = {name: id + 1 for name, id in ids.items()}
    found = _read_prefixes(maps["prefix_counters"], [0, *places.values()])
    for key, counter in (_past(maps["past_prefixes"]) | _foreign(maps, past_prefixes)).items():
        past = layout.PastPrefix.from_buffer_copy(key)
        found[past.prefix, past.direction, past.protocol, past.reason] += counter
    names: dict[int, str | None] = {place: name for name, place in places.items()}
    names[0] = None
    return Counters(
        {
            reason.name.lower(): by_reason[reason]
            for reason in Reason
            if reason not in (Reason.REASON_NONE, Reason.REASON_COUNT)
        },
        {name: _translated(found, place) for name, place in places.items()},
        {
            _kind(names[key[0]], *key[1:]): counter
            for key, counter in sorted(found.items())
            if counter.packets and key[0] in names
        },
    )


def _kind(prefix: str | None, direction: int, protocol: int, reason: int) -> Kind:
    return Kind(
        prefix,
        46 if direction == Direction.DIRECTION_46 else 64,
        Protocol(protocol).name.removeprefix("PROTOCOL_").lower(),
        Reason(reason).name.lower(),
    )


def _translated(found: Mapping[_Key, Counter], place: int) -> dict[Literal[46, 64], Counter]:
    return {
        direction: sum(
            (
                counter
                for (prefix, came, _, reason), counter in found.items()
                if prefix == place and (came, reason) in ends
            ),
            Counter(0, 0),
        )
        for direction, ends in _TRANSLATED.items()
    }


def keep_past(
    maps: Mapping[str, Map], reasons: PastReasons, prefixes: PastPrefixes, ids: Container[int]
) -> None:
    """Takes over what was counted in maps that are about to go; `ids`: the prefixes to keep."""
    for key, counter in _foreign(maps, reasons).items():
        maps["past_counters"].update(key, _value(counter))
    for key, counter in _foreign(maps, prefixes).items():
        if layout.PastPrefix.from_buffer_copy(key).prefix - 1 in ids:
            maps["past_prefixes"].update(key, _value(counter))


def read_reasons(reasons: Map) -> dict[int, Counter]:
    """By enum reason; what the present map has counted."""
    return _read(reasons)


def clear_prefix(maps: Mapping[str, Map], id: int) -> None:
    """All of a prefix back to zero: the id is about to get another name."""
    for row in _rows(id + 1):
        values = maps["prefix_counters"].lookup_per_cpu(_index(row)) or []
        maps["prefix_counters"].update_per_cpu(_index(row), [bytes(len(value)) for value in values])
    for key in _past(maps["past_prefixes"]):
        if layout.PastPrefix.from_buffer_copy(key).prefix == id + 1:
            maps["past_prefixes"].delete(key)


def _rows(place: int) -> range:
    """The elements of `prefix_counters` that belong to a prefix."""
    each = Direction.DIRECTION_COUNT * Protocol.PROTOCOL_COUNT
    return range(place * each, (place + 1) * each)


def _index(row: int) -> bytes:
    return row.to_bytes(4, "little")


def _read_prefixes(counters: Map, places: Iterable[int]) -> defaultdict[_Key, Counter]:
    found: defaultdict[_Key, Counter] = defaultdict(lambda: Counter(0, 0))
    for row in chain.from_iterable(map(_rows, places)):
        values = [memoryview(one).cast("Q") for one in counters.lookup_per_cpu(_index(row)) or []]
        rest, protocol = divmod(row, Protocol.PROTOCOL_COUNT)
        prefix, direction = divmod(rest, Direction.DIRECTION_COUNT)
        for reason in range(Reason.REASON_COUNT):
            packets = sum(one[2 * reason] for one in values)
            if packets:
                size = sum(one[2 * reason + 1] for one in values)
                found[prefix, direction, protocol, reason] = Counter(packets, size)
    return found


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
