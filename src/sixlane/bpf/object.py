# SPDX-License-Identifier: Apache-2.0
"""Object files: opened, adjusted, loaded.

    with Object.open("uplink.bpf.o") as obj:
        obj.maps[".rodata"].initial_value[0:4] = bytes(4)
        obj.programs["uplink_tc"].set_autoload(False)
        obj.load()
        obj.programs["uplink_xdp"].run(packet)

Maps and programs of an object live as long as it is open; their pins and links outlive it.
"""

import os
import re
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sixlane.bpf.btf import Btf
from sixlane.bpf.lib import (
    check,
    check_pointer,
    drain_log,
    ffi,
    hint_for,
    libbpf,
    options,
    to_str,
)
from sixlane.bpf.map import Map
from sixlane.bpf.program import Program
from sixlane.bpf.uapi import AttachType, LogLevel
from sixlane.errors import KernelError

_LOG_BYTES = (
    0xFFFFFF  # the largest verifier log that every kernel takes; untouched pages cost nothing
)
_untouched = ffi.new_allocator(should_clear_after_alloc=False)


class LoadError(KernelError):
    """The kernel refused an object.

    `log` is all that the verifier wrote, the hint its last lines.
    """

    def __init__(self, errno: int, what: str, hint: str = "", log: str = "") -> None:
        super().__init__(errno, what, hint)
        self.log = log


class ObjectMap(Map):
    """A map of an object. Its initial value, pin path and size may be changed before the load."""

    def __init__(self, owner: "Object", pointer: Any, name: str) -> None:
        super().__init__(-1)
        self._owner = owner
        self._pointer = pointer
        self.name = name

    @property
    def initial_value(self) -> memoryview:
        """The content of a section of variables (.rodata, .data, .bss), writable until the load."""
        size = ffi.new("size_t *")
        what = f"read the initial value of {self.name}"
        start = check_pointer(libbpf().bpf_map__initial_value(self._unloaded, size), what)
        return memoryview(ffi.buffer(start, size[0]))

    def set_pin_path(self, path: str | Path) -> None:
        """Loading takes the map pinned at `path`, or pins a new one there.

        The load fails with EINVAL if the pinned map differs in type, sizes or flags.
        """
        what = f"set the pin path of {self.name}"
        check(libbpf().bpf_map__set_pin_path(self._unloaded, os.fsencode(path)), what)

    def reuse(self, other: Map) -> None:
        """Loading uses `other` instead of a new map. Whether it fits is the caller's to see."""
        check(libbpf().bpf_map__reuse_fd(self._unloaded, other.fd), f"reuse a map as {self.name}")

    def resize(self, max_entries: int) -> None:
        """Loading makes the map with room for `max_entries`."""
        what = f"resize the map {self.name}"
        check(libbpf().bpf_map__set_max_entries(self._unloaded, max_entries), what)

    def close(self) -> None:
        """Does nothing: the map is closed with its object."""

    @property
    def _unloaded(self) -> Any:
        self._owner._check_unloaded()
        return self._pointer


class ObjectProgram(Program):
    """A program of an object. Whether and how it is loaded may be changed before the load."""

    def __init__(self, owner: "Object", pointer: Any, name: str) -> None:
        super().__init__(-1)
        self._owner = owner
        self._pointer = pointer
        self._log: Any = None
        self.name = name
        self.section = to_str(libbpf().bpf_program__section_name(pointer))

    @property
    def autoload(self) -> bool:
        """Whether the load takes the program in."""
        return bool(libbpf().bpf_program__autoload(self._unloaded))

    def set_autoload(self, autoload: bool) -> None:
        """Whether the load takes the program in; by default all but those in `?` sections."""
        what = f"set autoload of {self.name}"
        check(libbpf().bpf_program__set_autoload(self._unloaded, autoload), what)

    def set_expected_attach_type(self, type: AttachType) -> None:
        """Where the program will be attached, if its section does not say."""
        what = f"set the attach type of {self.name}"
        check(libbpf().bpf_program__set_expected_attach_type(self._unloaded, type), what)

    def keep_log(self, level: LogLevel) -> None:
        """Asks for the verifier's log even if it accepts the program: `log`, after the load."""
        self._log = _log_buffer()
        what = f"keep the log of {self.name}"
        check(libbpf().bpf_program__set_log_level(self._unloaded, level), what)
        check(libbpf().bpf_program__set_log_buf(self._unloaded, self._log, _LOG_BYTES), what)

    @property
    def log(self) -> str:
        """What the verifier wrote at the load, if `keep_log` was called before."""
        return "" if self._log is None else to_str(self._log)

    def close(self) -> None:
        """Does nothing: the program is closed with its object."""

    @property
    def _unloaded(self) -> Any:
        self._owner._check_unloaded()
        return self._pointer


class Object:
    """An object file that clang made, with its `maps` and `programs` by their names in C.

    The sections of variables are maps by the names of the sections: `.rodata`, `.data`, `.bss`.
    """

    def __init__(self, pointer: Any, path: Path, log: Any) -> None:
        self._pointer = pointer
        self._log = log
        self._loaded = False
        self.path = path
        self.maps: dict[str, ObjectMap] = {
            name: ObjectMap(self, map, name)
            for map in _walk(libbpf().bpf_object__next_map, pointer)
            for name in [_map_name(map)]
        }
        self.programs: dict[str, ObjectProgram] = {
            name: ObjectProgram(self, program, name)
            for program in _walk(libbpf().bpf_object__next_program, pointer)
            for name in [to_str(libbpf().bpf_program__name(program))]
        }

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Reads an object file; nothing reaches the kernel yet."""
        log = _log_buffer()
        opts = options("bpf_object_open_opts", kernel_log_buf=log, kernel_log_size=_LOG_BYTES)
        pointer = libbpf().bpf_object__open_file(os.fsencode(path), opts)
        return cls(check_pointer(pointer, f"open the object {path}"), Path(path), log)

    def choose(self, names: Collection[str]) -> None:
        """Has `load` leave out all programs but these."""
        for name, program in self.programs.items():
            program.set_autoload(name in names)

    def load(self) -> None:
        """Creates the maps and loads the programs; LoadError if the kernel refuses any of them."""
        self._check_unloaded()
        result = libbpf().bpf_object__load(self._pointer)
        lines = drain_log()
        if result < 0:
            raise self._load_error(-result, lines)
        self._loaded = True
        for map in self.maps.values():
            map._fd = libbpf().bpf_map__fd(map._pointer)
        for program in self.programs.values():
            program._fd = libbpf().bpf_program__fd(program._pointer)

    @cached_property
    def btf(self) -> Btf:
        """The object's types, the offsets of its variables filled in."""
        self._check_open()
        what = f"read the types of {self.path}"
        return Btf.of(check_pointer(libbpf().bpf_object__btf(self._pointer), what))

    @property
    def btf_fd(self) -> int:
        """The descriptor of the loaded object's types, for `Map.create`; owned by the object."""
        self._check_open()
        what = f"find the types of {self.path} in the kernel"
        return check(libbpf().bpf_object__btf_fd(self._pointer), what)

    def close(self) -> None:
        """Closes the object with its maps and programs; a second call does nothing."""
        if self._pointer == ffi.NULL:
            return
        for handle in (*self.maps.values(), *self.programs.values()):
            handle._fd = -1
        libbpf().bpf_object__close(self._pointer)
        self._pointer = ffi.NULL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._pointer == ffi.NULL:
            raise ValueError(f"{self.path} is closed")

    def _check_unloaded(self) -> None:
        self._check_open()
        if self._loaded:
            raise ValueError(f"{self.path} is loaded already")

    def _load_error(self, number: int, lines: list[str]) -> LoadError:
        what = f"load {self.path.name}"
        log = to_str(self._log)
        failed = re.search(r"^prog '(.+?)': failed to load", "\n".join(lines), re.MULTILINE)
        if failed:
            program = self.programs[failed[1]]
            what += f", program {program.name}"
            log = program.log or log
        return LoadError(number, what, _last_words(log) or hint_for(number, lines), log)


def _last_words(log: str) -> str:
    """The verifier's verdict: its last lines before the statistics."""
    said = [line.strip() for line in log.splitlines()]
    verdict = [line for line in said if line and not re.match(r"processed \d+ insns", line)]
    return "; ".join(verdict[-3:])


def _log_buffer() -> Any:
    buffer: Any = _untouched("char[]", _LOG_BYTES)
    buffer[0] = b"\0"
    return buffer


def _map_name(map: Any) -> str:
    """libbpf puts the object's name before a section's: `uplink_b.rodata`."""
    name = to_str(libbpf().bpf_map__name(map))
    return name[name.index(".") :] if "." in name else name


def _walk(following: Any, owner: Any) -> list[Any]:
    found: list[Any] = []
    item = following(owner, ffi.NULL)
    while item != ffi.NULL:
        found.append(item)
        item = following(owner, item)
    return found
