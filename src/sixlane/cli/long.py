# SPDX-License-Identifier: Apache-2.0
"""Lists that may have a million rows: each block is shown when it comes, and forgotten."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sixlane.cli.ends import with_port
from sixlane.cli.output import Output

if TYPE_CHECKING:
    from sixlane.client import RowReader

_NOT_PLAIN = (list, bool)  # what csv would write as Python does

Item = Mapping[str, Any]


class Column(NamedTuple):
    """`wide`: it is left out of narrow tables; `right`: numbers."""

    head: str
    cell: Callable[[Item], object]
    wide: bool = False
    right: bool = False


def show(
    out: Output,
    rows: "RowReader[Any]",
    columns: Sequence[Column],
    keys: Sequence[str],
    none: str,
) -> None:
    """`keys` of the objects, in the order of a CSV file; `none`: what people are told if there is
    no row.
    """
    with rows:
        if out.format == "ndjson":
            for lines in rows.lines():
                click.echo(lines.decode(), nl=False)
        elif out.format == "json":
            _json(rows.lines())
        elif out.format == "csv":
            show_csv(rows.blocks(), keys, out.headers)
        elif out.for_people:
            _table(out, rows.blocks(), columns, none)
        else:
            for item in rows:
                out.item(item)


def ends(item: Item, name: str) -> str:
    """Address and port as they are written together."""
    return with_port(item[name], item[f"{name}Port"])


def _json(blocks: Iterable[bytes]) -> None:
    """One object, each item on a line as it came."""
    before = '{"items": [\n  '
    for lines in blocks:
        click.echo(before + lines.decode().rstrip().replace("\n", ",\n  "), nl=False)
        before = ",\n  "
    click.echo('{"items": []}' if before.startswith("{") else "\n]}")


def show_csv(blocks: Iterable[Sequence[Item]], keys: Sequence[str], headers: bool) -> None:
    """RFC 4180, but for the ends of lines, which are those of this system."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if headers:
        writer.writerow(keys)
    for block in blocks:
        rows: Iterable[Sequence[Any]] = map(itemgetter(*keys), block)
        if any(isinstance(value, _NOT_PLAIN) for item in block[:1] for value in item.values()):
            rows = (list(map(_plain, row)) for row in rows)
        writer.writerows(rows)
        click.echo(text.getvalue(), nl=False)
        text.seek(0)
        text.truncate()
    click.echo(text.getvalue(), nl=False)


def _plain(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return value  # csv writes nothing for None


def _table(
    out: Output, blocks: Iterable[Sequence[Item]], columns: Sequence[Column], none: str
) -> None:
    """Columns are as wide as what has come so far."""
    shown = [column for column in columns if out.wide or not column.wide]
    heads = [column.head for column in shown]
    widths = [len(head) if out.headers else 0 for head in heads]
    first = True
    for block in blocks:
        cells = [[str(column.cell(item)) for column in shown] for item in block]
        widths = [
            max(width, *map(len, column))
            for width, column in zip(widths, zip(*cells, strict=True), strict=True)
        ]
        form = "  ".join(
            f"{{:{'>' if column.right else '<'}{width}}}"
            for column, width in zip(shown, widths, strict=True)
        )
        if first and out.headers:
            click.echo(click.style(form.format(*heads).rstrip(), bold=True))
        click.echo("\n".join(form.format(*row).rstrip() for row in cells))
        first = False
    if first:
        out.lines(none)
