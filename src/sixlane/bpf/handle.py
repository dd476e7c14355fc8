# SPDX-License-Identifier: Apache-2.0
"""What maps, programs and links have in common: a file descriptor, and a name under bpffs."""

import os
from errno import EINVAL
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from sixlane.bpf.lib import check, libbpf
from sixlane.errors import KernelError


class Handle:
    """A kernel object held by a file descriptor of ours; it lives on while someone else holds it.

    Close it, or use it in a `with` block. A closed handle raises ValueError.
    """

    _inode: ClassVar[str]  # what the kernel calls such descriptors, by dashes

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @property
    def fd(self) -> int:
        """The file descriptor; still owned by the handle."""
        if self._fd < 0:
            raise ValueError(f"{type(self).__name__} is not open")
        return self._fd

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        """Gives the descriptor back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def from_pin(cls, path: str | Path) -> Self:
        """The object pinned at `path`. KernelError(ENOENT) if nothing is."""
        what = f"open the pin {path}"
        handle = cls(check(libbpf().bpf_obj_get(os.fsencode(path)), what))
        # New links are called "bpf-link", opened ones "bpf_link".
        if os.readlink(f"/proc/self/fd/{handle.fd}").replace("_", "-") != cls._inode:
            handle.close()
            raise KernelError(EINVAL, what, f"it is not a {cls.__name__.lower()}")
        return handle

    def pin(self, path: str | Path) -> None:
        """Gives the object a name in a bpffs, in a directory that is there.

        KernelError(EEXIST) if the name is taken.
        """
        check(libbpf().bpf_obj_pin(self.fd, os.fsencode(path)), f"pin {path}")

    @staticmethod
    def unpin(path: str | Path) -> None:
        """Takes a name away; a name that is not there is fine."""
        Path(path).unlink(missing_ok=True)
