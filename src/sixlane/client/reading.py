# SPDX-License-Identifier: Apache-2.0
"""What programs that wait read one by one: a request of its own, whose answer goes on."""

import http.client
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

from sixlane.client.calls import Answer, refuse
from sixlane.client.unix import Connection, ended, silent

_T = TypeVar("_T")


class Reading(ABC, Generic[_T]):
    """An iterator, and a context that closes it."""

    def __init__(
        self, path: str, asked: str, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self._path = path
        self._connection = Connection(path, timeout_s)
        try:
            self._connection.request("GET", asked, headers=dict(headers or {}))
            self._socket = self._connection.sock
            self._response = self._connection.getresponse()
            if self._response.status != 200:
                refuse(Answer(self._response.status, "", self._response.read()))
        except TimeoutError:
            self._connection.close()
            raise silent(path) from None
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise ended(path, error) from None
        except BaseException:
            self._connection.close()
            raise
        self._items = self._read()

    def __iter__(self) -> Iterator[_T]:
        return self

    def __next__(self) -> _T:
        return next(self._items)

    def close(self) -> None:
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _read(self) -> Iterator[_T]:
        """The items, as they come."""
