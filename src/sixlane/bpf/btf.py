# SPDX-License-Identifier: Apache-2.0
"""BTF: the types of C as clang wrote them into an object file, or as the kernel shows its own.

A type refers to others by number, as types may be circular; `.type` follows the number.

    btf = Btf.from_file("types.bpf.o")
    for member in btf.find(Struct, "packet").members:
        print(member.name, member.offset_bits // 8, btf.size(member.type))

The format is that of Documentation/bpf/btf.rst in the kernel's source.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from sixlane.bpf.lib import check_pointer, ffi, libbpf

_MAGIC = 0xEB9F


@dataclass(frozen=True, slots=True)
class Void:
    """void, type number 0"""


@dataclass(frozen=True, slots=True)
class Int:
    """char, bool and the integers; size in bytes."""

    name: str
    size: int
    signed: bool
    bool: bool


@dataclass(frozen=True, slots=True)
class Float:
    """float and double; size in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Enumerator:
    """One constant of an enum."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum with its constants, in the order of the source; size in bytes.

    clang 14 marks no enum as signed: its negative constants come out as large positive ones.
    """

    name: str
    size: int
    values: tuple[Enumerator, ...]


@dataclass(frozen=True, slots=True)
class Forward:
    """A struct or union that is only declared."""

    name: str


@dataclass(frozen=True, slots=True)
class _Referring:
    btf: "Btf" = field(repr=False, compare=False)
    type_id: int

    @property
    def type(self) -> "Type":
        """The type referred to."""
        return self.btf[self.type_id]


@dataclass(frozen=True, slots=True)
class Pointer(_Referring):
    """A pointer to `type`."""


@dataclass(frozen=True, slots=True)
class Array(_Referring):
    """`length` elements of `type`."""

    length: int


@dataclass(frozen=True, slots=True)
class Typedef(_Referring):
    """Another name for `type`."""

    name: str


@dataclass(frozen=True, slots=True)
class Qualifier(_Referring):
    """`type` with const, volatile, restrict or a type tag; `name` says which."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(_Referring):
    """A member of a struct; `bits` is 0 unless it is a bit field."""

    name: str
    offset_bits: int
    bits: int


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct or union; size in bytes."""

    name: str
    size: int
    members: tuple[Member, ...]
    union: bool


@dataclass(frozen=True, slots=True)
class Parameter(_Referring):
    """A parameter of a function."""

    name: str


@dataclass(frozen=True, slots=True)
class Prototype(_Referring):
    """A function's result (`type`) and parameters."""

    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Function(_Referring):
    """A function; `type` is its Prototype."""

    name: str


@dataclass(frozen=True, slots=True)
class Variable(_Referring):
    """A global variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Placed(_Referring):
    """A variable's place in its section; offset and size in bytes; `type` is the Variable."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Section:
    """A section of variables: .rodata, .bss, .maps; size in bytes.

    Offsets are those of `Object.btf`; in a file's own BTF clang leaves them 0.
    """

    name: str
    size: int
    placed: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class DeclarationTag(_Referring):
    """A tag of a declaration (btf_decl_tag), or of its member `component` if that is not -1."""

    name: str
    component: int


Type: TypeAlias = (
    Void
    | Int
    | Float
    | Enum
    | Forward
    | Pointer
    | Array
    | Typedef
    | Qualifier
    | Struct
    | Prototype
    | Function
    | Variable
    | Section
    | DeclarationTag
)
T = TypeVar("T", bound=Type)


@dataclass(frozen=True, slots=True)
class MapDefinition:
    """A map as the source declares it in SEC(".maps"); sizes in bytes, 0 where it does not say."""

    name: str
    type: int
    max_entries: int
    flags: int
    key: Type | None
    value: Type | None
    key_size: int
    value_size: int
    inner: "MapDefinition | None"


class Btf:
    """The types of one object or of the kernel, decoded when they are asked for."""

    def __init__(self, raw: bytes) -> None:
        """`raw` is the content of a .BTF section; ValueError if it is not."""
        header = struct.Struct("=HBBIIIII")
        if len(raw) < header.size:
            raise ValueError("BTF is cut short")
        magic, _, _, size, types, types_size, names, names_size = header.unpack_from(raw)
        if magic != _MAGIC:
            raise ValueError("not BTF, or of the other byte order")
        self._types = raw[size + types : size + types + types_size]
        self._names = raw[size + names : size + names + names_size]
        self._decoded: dict[int, Type] = {0: Void()}

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The types of an object file, or of the kernel: /sys/kernel/btf/vmlinux."""
        btf = libbpf().btf__parse(os.fsencode(path), ffi.NULL)
        check_pointer(btf, f"read the types of {path}")
        try:
            return cls.of(btf)
        finally:
            libbpf().btf__free(btf)

    @classmethod
    def from_id(cls, id: int) -> Self:
        """The types that the kernel numbers `id` (`MapInfo.btf_id`). KernelError if none are."""
        btf = libbpf().btf__load_from_kernel_by_id(id)
        check_pointer(btf, f"read the types with id {id}")
        try:
            return cls.of(btf)
        finally:
            libbpf().btf__free(btf)

    @classmethod
    def of(cls, btf: Any) -> Self:
        """A copy of libbpf's `struct btf *`."""
        size = ffi.new("__u32 *")
        raw = check_pointer(libbpf().btf__raw_data(btf, size), "read raw BTF")
        return cls(bytes(ffi.buffer(raw, size[0])))

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Type]:
        return (self[id] for id in range(len(self)))

    def __getitem__(self, id: int) -> Type:
        """The type of that number; 0 is void. IndexError if there is none."""
        if id not in self._decoded:
            self._decoded[id] = self._decode(self._offsets[id])
        return self._decoded[id]

    def find(self, kind: type[T], name: str) -> T:
        """The type of that kind and name. LookupError if there is none."""
        for type in self:
            if isinstance(type, kind) and getattr(type, "name", None) == name:
                return type
        raise LookupError(f"no {kind.__name__} {name}")

    def strip(self, type: Type) -> Type:
        """The type behind typedefs and qualifiers."""
        while isinstance(type, Typedef | Qualifier | Variable):
            type = type.type
        return type

    def size(self, type: Type) -> int:
        """Bytes that a value of the type takes. TypeError for those that have no values."""
        match self.strip(type):
            case Int(size=size) | Float(size=size) | Enum(size=size):
                return size
            case Struct(size=size) | Section(size=size):
                return size
            case Pointer():
                return 8
            case Array() as array:
                return array.length * self.size(array.type)
            case other:
                raise TypeError(f"{other} has no size")

    def maps(self) -> dict[str, MapDefinition]:
        """The maps that SEC(".maps") declares, by name."""
        try:
            section = self.find(Section, ".maps")
        except LookupError:
            return {}
        variables = [placed.type for placed in section.placed]
        return {
            variable.name: self._map(variable.name, variable)
            for variable in variables
            if isinstance(variable, Variable)
        }

    def _map(self, name: str, declared: Type) -> MapDefinition:
        """libbpf's convention: __uint(x, 5) is `int (*x)[5]`, __type(x, t) is `t *x`."""
        definition = self.strip(declared)
        if not isinstance(definition, Struct):
            raise ValueError(f"the map {name} is not declared as a struct")
        targets = {
            member.name: pointer.type
            for member in definition.members
            if isinstance(pointer := self.strip(member.type), Pointer)
        }

        def number(word: str) -> int:
            array = targets.get(word)
            return array.length if isinstance(array, Array) else 0

        def size(word: str) -> int:
            return self.size(targets[word]) if word in targets else number(f"{word}_size")

        inner = next((self._inner(name, m) for m in definition.members if m.name == "values"), None)
        return MapDefinition(
            name=name,
            type=number("type"),
            max_entries=number("max_entries"),
            flags=number("map_flags"),
            key=targets.get("key"),
            value=targets.get("value"),
            key_size=size("key"),
            value_size=4 if inner else size("value"),
            inner=inner,
        )

    def _inner(self, name: str, member: Member) -> MapDefinition | None:
        """__array(values, struct {...}) is `struct {...} *values[]`; of programs, a function."""
        match self.strip(member.type):
            case Array(type=Pointer(type=Struct() as inner)):
                return self._map(f"{name}.inner", inner)
            case _:
                return None

    @cached_property
    def _offsets(self) -> list[int]:
        """Where each type starts; void has no place of its own."""
        offsets, at = [-1], 0
        while at < len(self._types):
            offsets.append(at)
            _, info, _ = _HEAD.unpack_from(self._types, at)
            each, more = _TRAILERS[_kind(info)]
            at += _HEAD.size + (each.size * _vlen(info) if more else each.size)
        return offsets

    def _name(self, offset: int) -> str:
        return self._names[offset : self._names.index(b"\0", offset)].decode()

    def _decode(self, at: int) -> Type:
        name_offset, info, word = _HEAD.unpack_from(self._types, at)
        kind, name = _kind(info), self._name(name_offset)
        each, more = _TRAILERS[kind]
        at += _HEAD.size
        rest = self._types[at : at + each.size * (_vlen(info) if more else 1)]
        parts = list(each.iter_unpack(rest)) if each.size else []
        flag = bool(info >> 31)
        match kind:
            case _Kind.INT:
                encoding = parts[0][0] >> 24
                return Int(name, word, signed=bool(encoding & 1), bool=bool(encoding & 4))
            case _Kind.POINTER:
                return Pointer(self, word)
            case _Kind.ARRAY:
                element, _index, length = parts[0]
                return Array(self, element, length)
            case _Kind.STRUCT | _Kind.UNION:
                members = (self._member(flag, *part) for part in parts)
                return Struct(name, word, tuple(members), union=kind == _Kind.UNION)
            case _Kind.ENUM:
                values = ((at, value if flag else value % 2**32) for at, value in parts)
                return Enum(name, word, tuple(Enumerator(self._name(n), v) for n, v in values))
            case _Kind.ENUM64:
                wide = ((at, low + (high << 32)) for at, low, high in parts)
                signed = ((at, v - 2**64 if flag and v >> 63 else v) for at, v in wide)
                return Enum(name, word, tuple(Enumerator(self._name(n), v) for n, v in signed))
            case _Kind.FORWARD:
                return Forward(name)
            case _Kind.TYPEDEF:
                return Typedef(self, word, name)
            case _Kind.VOLATILE | _Kind.CONST | _Kind.RESTRICT:
                return Qualifier(self, word, kind.name.lower())
            case _Kind.TYPE_TAG:
                return Qualifier(self, word, name)
            case _Kind.FUNCTION:
                return Function(self, word, name)
            case _Kind.PROTOTYPE:
                parameters = (Parameter(self, type, self._name(at)) for at, type in parts)
                return Prototype(self, word, tuple(parameters))
            case _Kind.VARIABLE:
                return Variable(self, word, name)
            case _Kind.SECTION:
                return Section(name, word, tuple(Placed(self, *part) for part in parts))
            case _Kind.FLOAT:
                return Float(name, word)
            case _Kind.DECLARATION_TAG:
                return DeclarationTag(self, word, name, parts[0][0])

    def _member(self, bit_fields: bool, name: int, type: int, place: int) -> Member:
        offset, bits = (place & 0xFFFFFF, place >> 24) if bit_fields else (place, 0)
        return Member(self, type, self._name(name), offset, bits)


class _Kind(IntEnum):
    INT = 1
    POINTER = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FORWARD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNCTION = 12
    PROTOTYPE = 13
    VARIABLE = 14
    SECTION = 15
    FLOAT = 16
    DECLARATION_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_HEAD = struct.Struct("=III")  # struct btf_type: name, info, size or type
_NOTHING = struct.Struct("=")
# What follows a type's head: the layout, and whether it comes as often as the head's vlen says.
_TRAILERS: dict[_Kind, tuple[struct.Struct, bool]] = dict.fromkeys(_Kind, (_NOTHING, False)) | {
    _Kind.INT: (struct.Struct("=I"), False),
    _Kind.ARRAY: (struct.Struct("=III"), False),
    _Kind.STRUCT: (struct.Struct("=III"), True),
    _Kind.UNION: (struct.Struct("=III"), True),
    _Kind.ENUM: (struct.Struct("=Ii"), True),
    _Kind.PROTOTYPE: (struct.Struct("=II"), True),
    _Kind.VARIABLE: (struct.Struct("=I"), False),
    _Kind.SECTION: (struct.Struct("=III"), True),
    _Kind.DECLARATION_TAG: (struct.Struct("=i"), False),
    _Kind.ENUM64: (struct.Struct("=III"), True),
}


def _kind(info: int) -> _Kind:
    return _Kind(info >> 24 & 0x1F)


def _vlen(info: int) -> int:
    return info & 0xFFFF
