# SPDX-License-Identifier: Apache-2.0
"""Results on stdout: tables for people, JSON and YAML for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Any, Literal

Format = Literal["table", "wide", "json", "yaml"]
FORMATS: tuple[Format, ...] = ("table", "wide", "json", "yaml")

Row = Sequence[object]


class Output:
    """`wide` shows what a table leaves out. Colours and rich's tables only on a terminal."""

    def __init__(self, format: Format, headers: bool = True) -> None:
        self._format = format
        self._headers = headers
        self._tables = 0

    @property
    def wide(self) -> bool:
        return self._format == "wide"

    def data(self, data: Any) -> bool:
        """Print as JSON or YAML, if that is the format; tell whether it was."""
        if self._format == "json":
            print(json.dumps(data, indent=2))
        elif self._format == "yaml":
            import yaml

            print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
        else:
            return False
        return True

    def lines(self, *lines: str) -> None:
        for line in lines:
            print(line)

    def table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Numbers stand right. Nothing is printed for no rows. Tables are kept apart by a line."""
        if not rows:
            return
        if self._tables:
            print()
        self._tables += 1
        if sys.stdout.isatty():
            self._rich_table(columns, rows)
        else:
            self._plain_table(columns, rows)

    def _plain_table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        lines = [list(columns)] if self._headers else []
        lines += [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        right = _numeric(rows)
        for line in lines:
            cells = [
                cell.rjust(width) if index in right else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            print("  ".join(cells).rstrip())

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        right = _numeric(rows)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=self._headers)
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index in right else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        Console().print(table)


def _numeric(rows: Sequence[Row]) -> set[int]:
    return {
        index
        for index, cells in enumerate(zip(*rows, strict=True))
        if all(isinstance(cell, int) for cell in cells)
    }
