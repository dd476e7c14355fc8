# SPDX-License-Identifier: Apache-2.0
"""What was measured, as lines: for people, and for programs by `dataclasses.asdict`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.rounds import Figures
from sixlane.cli.ratios import ratio


@dataclass(frozen=True)
class Row:
    """One thing that was measured, a value a round. `baseline` is the name of the row with which
    it is compared, round by round; None: with nothing."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    baseline: str | None
    values: tuple[float, ...]


def table(rows: Sequence[Row]) -> Iterator[str]:
    """One line for each, with the ratio to its baseline and the 95 % interval of that."""
    by_name = {row.name: Figures(row.values) for row in rows}
    wide = max(len(row.name) for row in rows)
    yield f"{'':{wide}} {'min':>8} {'median':>8} {'max':>8} {'':10} {'ratio':>6}"
    for row in rows:
        figures = by_name[row.name]
        compared = ""
        if row.baseline is not None:
            low, middle, high = ratio(row.values, by_name[row.baseline].values)
            compared = f"{middle:6.2f} [{low:.2f}..{high:.2f}]"
        shown = " ".join(map(_short, (figures.least, figures.median, figures.most)))
        yield f"{row.name:{wide}} {shown} {row.unit:10} {compared}".rstrip()


def _short(value: float) -> str:
    """Four digits at least."""
    return f"{value:8,.0f}" if value >= 1_000 else f"{value:8.4g}"
