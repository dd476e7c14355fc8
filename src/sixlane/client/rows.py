# SPDX-License-Identifier: Apache-2.0
"""A long list, for programs that wait: one object after the other, as they come."""

import http.client
from collections.abc import Iterator
from typing import TypeVar

from sixlane.client.calls import ANSWER_S, Rows, parse_lines
from sixlane.client.reading import Reading
from sixlane.client.unix import ended, silent

_T = TypeVar("_T")
_BYTES = 1 << 16


class RowReader(Reading[_T]):
    """An iterator over the objects. To be read to its end, closed, or used as a context.

    Raises `Unreachable` when the agent ends before the list does.
    """

    def __init__(self, path: str, rows: Rows[_T]) -> None:
        super().__init__(path, rows.path, ANSWER_S)

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

    def _read(self) -> Iterator[_T]:
        for block in self.blocks():
            yield from block
