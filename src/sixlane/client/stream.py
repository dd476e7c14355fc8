# SPDX-License-Identifier: Apache-2.0
"""A stream of events, for programs that wait."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from typing import TypeVar

from sixlane.client.calls import SILENCE_S, Listen
from sixlane.client.reading import Reading
from sixlane.client.sse import Assembler
from sixlane.client.unix import ended, silent

_T = TypeVar("_T")


class Stream(Reading[_T]):
    """An iterator over events as they come; `next` waits. To be closed, or used as a context.

    Raises `Unreachable` when the agent ends; then, or whenever it is convenient, watch again.
    """

    def __init__(self, path: str, listen: Listen[_T]) -> None:
        self._listen = listen
        self._closed = False
        super().__init__(path, listen.path, SILENCE_S, listen.headers)

    def close(self) -> None:
        """Any thread may do that; one that waits in `next` finds the stream at its end."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        super().close()

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
