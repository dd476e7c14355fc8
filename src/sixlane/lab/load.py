# SPDX-License-Identifier: Apache-2.0
"""A steady load of web requests: `python -m sixlane.lab.load ADDRESS SECONDS NEW KEPT`.

NEW clients make a connection for each request; KEPT clients make one, and all their requests over
it. It says `loading` when it begins, and prints what it counted, as JSON, when the seconds are over
or on SIGTERM. Pages say in their first line who answers.
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

PORT = 80
READY = "loading"
MOST_SECONDS = 60
MOST_REQUESTS = 50_000
_PAUSE_S = 0.02
_PATIENCE_S = 4.0  # a SYN is sent again after 1 s and 3 s


@dataclass
class Count:
    """Of one sort of clients. `moved`: connections that another one answered than before."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    slowest_ms: float = 0.0

    @property
    def requests(self) -> int:
        return self.answers.total() + self.failures.total()

    def shown(self) -> dict[str, object]:
        return {
            "requests": self.requests,
            "answers": dict(sorted(self.answers.items())),
            "failures": dict(self.failures),
            "moved": self.moved,
            "slowestMs": round(self.slowest_ms, 1),
        }


class Load:
    def __init__(self, address: str, seconds: float, port: int = PORT) -> None:
        self.address, self.port = address, port
        self.until = time.monotonic() + min(seconds, MOST_SECONDS)
        self.ended = asyncio.Event()
        self.new, self.kept = Count(), Count()

    async def run(self, new: int, kept: int) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ended.set)
        print(READY, flush=True)
        await asyncio.gather(
            *(self._client(number, new, self.new, keep=False) for number in range(new)),
            *(self._client(number, kept, self.kept, keep=True) for number in range(kept)),
        )

    def _goes_on(self) -> bool:
        made = self.new.requests + self.kept.requests
        return not self.ended.is_set() and time.monotonic() < self.until and made < MOST_REQUESTS

    async def _client(self, number: int, of: int, count: Count, *, keep: bool) -> None:
        await self._pause(_PAUSE_S * number / of)
        while self._goes_on():
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    reader, writer = await asyncio.open_connection(self.address, self.port)
            except OSError as error:  # TimeoutError is one
                count.failures[type(error).__name__] += 1
                await self._pause(_PAUSE_S)
                continue
            with contextlib.closing(writer):
                await self._talk(reader, writer, count, MOST_REQUESTS if keep else 1)

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Count, most: int
    ) -> None:
        """Over one connection, until it fails."""
        who = None
        for _ in range(most):
            before = time.monotonic()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    answer = await _ask(reader, writer, self.address)
            except (OSError, EOFError, ValueError) as error:
                count.failures[type(error).__name__] += 1
                most = 0
            else:
                count.answers[answer] += 1
                count.moved += who not in (None, answer)
                count.slowest_ms = max(count.slowest_ms, (time.monotonic() - before) * 1000)
                who = answer
            await self._pause(_PAUSE_S)
            if not most or not self._goes_on():
                return

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), seconds)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> str:
    """The first line of the page."""
    name = f"[{host}]" if ":" in host else host
    writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.split("\r\n")
    if status.split()[1] != "200":
        raise ValueError(status)
    fields = dict(line.lower().split(": ", 1) for line in lines if line)
    body = await reader.readexactly(int(fields["content-length"]))
    return body.decode().splitlines()[0]


async def _main() -> None:
    address, seconds, new, kept = sys.argv[1:]
    load = Load(address, float(seconds))
    await load.run(int(new), int(kept))
    print(json.dumps({"new": load.new.shown(), "kept": load.kept.shown()}), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
