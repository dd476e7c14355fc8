# SPDX-License-Identifier: Apache-2.0
"""A file that grows by lines, while others (logrotate) move it away or remove it."""

import os
import stat
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

_MODE = 0o640


class RotatedFile:
    """Made when it is first written to, and made anew once it is no longer at its path.

    For one thread at a time. A line that is written in part, as the disk is full, is ended before
    the next one.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._is_torn = False

    def append(self, lines: Sequence[str]) -> tuple[int, OSError | None]:
        """How many were written, whole and from the first on, and why not all of them."""
        encoded = [f"{line}\n".encode() for line in lines]
        data = memoryview(b"".join(encoded))
        sent = 0
        try:
            self._follow()
            if self._is_torn:
                os.write(self._fd, b"\n")
                self._is_torn = False
            while sent < len(data):
                sent += os.write(self._fd, data[sent:])
        except OSError as error:
            ends = list(accumulate(map(len, encoded), initial=0))
            written = bisect_right(ends, sent) - 1
            self._is_torn |= sent > ends[written]
            return written, error
        return len(lines), None

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _follow(self) -> None:
        """Has the descriptor be that of the file at the path."""
        if self._fd >= 0 and not self._is_there():
            self.close()
        if self._fd < 0:
            # Without waiting: a pipe that nobody reads must not hold up whoever closes us.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = os.open(self._path, flags, _MODE)
            self._is_torn = _ends_in_a_line(self._fd)

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except FileNotFoundError:
            return False


def _ends_in_a_line(fd: int) -> bool:
    """Whether somebody was killed while he wrote the last one."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return False
    return os.pread(fd, 1, found.st_size - 1) != b"\n"
