# SPDX-License-Identifier: Apache-2.0
"""As `reading`, for programs that run an event loop."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Generic, Self, TypeVar

_T = TypeVar("_T")


class AsyncReading(ABC, Generic[_T]):
    """An asynchronous iterator, and a context that closes it."""

    def __init__(self) -> None:
        self._items = self._read()

    def __aiter__(self) -> AsyncIterator[_T]:
        return self

    async def __anext__(self) -> _T:
        return await anext(self._items)

    async def close(self) -> None:
        await self._items.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    def _read(self) -> AsyncGenerator[_T, None]:
        """The items, as they come."""
