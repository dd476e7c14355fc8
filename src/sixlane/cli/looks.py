# SPDX-License-Identifier: Apache-2.0
"""Commands that look again and again: how often, how long, how much at a time."""

import sys
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import click

from sixlane.cli.options import several
from sixlane.cli.output import Output

_Seen = TypeVar("_Seen")

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


def pairs(
    look: Callable[[], _Seen], interval: float, count: int | None
) -> Iterator[tuple[_Seen, _Seen, float]]:
    """What was seen at each look and at the one before, and the seconds between them."""
    last, last_s = look(), time.monotonic()
    seen = 0
    while count is None or seen < count:
        time.sleep(interval)
        now, now_s = look(), time.monotonic()
        yield last, now, now_s - last_s
        last, last_s, seen = now, now_s, seen + 1


def more(now: int, last: int) -> int:
    """What a counter has counted since the last look; one that began anew, from zero."""
    return now - last if now >= last else now
