# SPDX-License-Identifier: Apache-2.0
"""Single features of BPF, each found out by using it. Nothing is left behind or attached.

False also where the caller lacks the privilege to try; `probe.has_bpf` tells.
"""

import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from sixlane.bpf.lib import libbpf
from sixlane.bpf.map import Map
from sixlane.bpf.program import Program
from sixlane.bpf.uapi import MapFlag, MapType, ProgramFlag, ProgramType
from sixlane.errors import KernelError, NotSupported

_KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")
_BTF_MAGIC = 0xEB9F

_R0, _R1, _R2, _R3, _R4, _R10 = 0, 1, 2, 3, 4, 10
_FIB_LOOKUP_BYTES = 64  # struct bpf_fib_lookup

_FIB_LOOKUP, _REDIRECT_NEIGH, _REDIRECT_PEER = 69, 152, 155


def libbpf_version() -> tuple[int, int]:
    """Major and minor number of the library that is loaded. NotSupported if there is none."""
    return libbpf().libbpf_major_version(), libbpf().libbpf_minor_version()


def has_kernel_types() -> bool:
    """The kernel shows its own types (BTF)."""
    try:
        with _KERNEL_TYPES.open("rb") as types:
            return int.from_bytes(types.read(2), "little") == _BTF_MAGIC
    except OSError:
        return False


def has_jit() -> bool:
    """Programs are compiled for this processor."""
    return _loads(ProgramType.XDP, _program(), lambda program: program.info.jited_bytes > 0)


def has_xdp_frags() -> bool:
    """XDP programs may be loaded for frames of several buffers."""
    return _loads(ProgramType.XDP, _program(), flags=ProgramFlag.XDP_HAS_FRAGS)


def has_fib_lookup() -> bool:
    """bpf_fib_lookup(), in XDP and in tc."""
    zeros = [_store_zero(-offset) for offset in range(8, _FIB_LOOKUP_BYTES + 1, 8)]
    code = _program(
        *zeros,  # r1 is the context as it is
        _move(_R2, _R10),
        _add(_R2, -_FIB_LOOKUP_BYTES),
        _set(_R3, _FIB_LOOKUP_BYTES),
        _set(_R4, 0),
        _call(_FIB_LOOKUP),
    )
    return _loads(ProgramType.XDP, code) and _loads(ProgramType.SCHED_CLS, code)


def has_redirect_neigh() -> bool:
    """bpf_redirect_neigh(): the kernel finds the neighbour of a packet that tc sends."""
    code = (_set(_R1, 1), _set(_R2, 0), _set(_R3, 0), _set(_R4, 0), _call(_REDIRECT_NEIGH))
    return _loads(ProgramType.SCHED_CLS, _program(*code))


def has_redirect_peer() -> bool:
    """bpf_redirect_peer(): into a namespace without its queue."""
    code = (_set(_R1, 1), _set(_R2, 0), _call(_REDIRECT_PEER))
    return _loads(ProgramType.SCHED_CLS, _program(*code))


def has_ring_buffer() -> bool:
    """Ring buffers."""
    return _creates(MapType.RINGBUF, key_size=0, value_size=0, max_entries=4096)


def has_inner_sizes() -> bool:
    """A map of maps takes arrays of other sizes than its pattern."""
    try:
        with (
            _array(1, MapFlag.INNER_MAP) as pattern,
            _array(2, MapFlag.INNER_MAP) as other,
            Map.create(
                MapType.ARRAY_OF_MAPS,
                "probe",
                key_size=4,
                value_size=4,
                max_entries=1,
                inner=pattern,
            ) as outer,
        ):
            outer.update(bytes(4), other)
            return True
    except (KernelError, NotSupported):
        return False


def can_hold(size_bytes: int) -> bool:
    """A map of that size may be made: no limit on locked memory stands in the way."""
    return _creates(MapType.ARRAY, key_size=4, value_size=4096, max_entries=size_bytes // 4096)


def _array(entries: int, flags: MapFlag) -> Map:
    return Map.create(
        MapType.ARRAY, "probe", key_size=4, value_size=4, max_entries=entries, flags=flags
    )


def _creates(type: MapType, *, key_size: int, value_size: int, max_entries: int) -> bool:
    try:
        Map.create(
            type, "probe", key_size=key_size, value_size=value_size, max_entries=max_entries
        ).close()
        return True
    except (KernelError, NotSupported):
        return False


def _loads(
    type: ProgramType,
    code: bytes,
    holds: Callable[[Program], bool] = lambda program: True,
    flags: int = 0,
) -> bool:
    try:
        with Program.load(type, "probe", code, flags=flags) as program:
            return holds(program)
    except (KernelError, NotSupported):
        return False


def _program(*code: bytes) -> bytes:
    """The instructions, then `return 0`."""
    return b"".join(_all(code))


def _all(code: Iterable[bytes]) -> Iterable[bytes]:
    yield from code
    yield _set(_R0, 0)
    yield _instruction(0x95)  # exit


def _set(register: int, value: int) -> bytes:
    return _instruction(0xB7, register, value=value)


def _move(register: int, source: int) -> bytes:
    return _instruction(0xBF, register, source)


def _add(register: int, value: int) -> bytes:
    return _instruction(0x07, register, value=value)


def _store_zero(offset: int) -> bytes:
    """Eight bytes of the stack."""
    return _instruction(0x7A, _R10, offset=offset)


def _call(helper: int) -> bytes:
    return _instruction(0x85, value=helper)


def _instruction(
    opcode: int, destination: int = 0, source: int = 0, *, offset: int = 0, value: int = 0
) -> bytes:
    return struct.pack("=BBhi", opcode, source << 4 | destination, offset, value)
