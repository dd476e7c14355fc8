# SPDX-License-Identifier: Apache-2.0
"""Lines of the session log, where they go, and what becomes of those that cannot be written."""

import errno
import io
import logging
import os
import resource
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any, cast

import pytest

from sixlane.agent import log
from sixlane.agent.log import logfmt
from sixlane.agent.rotated import RotatedFile
from sixlane.agent.session_log import Keeper, line_of
from sixlane.datapath import layout
from sixlane.datapath.layout import SessionEventKind, SessionProtocol
from sixlane.datapath.logs import BlockEvent, LogReader, SessionEvent, decode
from sixlane.errors import KernelError
from sixlane.model.pool4 import SessionLog

NOON_NS = 1_795_780_800_123_456_789  # 2026-11-27T12:00:00.123456789Z
NOON = "2026-11-27T12:00:00.123456Z"
GIVEN = BlockEvent(
    NOON_NS, True, IPv6Network("2001:db8:64::/64"), IPv4Address("192.31.197.8"), 1024, 1087
)
MADE = SessionEvent(
    NOON_NS,
    True,
    "tcp",
    (IPv6Address("2001:db8:64::7"), 5001),
    (IPv4Address("192.31.197.8"), 1027),
    (IPv4Address("192.31.196.53"), 443),
)
BLOCK_LINE = (
    f"event=block-given client=2001:db8:64::/64 pool=192.31.197.8 ports=1024-1087 time={NOON}"
)
SESSION_LINE = (
    "event=session-made protocol=tcp inside=[2001:db8:64::7]:5001 pool=192.31.197.8:1027 "
    f"remote=192.31.196.53:443 time={NOON}"
)


def test_lines() -> None:
    assert logfmt(line_of(GIVEN)) == BLOCK_LINE
    assert logfmt(line_of(MADE)) == SESSION_LINE


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (SessionEventKind.SESSION_EVENT_BLOCK_GIVEN, "block-given"),
        (SessionEventKind.SESSION_EVENT_BLOCK_BACK, "block-back"),
        (SessionEventKind.SESSION_EVENT_MADE, "session-made"),
        (SessionEventKind.SESSION_EVENT_ENDED, "session-ended"),
    ],
)
def test_records_of_each_kind(kind: SessionEventKind, word: str) -> None:
    number = int(IPv6Address("2001:db8:64::"))
    record = layout.SessionEvent(
        time_ns=5,
        inside=layout.Addr(number >> 64, 0),
        pool=int(IPv4Address("192.31.197.8")),
        remote=int(IPv4Address("192.31.196.53")),
        inside_port=7,
        pool_port=1024,
        last_port=1279,
        remote_port=0,
        kind=kind,
        protocol=SessionProtocol.SESSION_ICMP,
        client_bits=48,
    )
    line = logfmt(line_of(decode(bytes(record), NOON_NS - 5)))
    if "block" in word:
        body = "client=2001:db8:64::/48 pool=192.31.197.8 ports=1024-1279"
    else:
        body = "protocol=icmp inside=[2001:db8:64::]:7 pool=192.31.197.8:1024"
        body += " remote=192.31.196.53:0"
    assert line == f"event={word} {body} time={NOON}"


class Ring:
    """In place of a reader: what was put there is read once. A pipe is readable while there is
    any."""

    def __init__(self) -> None:
        self.events: deque[Any] = deque()
        self.opened = 0
        self._readable, self._writable = os.pipe()

    def put(self, *events: Any) -> None:
        self.events.extend(events)
        os.write(self._writable, bytes(len(events)))

    def open(self) -> LogReader:
        self.opened += 1
        return cast(LogReader, self)

    def fileno(self) -> int:
        return self._readable

    def read(self, limit: int) -> list[Any]:
        found = [self.events.popleft() for _ in range(min(limit, len(self.events)))]
        if found:
            os.read(self._readable, len(found))
        if KernelError in found:
            raise KernelError(errno.EIO, "read a ring buffer")
        return found

    def close(self) -> None:
        os.close(self._readable)
        os.close(self._writable)

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring()
    yield made
    made.close()


@pytest.fixture
def keeper(ring: Ring) -> Iterator[Keeper]:
    made = Keeper()
    yield made
    made.close()


def wanted(to: str, **on: bool) -> SessionLog:
    return SessionLog.model_validate({"to": to, **(on or {"sessions": True})})


def eventually(condition: Any) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def test_to_a_file(tmp_path: Path, keeper: Keeper, ring: Ring) -> None:
    path = tmp_path / "log"
    keeper.keep(wanted(str(path)), ring.open)
    ring.put(GIVEN, MADE)
    assert eventually(lambda: path.exists() and path.read_text().count("\n") == 2)
    assert path.read_text() == f"{BLOCK_LINE}\n{SESSION_LINE}\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert keeper.lost == 0 and keeper.trouble() is None


def test_what_waits_is_written_at_once_and_what_is_there_at_the_end(
    tmp_path: Path, keeper: Keeper, ring: Ring
) -> None:
    ring.put(GIVEN)
    keeper.keep(wanted(str(tmp_path / "log")), ring.open)
    ring.put(MADE)
    keeper.close()
    assert (tmp_path / "log").read_text().count("\n") == 2


def test_there_is_no_reader_unless_it_is_on(tmp_path: Path, keeper: Keeper, ring: Ring) -> None:
    path = str(tmp_path / "log")
    keeper.keep(None, ring.open)
    keeper.keep(SessionLog.model_validate({"to": path}), ring.open)
    assert ring.opened == 0
    keeper.keep(wanted(path, blocks=True), ring.open)
    keeper.keep(wanted(path, sessions=True), ring.open)
    assert ring.opened == 1
    keeper.keep(None, ring.open)
    ring.put(GIVEN)
    time.sleep(0.2)
    assert len(ring.events) == 1 and not (tmp_path / "log").exists()
    keeper.keep(wanted(path), ring.open)
    assert eventually(lambda: not ring.events)


def test_another_place(tmp_path: Path, keeper: Keeper, ring: Ring) -> None:
    keeper.keep(wanted(str(tmp_path / "one")), ring.open)
    ring.put(GIVEN)
    keeper.keep(wanted(str(tmp_path / "two")), ring.open)
    ring.put(MADE)
    keeper.close()
    assert (tmp_path / "one").read_text() == f"{BLOCK_LINE}\n"
    assert (tmp_path / "two").read_text() == f"{SESSION_LINE}\n"


def test_to_the_journal_whatever_the_level(keeper: Keeper, ring: Ring) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log.Formatter(journal=True))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel("WARNING")
    try:
        keeper.keep(wanted("journal"), ring.open)
        ring.put(MADE)
        keeper.close()
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert stream.getvalue() == f"<6>level=info msg=sessions {SESSION_LINE}\n"


def test_all_that_ended_at_once(tmp_path: Path, keeper: Keeper, ring: Ring) -> None:
    """Told also if the log begins later; not if there is none."""
    path = tmp_path / "log"
    keeper.all_ended(NOON_NS, "nobody asks")
    keeper.keep(None, ring.open)
    keeper.all_ended(NOON_NS, "they get another size")
    keeper.keep(wanted(str(path)), ring.open)
    line = f'event=all-ended reason="they get another size" time={NOON}\n'
    assert eventually(lambda: path.exists() and path.read_text() == line)
    keeper.all_ended(NOON_NS, "they get another size")
    assert eventually(lambda: path.read_text() == 2 * line)


def test_what_cannot_be_written_is_counted_and_told_once(
    tmp_path: Path, keeper: Keeper, ring: Ring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "there" / "log"
    keeper.keep(wanted(str(path)), ring.open)
    for turn in range(3):
        ring.put(GIVEN, MADE)
        assert eventually(lambda: keeper.lost == 2 * turn + 2)  # noqa: B023
    assert "No such file or directory" in (keeper.trouble() or "")
    assert [record.message for record in caplog.records] == ["trouble"]
    path.parent.mkdir()
    ring.put(MADE)
    assert eventually(lambda: keeper.trouble() is None)
    assert path.read_text() == f"{SESSION_LINE}\n"
    assert keeper.lost == 6
    assert [record.message for record in caplog.records] == ["trouble", "no longer"]


@pytest.mark.parametrize("defect", [KernelError, "no event"])
def test_a_ring_that_cannot_be_read_ends_nothing_else(
    tmp_path: Path, keeper: Keeper, ring: Ring, defect: object
) -> None:
    keeper.keep(wanted(str(tmp_path / "log")), ring.open)
    ring.put(defect)
    assert eventually(lambda: keeper.trouble() is not None)
    keeper.keep(None, ring.open)


def test_a_file_that_is_moved_away_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = RotatedFile(str(path))
    assert file.append(["one"]) == (1, None)
    path.rename(tmp_path / "log.1")
    assert file.append(["two", "three"]) == (2, None)
    assert (tmp_path / "log.1").read_text() == "one\n"
    assert path.read_text() == "two\nthree\n"
    path.unlink()
    path.write_text("made by logrotate\n")
    assert file.append(["four"]) == (1, None)
    assert path.read_text() == "made by logrotate\nfour\n"
    file.close()


def test_a_line_that_somebody_was_killed_in_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("whole\nhal")
    file = RotatedFile(str(path))
    assert file.append(["next"]) == (1, None)
    assert path.read_text() == "whole\nhal\nnext\n"
    file.close()


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files get no larger: a disk that is full, for this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """Python ignores SIGXFSZ. What is whole counts as written; the next line is one of its own."""
    path = tmp_path / "log"
    file = RotatedFile(str(path))
    with room_for(8):
        written, error = file.append(["aaaa", "bbbb", "cccc"])
    assert (written, error and error.errno) == (1, errno.EFBIG)
    assert path.read_text() == "aaaa\nbbb"
    assert file.append(["dddd"]) == (1, None)
    assert path.read_text() == "aaaa\nbbb\ndddd\n"
    with room_for(10):
        assert file.append(["eeee"])[0] == 0
    assert file.append(["ffff"]) == (1, None)
    assert path.read_text() == "aaaa\nbbb\ndddd\nffff\n"
    file.close()


def test_no_room_behind_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file = RotatedFile(str(path))
    with room_for(5):
        assert file.append(["aaaa", "bbbb"])[0] == 1
    assert file.append(["cccc"]) == (1, None)
    assert path.read_text() == "aaaa\ncccc\n"
    file.close()


def test_a_pipe_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    file = RotatedFile(str(path))
    written, error = file.append(["x" * 1000] * 1000)
    assert written < 1000 and error is not None and error.errno == errno.EAGAIN
    file.close()
