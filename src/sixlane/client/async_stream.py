# SPDX-License-Identifier: Apache-2.0
"""A stream of events, for programs that run an event loop."""

from collections.abc import AsyncGenerator
from typing import TypeVar

import httpx

from sixlane.client.async_reading import AsyncReading
from sixlane.client.calls import CONNECT_S, SILENCE_S, Answer, Listen, refuse
from sixlane.client.errors import Unreachable
from sixlane.client.sse import Assembler
from sixlane.client.unix import ended, not_reached, silent

_T = TypeVar("_T")


class AsyncStream(AsyncReading[_T]):
    """An asynchronous iterator over events as they come. To be closed, or used as a context.

    Raises `Unreachable` when the agent ends; then, or whenever it is convenient, watch again.
    """

    def __init__(self, http: httpx.AsyncClient, path: str, listen: Listen[_T]) -> None:
        self._http, self._path, self._listen = http, path, listen
        super().__init__()

    async def _read(self) -> AsyncGenerator[_T, None]:
        assembler = Assembler()
        listen = self._listen
        timeout = httpx.Timeout(SILENCE_S, connect=CONNECT_S)
        try:
            async with self._http.stream(
                "GET", listen.path, headers=dict(listen.headers), timeout=timeout
            ) as response:
                if response.status_code != 200:
                    refuse(Answer(response.status_code, "", await response.aread()))
                async for line in response.aiter_lines():
                    message = assembler.add(line)
                    if message is not None:
                        yield listen.read(message)
        except httpx.TransportError as error:
            raise unreachable(self._path, error) from None
        if listen.endless:
            raise ended(self._path, None)


def unreachable(path: str, error: httpx.TransportError) -> Unreachable:
    """httpx's error as `Client` would tell it."""
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return silent(path)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and isinstance(error, httpx.ConnectError):
            return not_reached(path, cause)
        cause = cause.__cause__ or cause.__context__
    return ended(path, error)
