# SPDX-License-Identifier: Apache-2.0
"""Programs: what the kernel knows of them, and test runs of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

from sixlane.bpf.handle import Handle
from sixlane.bpf.lib import check, ffi, get_info, libbpf, options, to_str
from sixlane.bpf.uapi import ProgramType, RunFlag

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_INSTRUCTION_BYTES = 8
_HEADROOM = 512  # bytes that a program may add to a packet before data_out_size must be given


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """What the kernel tells of a program.

    `tag` is a hash of the instructions. `instructions` counts those that the verifier left (dead
    code is gone), `verified_instructions` those that it walked, on every path; `jited_bytes` is 0
    without a JIT.
    """

    type: int
    id: int
    name: str
    tag: str
    map_ids: tuple[int, ...]
    instructions: int
    verified_instructions: int
    jited_bytes: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """A test run's outcome: the program's return value, packet and context; ns for each round."""

    retval: int
    data: bytes
    ctx: bytes
    duration_ns: int


class Program(Handle):
    """A loaded program."""

    _inode = "anon-inode:bpf-prog"

    @classmethod
    def load(
        cls,
        type: ProgramType,
        name: str,
        instructions: "Buffer",
        *,
        license: str = "GPL",
        expected_attach_type: int = 0,
        flags: int = 0,
    ) -> Self:
        """Loads raw instructions of 8 bytes each; `Object` loads what a compiler made.

        `flags`: ProgramFlag.
        """
        code = ffi.from_buffer(instructions)
        count = memoryview(instructions).nbytes // _INSTRUCTION_BYTES
        opts = options(
            "bpf_prog_load_opts", expected_attach_type=expected_attach_type, prog_flags=flags
        )
        return cls(
            check(
                libbpf().bpf_prog_load(type, name.encode(), license.encode(), code, count, opts),
                f"load the program {name}",
            )
        )

    @classmethod
    def from_id(cls, id: int) -> Self:
        """The program that the kernel numbers `id`. KernelError(ENOENT) if there is none."""
        return cls(check(libbpf().bpf_prog_get_fd_by_id(id), f"open the program with id {id}"))

    @property
    def info(self) -> ProgramInfo:
        """The program's description as of now."""
        count = get_info(self.fd, "bpf_prog_info").nr_map_ids
        ids = ffi.new("__u32[]", count)
        asked = ffi.new(
            "struct bpf_prog_info *",
            {"nr_map_ids": count, "map_ids": int(ffi.cast("uintptr_t", ids))},
        )
        info = get_info(self.fd, "bpf_prog_info", asked)
        return ProgramInfo(
            type=info.type,
            id=info.id,
            name=to_str(info.name),
            tag=bytes(info.tag).hex(),
            map_ids=tuple(ids),
            instructions=info.xlated_prog_len // _INSTRUCTION_BYTES,
            verified_instructions=info.verified_insns,
            jited_bytes=info.jited_prog_len,
        )

    def run(
        self,
        data: "Buffer | None" = None,
        ctx: "Buffer | None" = None,
        *,
        repeat: int = 1,
        data_out_size: int | None = None,
        flags: int = 0,
    ) -> RunResult:
        """Runs the program once, or `repeat` times, on a packet from its Ethernet header on.

        `ctx`: an `XdpMd` or `SkBuff` that fits the packet (see `context`). `data_out_size`: room
        for the resulting packet, by default that of `data` and 512 bytes more; KernelError(ENOSPC)
        if it is too small. The packet is not restored between rounds. With live frames (of XDP),
        what the program says is done to each packet, and none comes back.
        """
        size = 0 if data is None else memoryview(data).nbytes
        ctx_size = 0 if ctx is None else memoryview(ctx).nbytes
        room = size + _HEADROOM if data_out_size is None else data_out_size
        data_in = ffi.NULL if data is None else ffi.from_buffer(data)
        ctx_in = ffi.NULL if ctx is None else ffi.from_buffer(ctx)
        returned = not flags & RunFlag.XDP_LIVE_FRAMES
        data_out = ffi.new("char[]", room) if size and returned else ffi.NULL
        ctx_out = ffi.new("char[]", ctx_size) if ctx_size and returned else ffi.NULL
        opts = options(
            "bpf_test_run_opts",
            data_in=data_in,
            data_size_in=size,
            data_out=data_out,
            data_size_out=room if size and returned else 0,
            ctx_in=ctx_in,
            ctx_size_in=ctx_size,
            ctx_out=ctx_out,
            ctx_size_out=ctx_size if returned else 0,
            repeat=repeat,
            flags=flags,
        )
        check(libbpf().bpf_prog_test_run_opts(self.fd, opts), f"run the program {self.name}")
        return RunResult(
            retval=opts.retval,
            data=bytes(ffi.buffer(data_out, opts.data_size_out)) if size and returned else b"",
            ctx=bytes(ffi.buffer(ctx_out, opts.ctx_size_out)) if ctx_size and returned else b"",
            duration_ns=opts.duration,
        )

    def call(self, ctx: "Buffer") -> tuple[int, bytes]:
        """Runs a program of type syscall once: its return value, and the context as it left it.

        `ctx`: of the size that the program was verified for, or more. Such programs have neither a
        packet nor rounds, and the kernel writes the context back in place.
        """
        size = memoryview(ctx).nbytes
        memory = ffi.new("char[]", bytes(ctx))  # a NUL behind it does no harm
        opts = options("bpf_test_run_opts", ctx_in=memory, ctx_size_in=size)
        check(libbpf().bpf_prog_test_run_opts(self.fd, opts), f"call the program {self.name}")
        return opts.retval, bytes(ffi.buffer(memory, size))

    @cached_property
    def name(self) -> str:
        """The program's name, cut to 15 characters by the kernel."""
        return to_str(get_info(self.fd, "bpf_prog_info").name)
