# SPDX-License-Identifier: Apache-2.0
"""Writes layout.py from the BTF that clang wrote: C is the source of what both sides share.

python -m sixlane.datapath.generate [--check]
"""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sixlane.bpf import Object
from sixlane.bpf.btf import Array, Btf, Enum, Int, MapDefinition, Section, Struct, Type, Typedef
from sixlane.bpf.btf import Variable as BtfVariable
from sixlane.datapath.objects import DECAP, POD, TYPES, UPLINK, object_path

LAYOUT = Path(__file__).with_name("layout.py")

HEAD = '''# SPDX-License-Identifier: Apache-2.0
"""Generated from bpf/sixlane/types.h and the maps of the objects by sixlane.datapath.generate.

Do not edit: change the C, run `make generate`. Big-endian fields are those of type __be* in C.
"""

import ctypes
from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True)
class MapLayout:
    """A map as the data path declares it. Sizes in bytes; `inner`: of a map of maps."""

    type: int
    key_bytes: int
    value_bytes: int
    max_entries: int
    flags: int
    inner: "MapLayout | None" = None


@dataclass(frozen=True)
class Variable:
    """A constant of the data path that is set before load: where it lies in .rodata."""

    offset: int
    bytes: int

'''


def main() -> None:
    text = _formatted(render(Btf.from_file(object_path(TYPES)), object_path(UPLINK)))
    if "--check" not in sys.argv[1:]:
        LAYOUT.write_text(text)
    elif LAYOUT.read_text() != text:
        sys.exit("src/sixlane/datapath/layout.py is not what the C says: run `make generate`")


def render(types: Btf, uplink: Path) -> str:
    """The text of layout.py, before formatting; the other objects are beside `uplink`."""
    decap, pod = uplink.with_name(DECAP), uplink.with_name(POD)
    body = "\n".join(
        [
            *(_enum(found) for found in types if isinstance(found, Enum)),
            *(_struct(types, found) for found in _in_order(types)),
            *_maps("MAPS", Btf.from_file(uplink)),
            *_digests("DIGESTS", types, Btf.from_file(uplink)),
            *_maps("DECAP_MAPS", Btf.from_file(decap)),
            *_digests("DECAP_DIGESTS", types, Btf.from_file(decap)),
            *_maps("POD_MAPS", Btf.from_file(pod)),
            *_digests("POD_DIGESTS", types, Btf.from_file(pod)),
            *_config("CONFIG", uplink),
            *_config("POD_CONFIG", pod),
        ]
    )
    return f"{HEAD}\n{body}\n"


def _in_order(types: Btf) -> Iterator[Struct]:
    """Each struct behind those that it contains."""
    seen: set[str] = set()

    def walk(found: Struct) -> Iterator[Struct]:
        if found.name in seen:
            return
        seen.add(found.name)
        for member in found.members:
            inner = types.strip(_element(types, member.type))
            if isinstance(inner, Struct):
                yield from walk(inner)
        yield found

    for found in types:
        if isinstance(found, Struct):
            yield from walk(found)


def _element(types: Btf, type: Type) -> Type:
    stripped = types.strip(type)
    return _element(types, stripped.type) if isinstance(stripped, Array) else type


def _enum(enum: Enum) -> str:
    lines = [f"class {_class_name(enum.name)}(IntEnum):"]
    lines += [f"    {value.name} = {value.value}" for value in enum.values]
    return "\n".join([*lines, "\n"])


def _struct(types: Btf, struct: Struct) -> str:
    if struct.union:
        raise SystemExit(f"types.h: union {struct.name}: there are no unions in types.h")
    fields = [f'        ("{m.name}", {_ctype(types, m.type)}),' for m in struct.members]
    notes = [f"    {m.name}: {_annotation(types, m.type)}" for m in struct.members]
    return "\n".join(
        [
            f"class {_class_name(struct.name)}(ctypes.Structure):",
            "    _fields_ = (",
            *fields,
            "    )",
            *notes,
            "\n",
            f"assert ctypes.sizeof({_class_name(struct.name)}) == {struct.size}",
            "\n",
        ]
    )


def _ctype(types: Btf, type: Type) -> str:
    big = isinstance(type, Typedef) and type.name.startswith("__be")
    match types.strip(type):
        case Int(size=size) | Enum(size=size):
            return f"ctypes.c_uint{8 * size}" + (".__ctype_be__" if big else "")
        case Array() as array:
            return f"{_ctype(types, array.type)} * {array.length}"
        case Struct(name=name):
            return _class_name(name)
        case other:
            raise SystemExit(f"types.h: {other} has no place in a shared struct")


def _annotation(types: Btf, type: Type) -> str:
    match types.strip(type):
        case Array() as array:
            inner = types.strip(array.type)
            name = _class_name(inner.name) if isinstance(inner, Struct) else _ctype(types, inner)
            return f'"ctypes.Array[{name}]"'
        case Struct(name=name):
            return _class_name(name)
        case _:
            return "int"


def _maps(title: str, btf: Btf) -> Iterator[str]:
    yield f"{title} = {{"
    for name, definition in btf.maps().items():
        yield f'    "{name}": {_map(definition)},'
    yield "}\n"


def _map(definition: MapDefinition) -> str:
    inner = f", {_map(definition.inner)}" if definition.inner else ""
    return (
        f"MapLayout({definition.type}, {definition.key_size}, {definition.value_size}, "
        f"{definition.max_entries}, {definition.flags}{inner})"
    )


# What BTF does not tell of a map: the structs of inner maps (key, value), and the enum that counts
# the elements of an array. Maps that only make sense together have a digest together.
_INNER: dict[str, tuple[str, ...]] = {
    "gateways": ("gateway",),
    "ranges": ("range_block",),
    "sources": ("source_node",),
    "eam4": ("eam4_key", "eam"),
    "eam6": ("eam6_key", "eam"),
    "frontends": ("frontend_set",),
    "service_bits": (),
    "services": ("service",),
    "service_sources": ("service_source_key",),
}
# The records of a ring buffer, of which BTF says nothing.
_RECORDS = {"events": ("drop_event",), "captures": ("capture",)}
# The enums whose numbers are keys of a map, or stand in its records.
_NUMBERS = {
    "counters": ("reason",),
    "prefix_counters": ("direction", "protocol", "reason"),
    "frontend_drops": ("reason",),
    "buckets": ("bucket_index",),
    "events": ("reason",),
    "captures": ("reason",),
    "vips": ("vip_flag",),
    "decap_counters": ("decap_reason",),
    "pod_counters": ("pod_reason",),
    "pod_setups": ("pod_flag",),
}
_TOGETHER = (
    ("generation", *_INNER),
    ("counters", "past_counters"),
    ("prefix_counters", "past_prefixes"),
    (  # one names a slot of another; pairs are remembered of sessions, too
        *("sessions", "sessions6", "sessions4", "filters4", "index_secrets"),
        *("bindings", "bindings6", "ports4", "used4", "blocks4", "clients"),
        *("free_slots", "sweepings", "fragments", "syns", "pairs", "pair_tags"),
        *("static_works", "imports"),
    ),
    (  # ids of services and backends
        *("backends", "rings", "service_rings", "ring_members", "ring_taken"),
        *("flow_cache", "frontend_stats", "backend_stats"),
        *("nat_flows", "flows_in", "flows_back", "flow_secrets", "flow_slots", "flow_sweeps"),
    ),
)


def _digests(title: str, types: Btf, btf: Btf) -> Iterator[str]:
    """Names for the maps' layouts: what differs in anything must not be adopted."""
    maps = btf.maps()
    together = {name: group for group in _TOGETHER for name in group}
    yield f"{title} = {{"
    for name in maps:
        described = [_described(types, btf, maps[member]) for member in together.get(name, (name,))]
        if name in _TOGETHER[0]:
            # Their words are made of flags and limits. A change of those costs no more than tables
            # that are written anew.
            enums = [one for one in types if isinstance(one, Enum) and one.name != "reason"]
            described += [_layout(types, one) for one in enums]
        digest = hashlib.sha256("\n".join(described).encode()).hexdigest()[:8]
        yield f'    "{name}": "{digest}",'
    yield "}"
    yield '"""Of the layout of a map. Maps with the same digest are adopted together or not."""\n'


def _described(types: Btf, btf: Btf, map: MapDefinition) -> str:
    if map.inner and map.name not in _INNER:
        raise SystemExit(f"{map.name}: _INNER in generate.py does not say what is in it")
    inside = [types.find(Struct, name) for name in (_INNER | _RECORDS).get(map.name, ())]
    return " ".join(
        [
            map.name,
            _map(map),
            *(_layout(btf, type) for type in (map.key, map.value) if type),
            *(_layout(types, type) for type in inside),
            *(_layout(types, types.find(Enum, name)) for name in _NUMBERS.get(map.name, ())),
        ]
    )


def _layout(btf: Btf, type: Type) -> str:
    """A type in words: whatever would make a reader take a value for another."""
    match btf.strip(type):
        case Struct() as struct:
            members = (f"{m.offset_bits}:{m.name}:{_layout(btf, m.type)}" for m in struct.members)
            return f"{struct.name}[{struct.size}]{{{','.join(members)}}}"
        case Array() as array:
            return f"{_layout(btf, array.type)}*{array.length}"
        case Enum() as enum:
            return f"{enum.name}{{{','.join(f'{v.name}={v.value}' for v in enum.values)}}}"
        case other:
            big = isinstance(type, Typedef) and type.name.startswith("__be")
            return f"{'be' if big else 'u'}{8 * btf.size(other)}"


def _config(title: str, path: Path) -> Iterator[str]:
    with Object.open(path) as opened:
        section = opened.btf.find(Section, ".rodata")
        yield f"{title} = {{"
        for placed in section.placed:
            # Tables that the compiler puts beside them are named after their function: f.table.
            if isinstance(placed.type, BtfVariable) and "." not in placed.type.name:
                yield f'    "{placed.type.name}": Variable({placed.offset}, {placed.size}),'
        yield "}"


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(LAYOUT), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
