# SPDX-License-Identifier: Apache-2.0
"""The log of sessions and of port blocks, as lines of key=value in the journal or in a file.

    event=block-given client=2001:db8:64::/64 pool=192.31.197.8 ports=1024-1279 time=...
    event=session-made protocol=tcp inside=[2001:db8:64::7]:5001 pool=192.31.197.8:1027
      remote=192.31.196.53:443 time=...

Times are when it happened, in UTC. The data path never waits for it: what is not read in time, or
cannot be written, is lost and counted.
"""

import ctypes
import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sixlane.agent import threads
from sixlane.agent.drops import endpoint, rfc3339
from sixlane.agent.log import fields, logfmt
from sixlane.agent.rotated import RotatedFile
from sixlane.datapath import layout
from sixlane.datapath.layout import Limit
from sixlane.datapath.logs import BlockEvent, LogReader, SessionEvent
from sixlane.errors import SixlaneError
from sixlane.model.pool4 import SessionLog

_log = logging.getLogger("sixlane.sessionlog")
_lines = logging.getLogger("sixlane.sessions")

Line = dict[str, Any]

_BATCH = 1_000
_BETWEEN_BATCHES_S = 0.05
_BATCHES_AT_ONCE = Limit.SESSION_RING_BYTES // ctypes.sizeof(layout.SessionEvent) // _BATCH + 1
"""What the ring holds: whoever closes us does not wait for what comes meanwhile."""


class Keeper:
    """Writes the log while one is wanted. For any thread.

    `lost`: lines that could not be written since the agent started.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._lock = threading.Lock()
        self._to: str | None = None
        self._writer: _Writer | None = None
        self._noted: deque[Line] = deque()

    def keep(self, wanted: SessionLog | None, open: Callable[[], LogReader]) -> None:
        """Write what `wanted` says, from now on; `open`: the reader of the data path there is.

        What has been told by now is written as it was wanted before. SixlaneError: it cannot be
        read.
        """
        to = wanted.to if wanted and wanted.is_on else None
        with self._lock:
            if to is None:
                self._stop()
                self._noted.clear()
            elif to != self._to:
                self._stop()
                self._writer = _Writer(open(), _sink(to), self._noted, self._lose)
                self._to = to

    def all_ended(self, time_ns: int, why: str) -> None:
        """To be told if there is a log, or once there is one: nobody has the ports any more that he
        had by then."""
        with self._lock:
            self._noted.append({"event": "all-ended", "reason": why, "time": rfc3339(time_ns)})
            if self._writer is not None:
                self._writer.wake()

    def trouble(self) -> str | None:
        """Why lines are not written at the moment."""
        writer = self._writer
        return writer.trouble if writer is not None else None

    def close(self) -> None:
        """Write what has been told by now. What comes later waits for the next one."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        self._to = None
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _lose(self, lines: int) -> None:
        self.lost += lines  # by the one thread that writes


class _Sink(Protocol):
    def write(self, lines: Sequence[Line]) -> tuple[int, OSError | None]:
        """As `RotatedFile.append`."""

    def close(self) -> None: ...


class _Journal:
    """Where the agent's own log goes, whatever its level."""

    def __init__(self) -> None:
        _lines.setLevel(logging.INFO)

    def write(self, lines: Sequence[Line]) -> tuple[int, OSError | None]:
        for line in lines:
            _lines.info("sessions", extra=fields(**line))
        return len(lines), None

    def close(self) -> None:
        pass


class _File:
    def __init__(self, path: str) -> None:
        self._file = RotatedFile(path)

    def write(self, lines: Sequence[Line]) -> tuple[int, OSError | None]:
        return self._file.append([logfmt(line) for line in lines])

    def close(self) -> None:
        self._file.close()


def _sink(to: str) -> _Sink:
    return _Journal() if to == "journal" else _File(to)


class _Writer:
    """The thread that reads the ring and writes, in batches. `noted`: lines that are not from
    there."""

    def __init__(
        self,
        reader: LogReader,
        sink: _Sink,
        noted: deque[Line],
        lose: Callable[[int], None],
    ) -> None:
        self.trouble: str | None = None
        self._reader = reader
        self._sink = sink
        self._noted = noted
        self._lose = lose
        self._closing = threading.Event()
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threads.start("session log", self._run)

    def wake(self) -> None:
        os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """Write what is there."""
        self._closing.set()
        self.wake()
        self._thread.join()
        self._sink.close()
        os.close(self._woken)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        poll.register(self._reader, select.POLLIN)
        try:
            with self._reader:
                self._write_all()
                while not self._closing.wait(_BETWEEN_BATCHES_S):
                    poll.poll()
                    self._write_all()
                self._write_all()
        except SixlaneError as error:
            self.trouble = f"the session log cannot be read: {error}"
            _log.error("no more session log", extra=fields(error=error))
        except Exception:
            self.trouble = "the session log is not written: a defect of sixlane"
            _log.exception("no more session log")

    def _write_all(self) -> None:
        for _ in range(_BATCHES_AT_ONCE):
            events = self._reader.read(_BATCH)
            if not events:
                break
            self._write([line_of(event) for event in events])
        while self._noted:
            self._write([self._noted.popleft()])

    def _write(self, lines: Sequence[Line]) -> None:
        written, error = self._sink.write(lines)
        trouble = f"the session log is not written: {error}" if error else None
        if trouble and trouble != self.trouble:
            _log.warning("trouble", extra=fields(what=trouble))
        elif self.trouble and not trouble:
            _log.info("no longer", extra=fields(what=self.trouble))
        self.trouble = trouble
        self._lose(len(lines) - written)


def line_of(event: BlockEvent | SessionEvent) -> Line:
    """What a line says, in its order."""
    if isinstance(event, BlockEvent):
        return {
            "event": "block-given" if event.given else "block-back",
            "client": event.client,
            "pool": event.pool,
            "ports": f"{event.first}-{event.last}",
            "time": rfc3339(event.time_ns),
        }
    return {
        "event": "session-made" if event.made else "session-ended",
        "protocol": event.protocol,
        "inside": endpoint(*event.inside),
        "pool": endpoint(*event.pool),
        "remote": endpoint(*event.remote),
        "time": rfc3339(event.time_ns),
    }
