# SPDX-License-Identifier: Apache-2.0
"""Maps: bytes in, bytes out. The layers above give the bytes their types.

Keys and values are taken from any object with the buffer protocol (bytes, ctypes structures) and
must have exactly the map's sizes: another size is a ValueError, a defect of the caller. What the
kernel refuses is a KernelError that names the map.
"""

import mmap
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from errno import EINVAL, ENOENT, ENOSPC
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from sixlane.bpf.handle import Handle
from sixlane.bpf.lib import (
    check,
    ffi,
    get_info,
    libbpf,
    options,
    possible_cpus,
    to_str,
)
from sixlane.bpf.uapi import PER_CPU_MAPS, MapFlag, MapType, Update

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_ENOTSUPP = 524
_BATCH = 1024  # elements a system call; with 200,000 elements, more are no quicker


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel tells of a map. Sizes in bytes; BTF ids are 0 where the map has no types."""

    type: int
    id: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    btf_id: int
    btf_key_type_id: int
    btf_value_type_id: int


class Map(Handle):
    """A map of the kernel."""

    _inode = "anon-inode:bpf-map"

    @classmethod
    def create(
        cls,
        type: MapType,
        name: str,
        *,
        key_size: int,
        value_size: int,
        max_entries: int,
        flags: int = 0,
        inner: "Map | None" = None,
        btf_fd: int = 0,
        btf_key_type_id: int = 0,
        btf_value_type_id: int = 0,
    ) -> Self:
        """A new map; 15 characters of `name` are kept. `inner`: the pattern of a map of maps."""
        opts = options(
            "bpf_map_create_opts",
            map_flags=flags,
            inner_map_fd=inner.fd if inner else 0,
            btf_fd=btf_fd,
            btf_key_type_id=btf_key_type_id,
            btf_value_type_id=btf_value_type_id,
        )
        return cls(
            check(
                libbpf().bpf_map_create(
                    type, name.encode(), key_size, value_size, max_entries, opts
                ),
                f"create the map {name}",
            )
        )

    @classmethod
    def from_id(cls, id: int) -> Self:
        """The map that the kernel numbers `id`. KernelError(ENOENT) if there is none."""
        return cls(check(libbpf().bpf_map_get_fd_by_id(id), f"open the map with id {id}"))

    @cached_property
    def info(self) -> MapInfo:
        """The map's description, read once: it never changes."""
        info = get_info(self.fd, "bpf_map_info")
        return MapInfo(
            type=info.type,
            id=info.id,
            name=to_str(info.name),
            key_size=info.key_size,
            value_size=info.value_size,
            max_entries=info.max_entries,
            flags=info.map_flags,
            btf_id=info.btf_id,
            btf_key_type_id=info.btf_key_type_id,
            btf_value_type_id=info.btf_value_type_id,
        )

    def lookup(self, key: "Buffer") -> bytes | None:
        """The value of `key`, None if it has none. Not for per-CPU maps.

        A map of maps yields the inner map's id (`Map.from_id`) as four bytes in host order.
        """
        self._refuse_per_cpu()
        return self._lookup(key)

    def lookup_per_cpu(self, key: "Buffer") -> list[bytes] | None:
        """The values of `key`, one for each possible CPU, None if it has none."""
        slot = self._lookup(key)
        return None if slot is None else self._split(slot)

    def update(self, key: "Buffer", value: "Buffer | Handle", flags: Update = Update.ANY) -> None:
        """Sets the value of `key`: a Map for a map of maps, a Program for an array of programs.

        KernelError: EEXIST, ENOENT as `flags` ask; E2BIG if the map is full. Not for per-CPU maps.
        """
        self._refuse_per_cpu()
        self._update(key, _value_bytes(value), flags)

    def update_per_cpu(
        self, key: "Buffer", values: Sequence["Buffer"], flags: Update = Update.ANY
    ) -> None:
        """Sets the values of `key`, one for each possible CPU."""
        if len(values) != possible_cpus():
            raise ValueError(f"{len(values)} values for {possible_cpus()} CPUs")
        padding = bytes(-self.info.value_size % 8)
        self._update(key, b"".join(bytes(value) + padding for value in values), flags)

    def clear_per_cpu(self, keys: Sequence[bytes]) -> None:
        """Has the values of `keys` be zero on each CPU, in one system call where the map can."""
        if not keys:
            return
        zero = bytes(_round_up(self.info.value_size, 8) * possible_cpus())
        count = ffi.new("__u32 *", len(keys))
        opts = options("bpf_map_batch_opts", elem_flags=Update.ANY)
        joined, values = self._joined(keys, self.info.key_size), zero * len(keys)
        result = libbpf().bpf_map_update_batch(self.fd, joined, values, count, opts)
        if result != -_ENOTSUPP:
            self._check(result, "update")
            return
        for key in keys:
            self._update(key, zero, Update.ANY)

    def delete(self, key: "Buffer") -> bool:
        """Removes `key`; False if it was not there."""
        result = libbpf().bpf_map_delete_elem(self.fd, self._key(key))
        return self._found(result, "delete from")

    def keys(self) -> Iterator[bytes]:
        """Walks the keys. One that is removed during the walk may start it over."""
        key: Any = ffi.NULL
        while True:
            following = ffi.new("char[]", self.info.key_size)
            if not self._found(libbpf().bpf_map_get_next_key(self.fd, key, following), "walk"):
                return
            yield bytes(ffi.buffer(following))
            key = following

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All keys with their values, read a thousand a system call. Not for per-CPU maps."""
        self._refuse_per_cpu()
        return self._items()

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """The same in blocks of a thousand: keys, and values, one behind the other.

        For what makes no object of each element. Not for per-CPU maps.
        """
        self._refuse_per_cpu()
        return self._blocks()

    def rows_per_cpu(self) -> Iterator[tuple[bytes, bytes]]:
        """As `rows`: of each key the values of all possible CPUs, each padded to 8 bytes."""
        if not self._per_cpu:
            raise ValueError(f"{self._label} does not hold a value for each CPU")
        return self._blocks()

    def items_per_cpu(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """All keys with their values on each possible CPU."""
        return ((key, self._split(slot)) for key, slot in self._items())

    def update_batch(
        self, items: Iterable[tuple["Buffer", "Buffer | Handle"]], flags: Update = Update.ANY
    ) -> int:
        """Sets many elements, in order, in one system call where the map can; returns how many.

        On a KernelError some of them may be set. Not for per-CPU maps.
        """
        self._refuse_per_cpu()
        pairs = [(bytes(key), bytes(_value_bytes(value))) for key, value in items]
        keys = self._joined((key for key, _ in pairs), self.info.key_size)
        values = self._joined((value for _, value in pairs), self.info.value_size)
        if not pairs:
            return 0
        count = ffi.new("__u32 *", len(pairs))
        opts = options("bpf_map_batch_opts", elem_flags=flags)
        result = libbpf().bpf_map_update_batch(self.fd, keys, values, count, opts)
        if result == -_ENOTSUPP:
            for key, value in pairs:
                self._update(key, value, flags)
        else:
            self._check(result, "update")
        return len(pairs)

    def update_rows(self, keys: "Buffer", values: "Buffer") -> None:
        """Sets many elements: keys and values each lie one behind the other.

        In one system call where the map can. On a KernelError some of them may be set.
        """
        self._refuse_per_cpu()
        key_size, value_size = self.info.key_size, self.info.value_size
        key_memory, value_memory = ffi.from_buffer(keys), ffi.from_buffer(values)
        number, rest = divmod(ffi.sizeof(key_memory), key_size)
        if rest:
            raise self._wrong_size(ffi.sizeof(key_memory), key_size)
        if ffi.sizeof(value_memory) != number * value_size:
            raise self._wrong_size(ffi.sizeof(value_memory), number * value_size)
        count = ffi.new("__u32 *", number)
        opts = options("bpf_map_batch_opts", elem_flags=Update.ANY)
        result = libbpf().bpf_map_update_batch(self.fd, key_memory, value_memory, count, opts)
        if result != -_ENOTSUPP:
            self._check(result, "update")
            return
        key_bytes, value_bytes = ffi.buffer(key_memory), ffi.buffer(value_memory)
        for at in range(number):
            self._update(
                bytes(key_bytes[at * key_size : (at + 1) * key_size]),
                bytes(value_bytes[at * value_size : (at + 1) * value_size]),
                Update.ANY,
            )

    def mmap(self, writable: bool = True) -> memoryview:
        """The elements of an array made with MapFlag.MMAPABLE, as memory shared with the kernel.

        Each element takes its value size rounded up to 8 bytes. Release the view to unmap it.
        """
        size = _round_up(self.info.value_size, 8) * self.info.max_entries
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        if not self.info.flags & MapFlag.MMAPABLE:
            self._check(-EINVAL, "map the memory of")
        return memoryview(mmap.mmap(self.fd, _round_up(size, mmap.PAGESIZE), access=access))[:size]

    def __repr__(self) -> str:
        return f"<Map {self._label}>"

    @property
    def _label(self) -> str:
        return self.info.name or f"with id {self.info.id}"

    @cached_property
    def _per_cpu(self) -> bool:
        return self.info.type in PER_CPU_MAPS

    @cached_property
    def _slot_size(self) -> int:
        """Bytes that the kernel reads or writes for one value."""
        if self._per_cpu:
            return _round_up(self.info.value_size, 8) * possible_cpus()
        return self.info.value_size

    def _refuse_per_cpu(self) -> None:
        if self._per_cpu:
            raise ValueError(f"{self._label} holds a value for each CPU: use the per_cpu methods")

    def _split(self, slot: bytes) -> list[bytes]:
        stride = _round_up(self.info.value_size, 8)
        if not self._per_cpu:
            raise ValueError(f"{self._label} does not hold a value for each CPU")
        return [slot[at : at + self.info.value_size] for at in range(0, len(slot), stride)]

    def _lookup(self, key: "Buffer") -> bytes | None:
        value = ffi.new("char[]", self._slot_size)
        found = self._found(
            libbpf().bpf_map_lookup_elem(self.fd, self._key(key), value), "look up in"
        )
        return bytes(ffi.buffer(value)) if found else None

    def _update(self, key: "Buffer", value: "Buffer", flags: Update) -> None:
        slot = self._sized(value, self._slot_size)
        self._check(libbpf().bpf_map_update_elem(self.fd, self._key(key), slot, flags), "update")

    def _items(self) -> Iterator[tuple[bytes, bytes]]:
        """Pairs of key and slot."""
        key_size, slot_size = self.info.key_size, self._slot_size
        for keys, slots in self._blocks():
            for index in range(len(keys) // key_size):
                yield (
                    keys[index * key_size : (index + 1) * key_size],
                    slots[index * slot_size : (index + 1) * slot_size],
                )

    def _blocks(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and slots, many a time, or one where the map type has no batches."""
        key_size, slot_size = self.info.key_size, self._slot_size
        room = min(_BATCH, self.info.max_entries)
        position, size = ffi.NULL, max(key_size, 4)
        while True:
            following = ffi.new("char[]", size)
            keys = ffi.new("char[]", room * key_size)
            values = ffi.new("char[]", room * slot_size)
            count = ffi.new("__u32 *", room)
            result = libbpf().bpf_map_lookup_batch(
                self.fd, position, following, keys, values, count, ffi.NULL
            )
            if result == -_ENOTSUPP and position == ffi.NULL:
                yield from self._items_one_by_one()
                return
            if result == -ENOSPC:  # a hash bucket is longer than the room left for it
                room *= 2
                continue
            more = self._found(result, "read")
            if count[0]:
                yield (
                    bytes(ffi.buffer(keys, count[0] * key_size)),
                    bytes(ffi.buffer(values, count[0] * slot_size)),
                )
            if not more:
                return
            position = following

    def _items_one_by_one(self) -> Iterator[tuple[bytes, bytes]]:
        for key in self.keys():
            slot = self._lookup(key)
            if slot is not None:
                yield key, slot

    def _key(self, key: "Buffer") -> Any:
        return self._sized(key, self.info.key_size)

    def _sized(self, data: "Buffer", size: int) -> Any:
        """`data` as C memory, once it is sure that the kernel will not read past its end."""
        memory = ffi.from_buffer(data)
        if ffi.sizeof(memory) != size:
            raise self._wrong_size(ffi.sizeof(memory), size)
        return memory

    def _wrong_size(self, given: int, wanted: int) -> ValueError:
        return ValueError(f"{self._label}: {given} bytes where it takes {wanted}")

    def _joined(self, parts: Iterable[bytes], size: int) -> Any:
        """Many keys or values as one block of C memory, each of them of the right size."""
        block = bytearray()
        for part in parts:
            if len(part) != size:
                raise self._wrong_size(len(part), size)
            block += part
        return ffi.from_buffer(block)

    def _found(self, result: int, action: str) -> bool:
        """True for success, False for ENOENT."""
        if result == -ENOENT:
            return False
        self._check(result, action)
        return True

    def _check(self, result: int, action: str) -> None:
        if result < 0:
            check(result, f"{action} the map {self._label}")


def _value_bytes(value: "Buffer | Handle") -> "Buffer":
    return value.fd.to_bytes(4, sys.byteorder) if isinstance(value, Handle) else value


def _round_up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
