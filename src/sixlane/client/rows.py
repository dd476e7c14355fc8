# SPDX-License-Identifier: Apache-2.0
"""A long list, for programs that wait: one object after the other, as they come."""

import http.client
from collections.abc import Iterator
from types import TracebackType
from typing import Generic, TypeVar

from sixlane.client.calls import ANSWER_S, Answer, Rows, parse_lines, refuse
from sixlane.client.unix import Connection, ended, silent

_T = TypeVar("_T")
_BYTES = 1 << 16


class RowReader(Generic[_T]):
    """An iterator over the objects. To be read to its end, closed, or used as a context.

    Raises `Unreachable` when the agent ends before the list does.
    """

    def __init__(self, path: str, rows: Rows[_T]) -> None:
        self._path = path
        self._connection = Connection(path, ANSWER_S)
        try:
            self._connection.request("GET", rows.path)
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

    def lines(self) -> Iterator[bytes]:
        """In place of the objects: whole lines of JSON as they came, many at once."""
        rest = b""
        try:
            while data := self._response.read1(_BYTES):
                whole, newline, last = data.rpartition(b"\n")
                if newline:
                    yield rest + whole + newline
                    rest = last
                else:
                    rest += data
        except TimeoutError:
            raise silent(self._path) from None
        except (http.client.HTTPException, OSError) as error:
            raise ended(self._path, error) from None
        finally:
            self.close()

    def blocks(self) -> Iterator[list[_T]]:
        """In place of the objects: many of them at once, as they came."""
        return map(parse_lines, self.lines())

    def close(self) -> None:
        self._response.close()
        self._connection.close()

    def __enter__(self) -> "RowReader[_T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Iterator[_T]:
        for block in self.blocks():
            yield from block
