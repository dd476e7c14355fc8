# SPDX-License-Identifier: Apache-2.0
"""`sixlane counters`."""

from collections.abc import Mapping
from typing import Any

import click

from sixlane.cli import options
from sixlane.cli.command import Command
from sixlane.cli.output import Output, Row
from sixlane.cli.session import Session, pass_session


@click.command(cls=Command)
@options.with_output
@pass_session
def counters(session: Session, out: Output) -> None:
    """Show packets and bytes by reason and by prefix.

    With -o wide also what is zero, and by prefix, direction, protocol and reason at once.
    """
    answer = session.client.counters()
    if out.data(answer):
        return
    reasons = [
        (reason, count["packets"], count["bytes"])
        for reason, count in answer["reasons"].items()
        if out.wide or count["packets"]
    ]
    prefixes = prefix_rows(answer["prefixes"])
    out.table(("COUNTER", "PACKETS", "BYTES"), reasons)
    show_prefix_rows(out, prefixes)
    if out.wide:
        keys = ("prefix", "direction", "protocol", "reason", "packets", "bytes")
        rows = [tuple(kind[key] or "-" for key in keys) for kind in answer["traffic"]]  # type: ignore[literal-required]
        out.table([key.upper() for key in keys], rows)
    if not reasons and not prefixes:
        out.lines("no packets yet")


def prefix_rows(prefixes: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """One for each prefix and direction."""
    return [
        (name, direction, count["packets"], count["bytes"])
        for name, directions in prefixes.items()
        for direction, count in directions.items()
    ]


def show_prefix_rows(out: Output, rows: list[Row]) -> None:
    out.table(("PREFIX", "DIRECTION", "PACKETS", "BYTES"), rows)
