# SPDX-License-Identifier: Apache-2.0
"""Commands that look again and again: how often, how long, how much at a time."""

import sys

import click

from sixlane.cli.options import several
from sixlane.cli.output import Output

_CLEAR = "\x1b[H\x1b[J"

how_often = several(
    click.option(
        "--interval",
        type=click.FloatRange(min=0.1, max=3600),
        default=1.0,
        show_default=True,
        metavar="SECONDS",
        help="Between two looks.",
    ),
    click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N looks."),
)
"""--interval and --count."""

how_many = click.option(
    "--lines",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    metavar="N",
    help="How many lines a look has.",
)
"""--lines."""


def clear_screen(out: Output) -> None:
    """In front of each look, where a person sees them one in the place of the other."""
    if out.for_people and sys.stdout.isatty():
        click.echo(_CLEAR, nl=False)
