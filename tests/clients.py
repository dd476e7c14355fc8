# SPDX-License-Identifier: Apache-2.0
"""Both clients behind one interface, so that a test can be run with either."""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sixlane.client import AsyncClient, AsyncStream, Client

KINDS = ("waiting", "asynchronous")


@contextmanager
def client(kind: str, path: Path) -> Iterator[Any]:
    """A `Client`, or an `AsyncClient` whose every call is waited for."""
    if kind == "waiting":
        yield Client(str(path))
        return
    with asyncio.Runner() as runner:
        asynchronous = AsyncClient(str(path))
        try:
            yield _Awaited(runner, asynchronous)
        finally:
            runner.run(asynchronous.close())


class _Awaited:
    def __init__(self, runner: asyncio.Runner, awaited: object) -> None:
        self._runner, self._awaited = runner, awaited

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._awaited, name)

        def call(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            if inspect.iscoroutine(result):
                return self._runner.run(result)
            return _AwaitedStream(self._runner, result)

        return call


class _AwaitedStream:
    def __init__(self, runner: asyncio.Runner, stream: AsyncStream[Any]) -> None:
        self._runner, self._stream = runner, stream

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._runner.run(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> "_AwaitedStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._runner.run(self._stream.close())

    async def _next(self) -> Any:
        return await anext(self._stream)
