# SPDX-License-Identifier: Apache-2.0
"""`sixlane monitor`: what happens, while it happens."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import completing, options
from sixlane.cli.command import Command
from sixlane.cli.output import Bad, Output, Stream
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client import Client

_DROP = "drop_"
_COLUMNS = (("TIME", 15), ("DEVICE", 15), ("REASON", 26), ("PACKET", 0))


@click.command(
    cls=Command,
    examples=[
        ("sixlane monitor --drops", "each dropped packet, until interrupted"),
        ("sixlane monitor --drops --reason source_not_allowed -o ndjson", "for programs"),
    ],
)
@click.option("--drops", is_flag=True, required=True, help="Packets that are dropped.")
@click.option("--seconds", type=click.FloatRange(min=0), metavar="N", help="End after this time.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N packets.")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    metavar="REASON",
    shell_complete=completing.reasons,
    help="Only packets dropped for this reason, as counters names it. Repeatable.",
)
@options.with_output
@pass_session
def monitor(
    session: Session,
    drops: bool,
    seconds: float | None,
    limit: int | None,
    reasons: tuple[str, ...],
    out: Output,
) -> None:
    """Show packets as they are dropped: when, where, why, and what they were.

    The agent shows a limited number a second; how many it could not show is told in a line of its
    own. The data path tells of drops only while somebody listens.
    """
    wanted = _known(session.client, reasons) if reasons else None
    stream = Stream(out, _COLUMNS)
    for event in _events(session.client, seconds, limit, wanted):
        if "reason" in event:
            stream.row([_clock(event["time"]), event["device"], *_what(event)], event)
        else:
            stream.row(["", "", Bad(_unseen(event)), ""], event)


def _events(
    client: "Client", seconds: float | None, limit: int | None, wanted: set[str] | None
) -> Iterator[Mapping[str, Any]]:
    """Those that are wanted, and what was lost; ends by itself after the time or the number."""
    shown = 0
    with client.drops(seconds=seconds, limit=limit if wanted is None else None) as drops:
        for event in drops:
            if "reason" in event:
                if wanted is not None and event["reason"] not in wanted:
                    continue
                shown += 1
            yield event
            if shown == limit:
                return


def _known(client: "Client", reasons: tuple[str, ...]) -> set[str]:
    """With the prefix that counters have. Raises a usage error for one that does not exist."""
    known = [one for one in client.counters()["reasons"] if one.startswith(_DROP)]
    wanted = {one if one.startswith(_DROP) else _DROP + one for one in map(str.lower, reasons)}
    for one in sorted(wanted.difference(known)) if known else ():
        from difflib import get_close_matches

        near = get_close_matches(one, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "sixlane counters -o wide has them all"
        raise click.UsageError(f"no such reason: {one}, {hint}")
    return wanted


def _what(event: Mapping[str, Any]) -> tuple[str, str]:
    return event["reason"].removeprefix(_DROP), event["summary"]


def _unseen(event: Mapping[str, Any]) -> str:
    counts = [f"{event[key]} {key}" for key in ("lost", "limited") if event.get(key)]
    return f"not shown: {', '.join(counts)}"


def _clock(time_rfc3339: str) -> str:
    """The time of day, here: 21:04:05.123456."""
    from datetime import datetime

    moment = datetime.fromisoformat(time_rfc3339)
    return moment.astimezone().strftime("%H:%M:%S.%f")
