# SPDX-License-Identifier: Apache-2.0
"""One apply is one flip: the tables of a generation are written aside, then one number is."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from sixlane.bpf import Map, MapType
from sixlane.datapath import layout
from sixlane.datapath.counters import clear_prefix
from sixlane.datapath.tables import Tables

ZERO = bytes(4)
SLOTS = 2
_OUTER = ("gateways", "ranges", "eam4", "eam6")


def commit(
    maps: Mapping[str, Map], tables: Tables, present: int, present_ids: Mapping[str, int]
) -> int:
    """Puts tables in force between two packets; returns the new generation.

    `present`: the generation in force, with its prefixes and the ids of their counters. All is
    written aside first. An error before the flip changes nothing for any packet.
    """
    generation = present + 1
    slot = slot_key(generation % SLOTS)
    for entry in tables.prefixes:
        if present_ids.get(entry.name) != entry.id:
            clear_prefix(maps, entry.id)
    with ExitStack() as stack:
        for name, fill in _fillers(tables).items():
            maps[name].update(slot, stack.enter_context(fill()))
        maps["generation"].update(ZERO, slot_key(generation))
        wait_for_packets(maps, generation)  # in the old slot
    for name in _OUTER:
        maps[name].delete(slot_key((generation + 1) % SLOTS))
    return generation


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
    for slot in range(SLOTS):
        for name in _OUTER:
            maps[name].delete(slot_key(slot))


def _fillers(tables: Tables) -> dict[str, Callable[[], Map]]:
    """For each outer map, what makes and fills the inner one."""
    blocks = tables.ranges.tobytes()
    block_bytes = _inner_layout("ranges").value_bytes
    ranges = {
        slot_key(index): blocks[index * block_bytes : (index + 1) * block_bytes]
        for index in range(len(blocks) // block_bytes)
    }
    return {
        "gateways": lambda: _filled("gateways", {ZERO: tables.gateway}),
        "ranges": lambda: _filled("ranges", ranges),
        "eam4": lambda: _filled("eam4", tables.eam4),
        "eam6": lambda: _filled("eam6", tables.eam6),
    }


def _filled(name: str, items: dict[bytes, bytes]) -> Map:
    inner = _inner_layout(name)
    created = Map.create(
        MapType(inner.type),
        f"{name}_in",
        key_size=inner.key_bytes,
        value_size=inner.value_bytes,
        max_entries=max(1, len(items)),
        flags=inner.flags,
    )
    try:
        if items:
            created.update_batch(items.items())
    except BaseException:
        created.close()
        raise
    return created


def _inner_layout(name: str) -> layout.MapLayout:
    inner = layout.MAPS[name].inner
    assert inner is not None
    return inner


def slot_key(number: int) -> bytes:
    """A number as arrays take their keys."""
    return number.to_bytes(4, "little")


def number_of(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "little")
