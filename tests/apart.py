# SPDX-License-Identifier: Apache-2.0
"""A process apart from the machine's mounts, with a /run/netns and a /sys/fs/bpf of its own.

It neither sees nor leaves namespaces and pins on the machine, and whatever appears there is its
doing.
"""

import ctypes
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000


def leave_the_machine() -> None:
    """For root, while there is but one thread to leave with. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare the mount namespace")
    _mount("none", "/", _MS_REC | _MS_PRIVATE)
    Path("/run/netns").mkdir(exist_ok=True)
    _mount("tmpfs", "/run/netns")
    _mount("bpf", "/sys/fs/bpf")


def _mount(kind: str, target: str, flags: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(kind.encode(), target.encode(), kind.encode(), flags, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind} at {target}")
