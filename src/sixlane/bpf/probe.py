# SPDX-License-Identifier: Apache-2.0
"""What this machine can do, found out by trying it and never by a version.

The probes leave nothing behind and touch no device: they attach to the loopback device of a network
namespace that lasts as long as the probe.
"""

import errno
import functools
import os
import struct
import threading
from pathlib import Path

from sixlane.bpf.lib import check, ffi, libc
from sixlane.bpf.link import Link
from sixlane.bpf.map import Map
from sixlane.bpf.program import Program
from sixlane.bpf.uapi import AttachType, MapType, ProgramType, XdpFlag
from sixlane.errors import KernelError, NotSupported

_BPF_FS_MAGIC = 0xCAFE4A11
_CLONE_NEWNET = 0x40000000
_LOOPBACK = 1  # the first device of every network namespace
_RETURN_0 = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)  # r0 = 0; exit


@functools.cache
def has_bpf() -> bool:
    """libbpf is here, and we may make maps and load networking programs."""
    try:
        with (
            Map.create(MapType.ARRAY, "probe", key_size=4, value_size=4, max_entries=1),
            Program.load(ProgramType.XDP, "probe", _RETURN_0),
        ):
            return True
    except (KernelError, NotSupported):
        return False


@functools.cache
def has_xdp_link() -> bool:
    """XDP programs can be attached by links; native mode is up to the device's driver."""
    return _can_attach(ProgramType.XDP, AttachType.XDP, XdpFlag.SKB_MODE)


@functools.cache
def has_tcx() -> bool:
    """tc programs can be attached by links (TCX)."""
    return _can_attach(ProgramType.SCHED_CLS, AttachType.TCX_INGRESS)


def bpffs_mounted(path: str | Path) -> bool:
    """Whether `path` lies in a bpffs."""
    result = ffi.new("unsigned long[64]")  # struct statfs, larger than any; f_type comes first
    if libc().statfs(os.fsencode(path), result) != 0:
        return False
    return int(result[0]) & 0xFFFFFFFF == _BPF_FS_MAGIC


def mount_bpffs(path: str | Path) -> None:
    """Mounts a bpffs that only root may enter at `path`, made if need be, unless there is one.

    A directory that holds anything is not hidden: KernelError(ENOTEMPTY).
    """
    if bpffs_mounted(path):
        return
    Path(path).mkdir(parents=True, exist_ok=True)
    if any(Path(path).iterdir()):
        raise KernelError(errno.ENOTEMPTY, f"mount a bpffs at {path}")
    result = libc().mount(b"bpf", os.fsencode(path), b"bpf", 0, b"mode=0700")
    check(-ffi.errno if result < 0 else 0, f"mount a bpffs at {path}")


def _can_attach(type: ProgramType, attach_type: AttachType, flags: int = 0) -> bool:
    outcome = False

    def attach() -> None:
        nonlocal outcome
        if libc().unshare(_CLONE_NEWNET) != 0:
            return
        try:
            with (
                Program.load(type, "probe", _RETURN_0) as program,
                Link.create(program, _LOOPBACK, attach_type, flags),
            ):
                outcome = True
        except (KernelError, NotSupported):
            return

    # A namespace belongs to a thread; this one's ends with it.
    thread = threading.Thread(target=attach)
    thread.start()
    thread.join()
    return outcome
