# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: what changes, and what is dropped.

A stream waits in a worker thread of its own. There are so many of those and no more, beside those
of the other requests; a stream that ends, however it ends, gives its place back.
"""

import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Annotated, Any, Protocol

from anyio import CancelScope, CapacityLimiter, to_thread
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from sixlane.agent import Agent
from sixlane.agent.captures import Asked, Capture
from sixlane.agent.drops import DropReader
from sixlane.agent.watch import Watch
from sixlane.api.describe import event_stream
from sixlane.api.problem import ProblemError, bad_request
from sixlane.datapath.capturing import FRAME_BYTES, OUTCOMES, Outcome, Rule

MAX_STREAMS = 32
HEARTBEAT_S = 15.0
_LOOK_S = 0.5  # how long a stream may take to see that it has to end
_BATCH = 256
_COUNT_S = 1.0  # between two looks at what was missed
_LOOK_AT_RING_S = 0.02


class Streams:
    """The streams that are open."""

    def __init__(self, most: int = MAX_STREAMS) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._most = most
        self._ending = threading.Event()
        self.threads = CapacityLimiter(most)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room for one stream. Raises a 503 if there is none."""
        if not self._places.acquire(blocking=False):
            raise ProblemError(
                503,
                "too-many-streams",
                "Too many streams are open",
                f"{self._most} streams are open already",
                "close one, or try again later",
                headers={"Retry-After": "5"},
            )
        try:
            yield
        finally:
            self._places.release()

    def end(self) -> None:
        """End all of them, and those that begin from now on: the server is about to go."""
        self._ending.set()

    @property
    def ending(self) -> bool:
        return self._ending.is_set()


class Telling(Protocol):
    """What a stream tells. Used by one thread at a time."""

    def take(self, timeout_s: float) -> str | None:
        """The next event as text; None: none within the time."""

    @property
    def ended(self) -> bool:
        """No more will come, or are wanted."""


class _Stream(StreamingResponse):
    """Tells until there is no more to tell, the server ends, or the client goes."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, opened: AbstractContextManager[Telling]) -> None:
        self._streams = streams
        with ExitStack() as stack:
            stack.enter_context(streams.place())
            self._telling = stack.enter_context(opened)
            super().__init__(self._text(), headers={"Cache-Control": "no-store"})
            self._held = stack.pop_all()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):  # a client that went away cancels us
                await to_thread.run_sync(self._held.close)

    async def _text(self) -> AsyncIterator[str]:
        heard = time.monotonic()
        while not self._streams.ending and not self._telling.ended:
            text = await to_thread.run_sync(self._take, limiter=self._streams.threads)
            if text:
                yield text
                heard = time.monotonic()
            elif time.monotonic() - heard >= HEARTBEAT_S:
                yield ": nothing new\n\n"
                heard = time.monotonic()

    def _take(self) -> str:
        """What there is to tell; if there is nothing, the next thing, or nothing for a while."""
        texts: list[str] = []
        text = self._telling.take(_LOOK_S)
        while text is not None:
            texts.append(text)
            text = self._telling.take(0) if len(texts) < _BATCH else None
        return "".join(texts)


class _Changes:
    """What `/v1/watch` tells."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def take(self, timeout_s: float) -> str | None:
        event = self._watch.next(timeout_s)
        return None if event is None else text_of(event.type, event.data, event.resume)

    @property
    def ended(self) -> bool:
        return self._watch.closed


class _Drops:
    """What `/v1/drops` tells."""

    def __init__(self, reader: DropReader, seconds: float | None, limit: int | None) -> None:
        self._reader = reader
        self._end = None if seconds is None else time.monotonic() + seconds
        self._left = limit

    def take(self, timeout_s: float) -> str | None:
        if self.ended:
            return None
        left_s = timeout_s if self._end is None else self._end - time.monotonic()
        told = self._reader.next(max(0.0, min(timeout_s, left_s)))
        if told is None:
            return None
        if "lost" in told:
            return text_of("lost", told)
        if self._left is not None:
            self._left -= 1
        return text_of("drop", told)

    @property
    def ended(self) -> bool:
        return self._left == 0 or (self._end is not None and time.monotonic() >= self._end)


class _Packets:
    """What `/v1/capture` tells."""

    def __init__(self, capture: Capture, seconds: float, packets: int, size: int) -> None:
        self._capture = capture
        self._end = time.monotonic() + seconds
        self._left = packets
        self._bytes_left = size
        self._waiting: deque[dict[str, Any]] = deque()
        self._next_count = time.monotonic() + _COUNT_S

    def take(self, timeout_s: float) -> str | None:
        if self._waiting or self._fetch(timeout_s):
            packet = self._waiting.popleft()
            self._left -= 1
            ends = (packet["before"], packet["after"])
            self._bytes_left -= sum(len(one["hex"]) // 2 for one in ends if one)
            return text_of("packet", packet)
        if time.monotonic() >= self._next_count or self.ended:
            self._next_count = time.monotonic() + _COUNT_S
            missed = self._capture.missed()
            return text_of("missed", missed) if missed else None
        return None

    @property
    def ended(self) -> bool:
        over = self._left <= 0 or self._bytes_left <= 0 or time.monotonic() >= self._end
        return over or self._capture.ended

    def _fetch(self, timeout_s: float) -> bool:
        """Whether there are packets now, or were within the time."""
        until = min(time.monotonic() + timeout_s, self._end)
        while not self._waiting and not self.ended:
            self._waiting.extend(self._capture.read())
            if self._waiting or time.monotonic() >= until:
                break
            time.sleep(_LOOK_AT_RING_S)
        return bool(self._waiting) and self._left > 0 and self._bytes_left > 0


@contextmanager
def _packets(
    agent: Agent, asked: Asked, seconds: float, packets: int, size: int
) -> Iterator[_Packets]:
    with agent.capture(asked) as capture:
        yield _Packets(capture, seconds, packets, size)


@contextmanager
def _changes(agent: Agent, since: int | None) -> Iterator[_Changes]:
    with agent.watch(since) as watch:
        yield _Changes(watch)


@contextmanager
def _drops(agent: Agent, seconds: float | None, limit: int | None) -> Iterator[_Drops]:
    with agent.drops() as reader:
        yield _Drops(reader, seconds, limit)


def routes(agent: Agent, streams: Streams) -> APIRouter:
    router = APIRouter(tags=["streams"])

    @router.get("/v1/watch", operation_id="watch", responses=event_stream("Event"))
    def watch(
        last_event_id: Annotated[
            str | None, Header(description="The id of the last event that was seen.")
        ] = None,
    ) -> Response:
        """All resources, and then every change to them and to how they do.

        Events `put` and `deleted` hold the resource. `synced` says that all there was has been
        told; it names what there is, so that whoever resumes knows what is gone. The id of an
        event is what `Last-Event-ID` takes to go on behind it; then only what changed since then
        is told, or everything if that is too long ago. Whoever is slow misses what lay between,
        never the last state. Comment lines keep the connection alive.
        """
        since = _revision(last_event_id)
        return _Stream(streams, _changes(agent, since))

    @router.get("/v1/drops", operation_id="watchDrops", responses=event_stream("Drop"))
    def drops(
        seconds: Annotated[
            float | None,
            Query(gt=0, le=86400, description="End after so many; left out: never."),
        ] = None,
        limit: Annotated[
            int | None,
            Query(ge=1, le=1_000_000, description="End after so many packets; left out: never."),
        ] = None,
    ) -> Response:
        """Packets as they are dropped, from now on, with the reason and their first bytes.

        Events `drop` are packets. Events `lost` say how many more there were that nobody will
        learn of: `lost`, the reader was too slow, and `limited`, they came too fast.
        """
        return _Stream(streams, _drops(agent, seconds, limit))

    @router.get("/v1/capture", operation_id="capture", responses=event_stream("Packet", 422, 501))
    def capture(
        filter: Annotated[
            str,
            Query(
                max_length=2000,
                description="As tcpdump takes it (pcap-filter(7)); a frame matches as it came in "
                "or as it left. Left out: all.",
            ),
        ] = "",
        device: Annotated[
            str | None, Query(max_length=64, description="That frames came in by; left out: any.")
        ] = None,
        only: Annotated[
            list[Outcome] | None,
            Query(max_length=3, description="What became of them; left out: anything."),
        ] = None,
        seconds: Annotated[float, Query(gt=0, le=3600, description="End after so many.")] = 60,
        packets: Annotated[
            int, Query(ge=1, le=10_000_000, description="End after so many packets.")
        ] = 10_000,
        size: Annotated[
            int, Query(ge=1, le=1 << 34, alias="bytes", description="End after so many bytes.")
        ] = 100 << 20,
        snap: Annotated[
            int, Query(ge=64, le=FRAME_BYTES, description="Bytes kept of each frame.")
        ] = FRAME_BYTES,
        rate: Annotated[
            int, Query(ge=1, le=1_000_000, description="At most so many packets a second.")
        ] = 10_000,
    ) -> Response:
        """Packets as the data path gets them and as it sends them, with what became of each.

        Events `packet` are packets; events `missed` say how many more there were: `limited`, they
        came too fast, and `lost`, the reader was too slow. Programs that capture take the place of
        the usual ones meanwhile. There is one capture at a time.
        """
        rule = Rule(frozenset(only or OUTCOMES), rate, snap)
        asked = Asked(filter, device, rule)
        return _Stream(streams, _packets(agent, asked, seconds, packets, size))

    return router


def text_of(name: str, data: object, event_id: int | None = None) -> str:
    """One event as the HTML standard writes it (section 9.2.6); JSON has no line breaks."""
    number = "" if event_id is None else f"id: {event_id}\n"
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\n{number}data: {text}\n\n"


def _revision(last_event_id: str | None) -> int | None:
    if last_event_id is None or last_event_id == "":
        return None
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 19):
        raise bad_request(
            f"Last-Event-ID {last_event_id[:60]!a} is none of ours", "leave it out to see all"
        )
    return int(last_event_id)
