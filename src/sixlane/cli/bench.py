# SPDX-License-Identifier: Apache-2.0
"""`sixlane bench`: what `make bench` measured."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import click

from sixlane.cli import options
from sixlane.cli.command import Command, Group
from sixlane.cli.output import Bad, Good, Output
from sixlane.errors import ConfigError

_FILE = click.Path(dir_okay=False, path_type=Path)
_FORMAT = 1


class _Compared(NamedTuple):
    name: str
    unit: str
    old: float
    new: float
    low: float
    ratio: float
    high: float
    verdict: str


@click.group(cls=Group)
def bench() -> None:
    """Look at what make bench has measured."""


@bench.command(
    cls=Command,
    examples=[
        ("sixlane bench compare before.json after.json", "what is certain, and by how much"),
        ("sixlane bench compare before.json after.json --all -o json", "all of it, for programs"),
    ],
)
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("--all", "whole", is_flag=True, help="Also what may as well be the same.")
@options.with_output
def compare(old: Path, new: Path, whole: bool, out: Output) -> None:
    """Compare two files that make bench wrote: medians, their ratio, and its 95 % interval.

    Something is better or worse only if the interval leaves 1 out. Ends with 1 if anything is
    worse. Figures of different machines say nothing of the programs; a line tells of that.
    """
    before, after = _read(old), _read(new)
    compared = list(_compared(before, after))
    told = [one for one in compared if whole or one.verdict != "same"]
    data = [one._asdict() for one in told]
    if not out.data({"items": data}, data):
        for key in ("machine", "kernel"):
            if before["about"].get(key) != after["about"].get(key):
                click.echo(f"sixlane: not the same {key}", err=True)
        out.table(
            ("WHAT", "OLD", "NEW", "UNIT", "RATIO", "95 %", ""),
            [
                (
                    one.name,
                    f"{one.old:,.4g}",
                    f"{one.new:,.4g}",
                    one.unit,
                    f"{one.ratio:.3f}",
                    f"{one.low:.3f}..{one.high:.3f}",
                    {"better": Good("better"), "worse": Bad("worse")}.get(one.verdict, "same"),
                )
                for one in told
            ],
        )
        same = len(compared) - len(told)
        out.lines(*([f"{same} more may as well be the same"] if same and not whole else []))
    if any(one.verdict == "worse" for one in compared):
        raise SystemExit(1)


def _compared(before: dict[str, Any], after: dict[str, Any]) -> list[_Compared]:
    from sixlane.cli.ratios import ratio_of_medians

    was = {row["name"]: row for row in before["rows"]}
    found = []
    for row in after["rows"]:
        old = was.get(row["name"])
        if old is None:
            continue
        low, middle, high = ratio_of_medians(row["values"], old["values"])
        verdict = "same"
        if not low <= 1 <= high:
            verdict = "better" if (middle > 1) == (row["better"] == "higher") else "worse"
        new_median = _median(row["values"])
        found.append(
            _Compared(
                row["name"],
                row["unit"],
                _median(old["values"]),
                new_median,
                low,
                middle,
                high,
                verdict,
            )
        )
    return found


def _median(values: list[float]) -> float:
    from statistics import median

    return median(values)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise ConfigError(f"{path} is no JSON file") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise ConfigError(f"{path} is not what make bench of this version writes")
    return data
