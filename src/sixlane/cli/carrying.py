# SPDX-License-Identifier: Apache-2.0
"""Files of sessions that are carried from one gateway to another: what `session export` writes.

There may be any amount: nobody holds all of it.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sixlane.api.session_file import KIND, MAX_LINE_BYTES, VERSION
from sixlane.errors import ConfigError

_BATCH = 10_000
_HINT = "give what session export has written, whole"


class Batch(NamedTuple):
    """Lines of sessions; `first_line`: the number of the first one in the file."""

    first_line: int
    lines: bytes


def write(file: BinaryIO, blocks: Iterable[bytes]) -> int:
    """What the agent sends, as it comes; how many sessions there were. ConfigError: it was cut."""
    end = b""
    for lines in blocks:
        file.write(lines)
        end = (end + lines)[-MAX_LINE_BYTES:]
    file.flush()
    count = _count(end.removesuffix(b"\n").rpartition(b"\n")[2])
    if count is None:
        raise ConfigError("the agent ended before the sessions did", "export again")
    return count


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file for root alone, which is there when it is whole. `-`: standard output."""
    if str(path) == "-":
        yield sys.stdout.buffer
        return
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file that can be read twice; what comes by a pipe is kept in a temporary one."""
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            if file.seekable():
                yield file
                return
            with tempfile.TemporaryFile() as kept:
                shutil.copyfileobj(file, kept)
                kept.seek(0)
                yield kept
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def batches(file: BinaryIO) -> Iterator[Batch]:
    """All sessions of a file. ConfigError: it is not whole, or no such file; by line."""
    file.seek(0)
    _check_head(file.readline(MAX_LINE_BYTES + 1))
    first, number, lines = 2, 1, list[bytes]()
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise ConfigError(f"line {number}: longer than {MAX_LINE_BYTES} bytes", _HINT)
        if len(lines) > _BATCH:  # never the last line of the file
            yield Batch(first, b"".join(lines))
            first, lines = number, []
        lines.append(line)
    count = _count(lines.pop()) if lines else None
    if count is None:
        raise ConfigError(f"line {number}: the file ends before its last line", _HINT)
    if count != number - 2:
        what = f"{number - 2} sessions, and the last line says {count}"
        raise ConfigError(f"line {number}: {what}", _HINT)
    if lines:
        yield Batch(first, b"".join(lines))


def _check_head(line: bytes) -> None:
    head = _object(line)
    if head.get("kind") != KIND:
        raise ConfigError(f"line 1: not a file of sessions: kind is not {KIND}", _HINT)
    if head.get("version") != VERSION:
        version = ascii(head.get("version"))[:20]
        raise ConfigError(f"line 1: version {version} is not known, {VERSION} is", _HINT)


def _count(line: bytes) -> int | None:
    """What a last line says; None: it is none."""
    found = _object(line)
    count = found.get("sessions")
    return count if found.keys() == {"sessions"} and type(count) is int else None


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line.decode())
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
