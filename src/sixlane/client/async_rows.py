# SPDX-License-Identifier: Apache-2.0
"""A long list, for programs that run an event loop."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import httpx

from sixlane.client.async_reading import AsyncReading
from sixlane.client.async_stream import unreachable
from sixlane.client.calls import Answer, Rows, parse_lines, refuse

_T = TypeVar("_T")


class AsyncRowReader(AsyncReading[_T]):
    """As `RowReader`, an asynchronous iterator."""

    def __init__(self, http: httpx.AsyncClient, path: str, rows: Rows[_T]) -> None:
        self._http, self._path, self._rows = http, path, rows
        super().__init__()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """In place of the objects: whole lines of JSON as they came, many at once."""
        rest = b""
        try:
            async with self._http.stream("GET", self._rows.path) as response:
                if response.status_code != 200:
                    refuse(Answer(response.status_code, "", await response.aread()))
                async for data in response.aiter_bytes():
                    whole, newline, last = data.rpartition(b"\n")
                    if newline:
                        yield rest + whole + newline
                        rest = last
                    else:
                        rest += data
        except httpx.TransportError as error:
            raise unreachable(self._path, error) from None

    async def blocks(self) -> AsyncGenerator[list[_T], None]:
        """In place of the objects: many of them at once, as they came."""
        async with aclosing(self.lines()) as lines:
            async for some in lines:
                yield parse_lines(some)

    async def _read(self) -> AsyncGenerator[_T, None]:
        async with aclosing(self.blocks()) as blocks:
            async for block in blocks:
                for item in block:
                    yield item
