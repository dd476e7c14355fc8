# SPDX-License-Identifier: Apache-2.0
"""A stream of events, for programs that wait."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, TypeVar

from sixlane.client.calls import SILENCE_S, Answer, Listen, refuse
from sixlane.client.sse import Assembler
from sixlane.client.unix import Connection, ended, silent

_T = TypeVar("_T")


class Stream(Generic[_T]):
    """An iterator over events as they come; `next` waits. To be closed, or used as a context.

    Raises `Unreachable` when the agent ends; then, or whenever it is convenient, watch again.
    """

    def __init__(self, path: str, listen: Listen[_T]) -> None:
        self._path, self._listen = path, listen
        self._closed = False
        self._connection = Connection(path, SILENCE_S)
        try:
            self._connection.request("GET", listen.path, headers=dict(listen.headers))
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
        """Any thread may do that; one that waits in `next` finds the stream at its end."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()
        self._connection.close()

    def __enter__(self) -> "Stream[_T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Iterator[_T]:
        assembler = Assembler()
        while True:
            line = self._line()
            if not line:
                break
            message = assembler.add(line.decode())
            if message is not None:
                yield self._listen.read(message)
        if self._listen.endless and not self._closed:
            raise ended(self._path, None)

    def _line(self) -> bytes:
        try:
            return self._response.readline()
        except TimeoutError:
            raise silent(self._path) from None
        except (http.client.HTTPException, OSError, ValueError, AttributeError) as error:
            if self._closed:
                return b""
            raise ended(self._path, error) from None
