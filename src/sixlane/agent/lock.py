# SPDX-License-Identifier: Apache-2.0
"""One agent a run directory, and a state directory."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sixlane.errors import ConfigError, KernelError


class Held(ConfigError):
    """Another agent holds the lock."""


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock for the block. Raises `Held`, which names the process that has it.

    The kernel frees it when its holder ends, however it ends.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise KernelError(error.errno or 0, f"open {path}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            raise Held(
                f"another sixlaned runs already (pid {pid or 'unknown'}) in {path.parent}",
                "stop it first, or give this one directories of its own",
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the number is but for the message
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


@contextmanager
def only_one_in(directory: Path) -> Iterator[None]:
    """Hold a lock on the directory itself for the block; one that is not there needs none.

    The lock of the run directory goes with its file, if somebody deletes that under an agent: the
    next one must not write to the same store all the same. Also in a read-only file system. Raises
    `Held`.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise KernelError(error.errno or 0, f"open {directory}") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Held(
                f"another sixlaned works in {directory} already",
                "stop it first, or give this one directories of its own",
            ) from None
        yield
    finally:
        os.close(fd)
