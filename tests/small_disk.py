# SPDX-License-Identifier: Apache-2.0
"""A file system of one megabyte, which can be filled, and made one that cannot be written."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(directory: Path) -> Iterator[None]:
    _mount("-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(directory))
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def remount(directory: Path, mode: str) -> None:
    """`mode`: ro or rw."""
    _mount("-o", f"remount,{mode}", str(directory))


def fill(directory: Path) -> Path:
    """Leave no room for anything. Returns what takes it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def _mount(*argv: str) -> None:
    subprocess.run(["mount", *argv], check=True)
