# SPDX-License-Identifier: Apache-2.0
"""What another version of sixlane left in maps of another layout, read by its own names for it.

The kernel keeps the types (BTF) that a map was made with, so that no version has to know another's
structs: a counter is found by the name of its reason, a prefix by its name. "Older" is what was
there before; after a downgrade, that is the newer version.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sixlane.bpf import Btf, Map
from sixlane.bpf.btf import Array, Enum, Struct, Type
from sixlane.datapath import layout
from sixlane.datapath.counters import Counter
from sixlane.datapath.layout import Direction, Protocol, Reason
from sixlane.datapath.pins import Group
from sixlane.datapath.pools import Placed
from sixlane.errors import KernelError

_log = logging.getLogger("sixlane.datapath")

_ZERO = bytes(4)
Names = dict[int, str]


class Older:
    """Maps of other layouts, open until they are closed."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._maps = [
            (name, Map.from_pin(path)) for group in groups for name, path in group.items()
        ]
        self._tables = {name: map for name, map in self._maps if name in ("generation", "gateways")}
        self._reasons = list(_named(self._maps, ("counters", "past_counters"), "reason"))
        self._prefixes = list(_named(self._maps, ("prefix_counters", "past_prefixes"), "protocol"))

    def close(self) -> None:
        """Lets go of them. From now on there is nothing to be read."""
        for _, map in self._maps:
            map.close()
        self._maps, self._tables, self._reasons, self._prefixes = [], {}, [], []

    def __bool__(self) -> bool:
        return bool(self._maps)

    def generation(self) -> int:
        """How often the tables were flipped; 0 if that is not known."""
        found = self._tables.get("generation")
        value = found.lookup(_ZERO) if found and found.info.value_size == 4 else None
        return int.from_bytes(value or b"", "little")

    def prefix_ids(self) -> dict[str, int]:
        """The prefixes in force and the ids of their counters; none if that is not known."""
        try:
            gateway = self._gateway()
            return {
                bytes(label["text"]).rstrip(b"\0").decode(): prefix["id"]
                for label, prefix, _ in zip(
                    gateway["names"],
                    gateway["prefixes"],
                    range(gateway["prefix_count"]),
                    strict=False,
                )
            }
        except (LookupError, TypeError, ValueError):
            return {}

    def placed(self) -> Placed | None:
        """Where the addresses of pool4 are; None if there are none, or that is not known."""
        try:
            gateway = self._gateway()
            return Placed.of(
                [
                    (pool["first_range"], pool["range_count"], pool["block_words"])
                    for pool in gateway["pools"][: gateway["pool_count"]]
                ],
                [
                    (one["first"], one["count"], one["index"])
                    for one in gateway["pool_ranges"][: gateway["pool_range_count"]]
                ],
                gateway["client_bits"],
            )
        except (LookupError, TypeError, ValueError):
            return None

    def reasons(self) -> dict[bytes, Counter]:
        """What was counted, for the reasons that this version has, too: by struct past_reason."""
        found = {}
        for map, types, names in self._reasons:
            for key, counter in _counted(map, types, "reason"):
                name = names.get(key["reason"], "")
                if name in Reason.__members__ and counter.packets:
                    found[bytes(layout.PastReason(Reason[name], key["map"]))] = counter
        return found

    def prefixes(self) -> dict[bytes, Counter]:
        """What was counted for each prefix, by struct past_prefix."""
        found = {}
        for map, types, _ in self._prefixes:
            for key, counter in _counted_by_prefix(map, types):
                past = _past_prefix(types, key)
                if past is not None and counter.packets:
                    found[bytes(past)] = counter
        return found

    def _gateway(self) -> Any:
        """struct gateway of the tables in force. LookupError, TypeError: it cannot be read."""
        gateways = self._tables["gateways"]
        slot = self.generation() % gateways.info.max_entries
        types = _types(self._tables["generation"])
        inner = gateways.lookup(slot.to_bytes(4, "little"))
        if inner is None:
            raise LookupError("no tables are in force")
        with Map.from_id(int.from_bytes(inner, "little")) as found:
            struct = types.find(Struct, "gateway")
            if found.info.value_size != struct.size:
                raise LookupError("struct gateway")
            return _decoded(types, struct, found.lookup(_ZERO) or b"")


def _named(
    maps: Iterable[tuple[str, Map]], wanted: tuple[str, ...], enum: str
) -> Iterator[tuple[Map, Btf, Names]]:
    """The wanted maps, with their types and the names of an enum in them."""
    for name, map in maps:
        if name in wanted:
            try:
                types = _types(map)
                values = types.find(Enum, enum).values
            except LookupError as error:
                _log.warning("%s of another version is lost: %s in its types", name, error)
                continue
            yield map, types, {value.value: value.name for value in values}


def _types(map: Map) -> Btf:
    if not map.info.btf_id:
        raise LookupError(f"{map.info.name} has no types")
    try:
        return Btf.from_id(map.info.btf_id)
    except KernelError as error:
        raise LookupError(str(error)) from error


def _counted(map: Map, types: Btf, index: str) -> Iterator[tuple[dict[str, int], Counter]]:
    """What is in a map of counters, keyed by `index`, or of sums. `map` says what counted it."""
    struct = types.find(Struct, "counter")
    if map.info.btf_key_type_id and isinstance(
        key_type := types.strip(types[map.info.btf_key_type_id]), Struct
    ):
        for key, value in map.items():
            yield _decoded(types, key_type, key), _sum([_decoded(types, struct, value)])
        return
    for key, values in map.items_per_cpu():
        number = {index: int.from_bytes(key, "little"), "map": map.info.id}
        yield number, _sum([_decoded(types, struct, value) for value in values])


def _counted_by_prefix(map: Map, types: Btf) -> Iterator[tuple[dict[str, int], Counter]]:
    """What is in `prefix_counters`, or sums of it: by fields of struct past_prefix."""
    if map.info.btf_key_type_id and isinstance(
        types.strip(types[map.info.btf_key_type_id]), Struct
    ):
        yield from _counted(map, types, "")
        return
    struct = types.find(Struct, "prefix_counter")
    protocols, directions = (
        max(one.value for one in types.find(Enum, name).values)
        for name in ("protocol", "direction")
    )  # the last name is that of their number
    for index, values in map.items_per_cpu():
        rest, protocol = divmod(int.from_bytes(index, "little"), protocols)
        prefix, direction = divmod(rest, directions)
        cpus = [_decoded(types, struct, value)["reasons"] for value in values if any(value)]
        for reason, counters in enumerate(zip(*cpus, strict=True)):
            key = {"prefix": prefix, "direction": direction, "protocol": protocol}
            yield key | {"reason": reason, "map": map.info.id}, _sum(list(counters))


def _past_prefix(types: Btf, key: Mapping[str, int]) -> layout.PastPrefix | None:
    """In our own numbers; None if we have no name for it."""
    numbers = {}
    for name, ours in (("direction", Direction), ("protocol", Protocol), ("reason", Reason)):
        theirs = {one.value: one.name for one in types.find(Enum, name).values}
        number = ours.__members__.get(theirs.get(key[name], ""))
        if number is None:
            return None
        numbers[name] = int(number)
    return layout.PastPrefix(key["prefix"], map=key["map"], **numbers)


def _sum(values: list[Mapping[str, int]]) -> Counter:
    return Counter(sum(one["pkts"] for one in values), sum(one["bytes"] for one in values))


def _decoded(types: Btf, type: Type, data: bytes) -> Any:
    """A value as plain data: dicts, lists, and numbers of the machine's byte order."""
    match types.strip(type):
        case Struct() as struct:
            return {
                member.name: _decoded(types, member.type, data[member.offset_bits // 8 :])
                for member in struct.members
            }
        case Array() as array:
            size = types.size(array.type)
            return [_decoded(types, array.type, data[at * size :]) for at in range(array.length)]
        case other:
            return int.from_bytes(data[: types.size(other)], "little")
