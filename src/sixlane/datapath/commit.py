# SPDX-License-Identifier: Apache-2.0
"""One apply is one flip: the tables of a generation are written aside, then one number is.

Both slots hold the same inner maps between two commits. A commit makes new ones of what changed and
nothing else, so a change of one prefix costs by that prefix, however large the others are.
"""

from array import array
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sixlane.bpf import Map, MapType
from sixlane.datapath import layout
from sixlane.datapath.counters import clear_prefix
from sixlane.datapath.layout import Limit
from sixlane.datapath.services import NO_SERVICES, ServicesInForce, services_of
from sixlane.datapath.tables import Tables

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

ZERO = bytes(4)
SLOTS = 2
_SERVICES = ("frontends", "service_bits", "services")
_OUTER = ("gateways", "ranges", "eam4", "eam6", "sources", *_SERVICES, "service_sources")

_Place = tuple[str, int]
"""An outer map, and which of a slot's inner maps in it."""


@dataclass
class Written:
    """What a commit wrote: the elements of each table that it made, none of those it carried over.

    Tables are called as their maps; one of sources is `sources/<prefix>`.
    """

    generation: int
    elements: dict[str, int] = field(default_factory=dict)


def commit(maps: Mapping[str, Map], tables: Tables, present_ids: Mapping[str, int]) -> Written:
    """Puts tables in force between two packets.

    `present_ids`: the prefixes so far and the ids of their counters. All is written aside first.
    An error before the flip changes nothing for any packet.
    """
    generation = number_of(maps["generation"].lookup(ZERO))
    present = gateway_in_force(maps) or layout.Gateway()
    for entry in tables.prefixes:
        if present_ids.get(entry.name) != entry.id:
            clear_prefix(maps, entry.id)
    written = Written(generation + 1)
    old, new = generation % SLOTS, written.generation % SLOTS
    with ExitStack() as stack:
        inner = _Maker(maps, old, stack, written).make(tables, present)
        _put(maps, new, inner)
        maps["generation"].update(ZERO, slot_key(written.generation))
        wait_for_packets(maps, written.generation)  # in the old slot
        _put(maps, old, inner)
    return written


def wait_for_packets(maps: Mapping[str, Map], generation: int) -> None:
    """Returns when no packet is at work any more that was before, if tables are in force.

    Updating a map of maps waits for it (RCU).
    """
    slot = slot_key(generation % SLOTS)
    present = maps["gateways"].lookup(slot)
    if present is not None:
        with Map.from_id(number_of(present)) as again:
            maps["gateways"].update(slot, again)


def clear(maps: Mapping[str, Map]) -> None:
    """Puts no tables in force: every packet passes to the kernel."""
    for name in _OUTER:
        places = [slot_key(number) for number in range(layout.MAPS[name].max_entries)]
        if name == "sources":  # to take out one waits for packets at work; to change all, as long
            with _created(name, 1) as nobody:
                maps[name].update_batch((place, nobody) for place in places)
            continue
        for place in places:
            if maps[name].lookup(place) is not None:
                maps[name].delete(place)


def gateway_in_force(maps: Mapping[str, Map]) -> layout.Gateway | None:
    """Read from the kernel; None if no tables are in force."""
    slot = number_of(maps["generation"].lookup(ZERO)) % SLOTS
    found = maps["gateways"].lookup(slot_key(slot))
    if found is None:
        return None
    with Map.from_id(number_of(found)) as inner:
        return layout.Gateway.from_buffer_copy(inner.lookup(ZERO) or b"")


def services_in_force(maps: Mapping[str, Map]) -> ServicesInForce:
    """Names and numbers, read from the kernel."""
    slot = number_of(maps["generation"].lookup(ZERO)) % SLOTS
    ids = [_inner_id(maps, slot, (name, 0)) for name in ("services", "frontends")]
    if not all(ids):
        return ServicesInForce()
    with Map.from_id(ids[0]) as services, Map.from_id(ids[1]) as frontends:
        return services_of(services, frontends)


class _Maker:
    """Makes the inner maps of a generation, or takes them from the one in force."""

    def __init__(
        self, maps: Mapping[str, Map], slot: int, stack: ExitStack, written: Written
    ) -> None:
        self._maps = maps
        self._slot = slot  # in force
        self._stack = stack  # closes what is opened here; the kernel keeps what is in use
        self._elements = written.elements

    def make(self, tables: Tables, present: layout.Gateway) -> dict[_Place, Map]:
        """For each place of a slot its inner map."""
        inner = {("gateways", 0): self._array("gateways", "gateways", tables.gateway)}
        if tables.ranges.digest == present.ranges_digest:
            inner |= self._carried(("ranges", 0))
        if tables.eam.digest == present.eam_digest:
            inner |= self._carried(("eam4", 0), ("eam6", 0))
        if ("ranges", 0) not in inner:
            inner["ranges", 0] = self._array("ranges", "ranges", tables.ranges.build().data)
        if ("eam4", 0) not in inner:
            rows = tables.eam.build()
            inner["eam4", 0] = self._hash("eam4", rows.keys4.data, rows.values4.data)
            inner["eam6", 0] = self._hash("eam6", rows.keys6.data, rows.values6.data)
        return inner | self._sources(tables, present) | self._services(tables, present)

    def _sources(self, tables: Tables, present: layout.Gateway) -> dict[_Place, Map]:
        """Lists that are alike share a map. Where there is none, nobody is let in."""
        there = {digest: place for place, digest in enumerate(present.sources_digests)}
        by_digest: dict[int, Map] = {}
        wanted = [entry.sources for entry in tables.prefixes]
        for at, table in enumerate(wanted):
            if table is None or table.digest in by_digest:
                continue
            place = ("sources", there.get(table.digest, -1))
            name = f"sources/{tables.prefixes[at].name}"
            found = self._carried(place)
            by_digest[table.digest] = found.get(place) or self._array(
                "sources", name, table.build().data
            )
        nobody = self._nobody(there.get(0, -1))
        wanted += [None] * (Limit.MAX_PREFIXES - len(wanted))
        return {
            ("sources", place): by_digest[table.digest] if table else nobody
            for place, table in enumerate(wanted)
        }

    def _nobody(self, place: int) -> Map:
        found = self._carried(("sources", place))
        return found.get(("sources", place)) or self._array(
            "sources", "", bytes(layout.SourceNode())
        )

    def _services(self, tables: Tables, present: layout.Gateway) -> dict[_Place, Map]:
        services = tables.services or NO_SERVICES
        inner: dict[_Place, Map] = {}
        if services.digest == present.services_digest:
            inner |= self._carried(*((name, 0) for name in _SERVICES))
        if services.sources_digest == present.service_sources_digest:
            inner |= self._carried(("service_sources", 0))
        if ("services", 0) not in inner:
            rows = services.frontend_tables()
            inner["frontends", 0] = self._array("frontends", "frontends", rows.sets)
            inner["service_bits", 0] = self._array("service_bits", "service_bits", rows.bits)
            inner["services", 0] = self._array("services", "services", services.service_rows())
        if ("service_sources", 0) not in inner:
            inner["service_sources", 0] = self._hash("service_sources", *services.source_rows())
        return inner

    def _carried(self, *places: _Place) -> dict[_Place, Map]:
        """What is in force at these places; nothing if it is not there whole."""
        ids = {place: _inner_id(self._maps, self._slot, place) for place in places}
        if not all(ids.values()):
            return {}
        return {place: self._stack.enter_context(Map.from_id(id)) for place, id in ids.items()}

    def _array(self, table: str, name: str, values: "Buffer") -> Map:
        count = memoryview(values).nbytes // _inner_layout(table).value_bytes
        return self._filled(table, name, array("I", range(count)), values, count)

    def _hash(self, table: str, keys: "Buffer", values: "Buffer") -> Map:
        count = memoryview(keys).nbytes // _inner_layout(table).key_bytes
        return self._filled(table, table, keys, values, count)

    def _filled(self, table: str, name: str, keys: "Buffer", values: "Buffer", count: int) -> Map:
        created = self._stack.enter_context(_created(table, count))
        if count:
            created.update_rows(keys, values)
        if name:
            self._elements[name] = count
        return created


def _created(table: str, count: int) -> Map:
    """An inner map with room for so many elements, all zero in an array."""
    inner = _inner_layout(table)
    return Map.create(
        MapType(inner.type),
        f"{table}_in",
        key_size=inner.key_bytes,
        value_size=inner.value_bytes,
        max_entries=max(1, count),
        flags=inner.flags,
    )


def _put(maps: Mapping[str, Map], slot: int, inner: Mapping[_Place, Map]) -> None:
    """Has a slot hold these inner maps; each outer map is written at most once, or not at all."""
    for name in _OUTER:
        changed = [
            (slot_key(_at(slot, place)), one)
            for place, one in inner.items()
            if place[0] == name and _inner_id(maps, slot, place) != one.info.id
        ]
        maps[name].update_batch(changed)


def _inner_id(maps: Mapping[str, Map], slot: int, place: _Place) -> int:
    """The kernel's number of an inner map; 0 if the place is free or there is no such place."""
    name, index = place
    return number_of(maps[name].lookup(slot_key(_at(slot, place)))) if index >= 0 else 0


def _at(slot: int, place: _Place) -> int:
    """The index of a place of one slot in its outer map."""
    name, index = place
    return slot * (layout.MAPS[name].max_entries // SLOTS) + index


def _inner_layout(name: str) -> layout.MapLayout:
    inner = layout.MAPS[name].inner
    assert inner is not None
    return inner


def slot_key(number: int) -> bytes:
    """A number as arrays take their keys."""
    return number.to_bytes(4, "little")


def number_of(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "little")
