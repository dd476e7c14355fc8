# SPDX-License-Identifier: Apache-2.0
"""`sixlane top`: what goes through, now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from sixlane.cli import looks, options
from sixlane.cli.command import Command
from sixlane.cli.output import Bad, Output
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client.types import Traffic

_KEYS = ("prefix", "direction", "protocol", "reason")
_COLUMNS = (*(key.upper() for key in _KEYS), "PKT/S", "MBIT/S", "PACKETS")

Key = tuple[str, ...]


class _Sums(NamedTuple):
    """By key, since the data path was loaded."""

    packets: Counter[Key]
    bytes: Counter[Key]


class _Rate(NamedTuple):
    key: Key
    packets_per_s: float
    bits_per_s: float
    packets: int


@click.command(
    cls=Command,
    examples=[
        ("sixlane top", "until interrupted, once a second"),
        ("sixlane top --by prefix,reason --sort bits", "fewer and longer lines"),
        ("sixlane top --count 1 --interval 10 -o json", "one look at ten seconds, for programs"),
    ],
)
@click.option(
    "--by",
    default=",".join(_KEYS),
    show_default=True,
    metavar="KEYS",
    help="What packets are told apart by.",
)
@click.option(
    "--sort",
    type=click.Choice(["packets", "bits"]),
    default="packets",
    show_default=True,
    help="What stands first: most packets, or most bits.",
)
@looks.how_often
@looks.how_many
@options.with_output
@pass_session
def top(
    session: Session,
    by: str,
    sort: str,
    interval: float,
    count: int | None,
    lines: int,
    out: Output,
) -> None:
    """Show packets and bits a second, the most first: by prefix, direction, protocol and reason.

    DIRECTION is the family that packets came in as: 46, IPv4; 64, IPv6. Packets that are left
    before it is known which prefix serves them have none.
    """
    keys = _keys(by)

    def look() -> _Sums:
        return _sums(session.client.counters()["traffic"], keys)

    for last, now, seconds in looks.pairs(look, interval, count):
        rates = _rates(last, now, seconds)
        rates.sort(key=lambda rate: -(rate.bits_per_s if sort == "bits" else rate.packets_per_s))
        looks.clear_screen(out)
        _show(out, keys, rates[:lines])


def _keys(by: str) -> list[str]:
    keys = [key.strip() for key in by.split(",") if key.strip()]
    wrong = next((key for key in keys if key not in _KEYS), None)
    if wrong is not None or not keys:
        raise click.UsageError(f"--by: {wrong or by!r} is none of {', '.join(_KEYS)}")
    return keys


def _sums(traffic: Iterable["Traffic"], keys: Sequence[str]) -> _Sums:
    sums = _Sums(Counter(), Counter())
    for kind in traffic:
        key = tuple(str(kind[name] or "-") for name in keys)  # type: ignore[literal-required]
        sums.packets[key] += kind["packets"]
        sums.bytes[key] += kind["bytes"]
    return sums


def _rates(last: _Sums, now: _Sums, seconds: float) -> list[_Rate]:
    """Of what there was since the last look."""
    rates = []
    for key, packets in now.packets.items():
        new = looks.more(packets, last.packets[key])
        if new:
            bits = 8 * looks.more(now.bytes[key], last.bytes[key])
            rates.append(_Rate(key, new / seconds, bits / seconds, packets))
    return rates


def _show(out: Output, keys: Sequence[str], rates: Sequence[_Rate]) -> None:
    data = [
        dict(zip(keys, rate.key, strict=True))
        | {
            "packetsPerSecond": round(rate.packets_per_s, 1),
            "bitsPerSecond": round(rate.bits_per_s),
            "packets": rate.packets,
        }
        for rate in rates
    ]
    if out.data({"items": data}, data):
        return
    heads = [*(key.upper() for key in keys), *_COLUMNS[len(_KEYS) :]]
    rows = [
        (
            *(Bad(cell) if cell.startswith("drop_") else cell for cell in rate.key),
            round(rate.packets_per_s),
            f"{rate.bits_per_s / 1e6:.2f}",
            rate.packets,
        )
        for rate in rates
    ]
    out.table(heads, rows)
    if not rows:
        out.lines("no packets since the last look")
