# SPDX-License-Identifier: Apache-2.0
"""Results on stdout: tables for people; JSON, YAML and one line an object for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import click

Format = Literal["table", "wide", "json", "yaml", "csv", "ndjson"]
FORMATS: tuple[Format, ...] = ("table", "wide", "json", "yaml", "ndjson")
LIST_FORMATS: tuple[Format, ...] = ("table", "wide", "json", "yaml", "csv", "ndjson")
"""Of long lists, see `sixlane.cli.long`."""

Row = Sequence[object]


class Good(str):
    """A cell that says that something is well: green on a terminal."""


class Bad(str):
    """A cell that wants to be seen: red on a terminal."""


_COLOURS = {Good: "green", Bad: "red"}


def mark(text: str, well: bool) -> str:
    """The text as a cell that is `Good` or `Bad`."""
    return Good(text) if well else Bad(text)


class Output:
    """`wide` shows what a table leaves out. Colours go to terminals only (click sees to it)."""

    def __init__(self, format: Format, headers: bool = True) -> None:
        self._format = format
        self.headers = headers
        self._tables = 0

    @property
    def format(self) -> Format:
        return self._format

    @property
    def wide(self) -> bool:
        return self._format == "wide"

    @property
    def for_people(self) -> bool:
        return self._format in ("table", "wide")

    def data(self, whole: Any, each: Iterable[Any] | None = None) -> bool:
        """Print it, if the format is one for programs; tell whether it was.

        `each`: what stands on a line of its own in ndjson, and is a document of its own in YAML;
        None: the whole is one.
        """
        if self.for_people:
            return False
        if self._format == "json":
            click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
            return True
        for item in [whole] if each is None else each:
            self.item(item)
        return True

    def item(self, data: Any) -> None:
        """One of a stream of objects, in a format for programs."""
        if self._format == "yaml":
            from sixlane.sources.dump import dump

            click.echo(("---\n" if self._tables else "") + dump(data), nl=False)
            self._tables += 1
        else:
            indent = 2 if self._format == "json" else None
            click.echo(json.dumps(data, indent=indent, ensure_ascii=False))

    def lines(self, *lines: str) -> None:
        if lines:
            click.echo("\n".join(lines))

    def heading(self, text: str, colour: str | None = None) -> None:
        """What the next table is about; kept apart from what came before by a line."""
        if self._tables:
            click.echo()
        click.echo(click.style(text, fg=colour, bold=True))
        self._tables = 0

    def table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Numbers stand right. Nothing is printed for no rows. Tables are kept apart by a line."""
        if not rows:
            return
        if self._tables:
            click.echo()
        self._tables += 1
        cells = [[_text(cell) for cell in row] for row in rows]
        heads = [list(columns)] if self.headers else []
        widths = [max(map(len, column)) for column in zip(*heads, *cells, strict=True)]
        right = _numeric(rows)
        lines = [click.style(_line(head, widths, right), bold=True) for head in heads]
        lines += [_line(row, widths, right) for row in cells]
        click.echo("\n".join(lines))


class Stream:
    """A table whose rows come one by one: its columns have fixed widths."""

    def __init__(self, out: Output, columns: Sequence[tuple[str, int]]) -> None:
        self._out = out
        self._widths = [width for _, width in columns]
        if out.headers and out.for_people:
            head = _line([name for name, _ in columns], self._widths, set())
            click.echo(click.style(head, bold=True))

    def row(self, row: Row, data: Any) -> None:
        """The row, or the data in a format for programs; it is out at once."""
        if self._out.for_people:
            click.echo(_line([_text(cell) for cell in row], self._widths, set()))
        else:
            self._out.item(data)


def _line(cells: Sequence[str], widths: Sequence[int], right: set[int]) -> str:
    padded = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - len(cell))
        last = index == len(widths) - 1
        shown = _coloured(cell)
        padded.append(space + shown if index in right else shown + ("" if last else space))
    return "  ".join(padded).rstrip()


def _text(cell: object) -> str:
    return cell if isinstance(cell, str) else str(cell)


def _coloured(cell: str) -> str:
    colour = _COLOURS.get(type(cell))
    return click.style(cell, fg=colour) if colour else cell


def _numeric(rows: Sequence[Row]) -> set[int]:
    return {
        index
        for index, cells in enumerate(zip(*rows, strict=True))
        if all(isinstance(cell, int) for cell in cells)
    }
